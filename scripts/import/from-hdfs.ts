/** Recorded readings that lie in HDFS, such as the original's /dd_mm_YYYY.log. They are read, and nothing there is changed. */
import { FileMissingError, messageOf, OutOfReachError, RetryableError, UsageError } from '../../infra/errors.js';
import { type HdfsAddress, parseHdfsAddress } from '../../infra/storage/hdfs/address.js';
import { HdfsFiles, isException } from '../../infra/storage/hdfs/hdfs-files.js';
import { WebHdfs } from '../../infra/storage/hdfs/webhdfs.js';

export interface RecordedInHdfs {
  readonly path: string;
  readonly bytes: number;
  /** Its bytes, as many as it had when it was found. */
  readonly read: () => AsyncIterable<Buffer>;
}

/** The original's name for a day's file. */
const dayFile = /^(\d\d)_(\d\d)_(\d{4})\.log$/;

const dateOf = (name: string): string => name.replace(dayFile, '$3-$2-$1');

/** A path by itself is in the HDFS that `storage` names; an address names its own. */
const addressOf = (given: string, storage: string): { address: HdfsAddress; path: string } => {
  if (given.startsWith('hdfs://')) {
    const address = parseHdfsAddress(given);
    return { address, path: address.root === '' ? '/' : address.root };
  }
  if (!given.startsWith('/')) throw new UsageError(`${given} is no path in HDFS: begin it with /, or write it as hdfs://HOST:PORT/PATH`);
  if (storage === 'local') {
    throw new UsageError(`--from-hdfs ${given}: name the HDFS with --storage hdfs://HOST:PORT/…, or write hdfs://HOST:PORT${given}`);
  }
  return { address: parseHdfsAddress(storage), path: given };
};

const inOurWords = (error: unknown, path: string): unknown => {
  if (isException(error, 'FileNotFoundException')) return new FileMissingError(`there is no ${path} in HDFS`, { cause: error });
  if (error instanceof RetryableError) return new OutOfReachError(`cannot read ${path} in HDFS: ${messageOf(error)}`, { cause: error });
  return error;
};

async function* read(files: HdfsFiles, path: string, bytes: number): AsyncGenerator<Buffer> {
  try {
    yield* files.bytes(path, 0, bytes);
  } catch (error) {
    throw inOurWords(error, path);
  }
}

/**
 * The files under these paths; of a folder the original's files in it, by date.
 * @throws UsageError, FileMissingError, OutOfReachError
 */
export const findInHdfs = async (given: readonly string[], storage: string): Promise<RecordedInHdfs[]> => {
  const found: RecordedInHdfs[] = [];
  for (const one of given) {
    const { address, path } = addressOf(one, storage);
    const files = new HdfsFiles(new WebHdfs(address), '/tmp'); // nothing is written
    const add = (at: string, bytes: number): void => {
      found.push({ path: at, bytes, read: () => read(files, at, bytes) });
    };
    try {
      const { type, length } = await files.status(path);
      if (type === 'FILE') {
        add(path, length);
        continue;
      }
      const days = (await files.entries(path)).filter((entry) => entry.type === 'FILE' && dayFile.test(entry.pathSuffix));
      if (days.length === 0) throw new FileMissingError(`the folder ${path} in HDFS has no dd_mm_YYYY.log`);
      days.sort((a, b) => dateOf(a.pathSuffix).localeCompare(dateOf(b.pathSuffix)));
      for (const { pathSuffix, length: bytes } of days) add(`${path.replace(/\/$/, '')}/${pathSuffix}`, bytes);
    } catch (error) {
      throw inOurWords(error, path);
    }
  }
  return found;
};
