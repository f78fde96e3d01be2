/**
 * What the data is written in: `tidemark.json` at its top says the format's version, {"format":1}. Whoever opens the data
 * first writes it; a newer one than this program knows is refused, for it would be misread, or written over in the old way.
 */
import { FileExistsError, FileMissingError, SettingsError } from '../errors.js';
import type { Storage } from './storage.js';

export const formatVersion = 1;
/** There while `recover` changes over from the old data to the new: neither is whole. */
export const recoverNote = 'recover.json';
const path = 'tidemark.json';

/** @returns undefined if nobody has said it yet. */
const readVersion = async (storage: Storage, place: string): Promise<number | undefined> => {
  let text: string;
  try {
    text = (await storage.read(path)).toString('utf8');
  } catch (error) {
    if (error instanceof FileMissingError) return undefined;
    throw error;
  }
  const version = /^\s*\{\s*"format"\s*:\s*(\d{1,9})\s*[,}]/.exec(text)?.[1];
  if (version === undefined || version === '0') {
    throw new SettingsError(
      `${place}: ${path} does not say the data's format: put {"format":${formatVersion}} there if this version made the data`,
    );
  }
  return Number(version);
};

/**
 * Says the format where nobody has yet, and checks it.
 * @param place where this storage is, for the refusal
 * @throws SettingsError when the data is of a newer format, or a recover was cut off
 */
export const claimFormat = async (storage: Storage, place: string): Promise<void> => {
  if ((await storage.length(recoverNote)) !== undefined) {
    throw new SettingsError(
      `a recover of ${place} was cut off while it changed over to the new data: run \`tidemark recover\` on it again`,
    );
  }
  let version = await readVersion(storage, place);
  if (version === undefined) {
    try {
      await storage.create(path, Buffer.from(`${JSON.stringify({ format: formatVersion })}\n`));
      return;
    } catch (error) {
      if (!(error instanceof FileExistsError)) throw error;
      version = await readVersion(storage, place); // somebody was quicker
    }
  }
  if (version !== undefined && version > formatVersion) {
    throw new SettingsError(
      `${place} holds data of format ${version}, and this Tidemark knows up to ${formatVersion}: ` +
        'run the version that made it or a newer one, or give another folder with --data',
    );
  }
};
