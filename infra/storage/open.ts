/** The storage that the settings name. */
import type { Settings } from '../config.js';
import { OutOfReachError, RetryableError } from '../errors.js';
import { openLocalStorage } from './local.js';
import type { Storage } from './storage.js';

/** Whoever opens it closes it. @throws SettingsError when the data is of a newer format; OutOfReachError when it is away */
export const openStorage = async (settings: Pick<Settings, 'storage' | 'data' | 'copiesBytesMax'>): Promise<Storage> => {
  if (settings.storage === 'local') return openLocalStorage(settings.data);
  const { openHdfs } = await import('./hdfs/open.js'); // its client is loaded only where it is used
  try {
    return await openHdfs(settings);
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error;
    throw new OutOfReachError(error.message, { cause: error });
  }
};
