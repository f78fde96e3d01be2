/** Several stored files as local ones. */
import { atOnce } from '../at-once.js';
import type { Storage, StoredFile } from './storage.js';

/** Of a storage elsewhere each file costs some calls, one after the other. */
const filesAtOnceMax = 8;

/** Local paths of files, each checked to be as it was named, in their order. @throws PromiseError, FileMissingError */
export const localFiles = (storage: Storage, files: readonly StoredFile[]): Promise<string[]> =>
  atOnce(files, filesAtOnceMax, ({ path, bytes, sha256 }) => storage.local(path, { bytes, sha256 }));
