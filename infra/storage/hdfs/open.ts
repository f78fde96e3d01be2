/** Opens an HDFS as storage: its address checked, its folders made, its format claimed. */
import { mkdir } from 'node:fs/promises';
import type { Settings } from '../../config.js';
import { messageOf, RetryableError, TidemarkError } from '../../errors.js';
import { makeWorkFolder } from '../disk.js';
import { claimFormat } from '../format.js';
import { parseHdfsAddress } from './address.js';
import { HdfsFiles } from './hdfs-files.js';
import { HdfsStorage } from './hdfs-storage.js';
import { datanodesSync } from './server-settings.js';
import { WebHdfs } from './webhdfs.js';

/** Without synconclose a stored file may be lost by a power cut of all its DataNodes for about so long. */
const unsyncedMsMax = 3_600_000;
/** What is in <root>/work for longer was left there by somebody who is gone. */
const leftAgeMsMin = 86_400_000;

/**
 * @throws SettingsError when the address is wrong, or the data is of a newer format; RetryableError while it cannot be reached
 */
export const openHdfs = async ({
  storage: text,
  data,
  copiesBytesMax,
}: Pick<Settings, 'storage' | 'data' | 'copiesBytesMax'>): Promise<HdfsStorage> => {
  const address = parseHdfsAddress(text);
  const remoteWork = `${address.root}/work`;
  const files = new HdfsFiles(new WebHdfs(address), remoteWork);
  try {
    await mkdir(data, { recursive: true });
    await files.makeFolder(remoteWork);
    for (const { pathSuffix, modificationTime } of await files.entries(remoteWork)) {
      if (Date.now() - modificationTime > leftAgeMsMin) await files.remove(`${remoteWork}/${pathSuffix}`);
    }
    const unsyncedMs = (await datanodesSync(address.namenodes)) ? 0 : unsyncedMsMax;
    const storage = new HdfsStorage(files, { root: address.root, workFolder: await makeWorkFolder(data), copiesBytesMax, unsyncedMs });
    try {
      await claimFormat(storage, text);
    } catch (error) {
      await storage.close();
      throw error;
    }
    return storage;
  } catch (error) {
    if (error instanceof TidemarkError && !(error instanceof RetryableError)) throw error;
    throw new RetryableError(`open the storage ${text}: ${messageOf(error)}`, { code: 'E_STORAGE', cause: error });
  }
};
