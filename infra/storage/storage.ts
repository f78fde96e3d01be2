/**
 * Storage: where raw files, parts, batch views and manifests live. One contract, several homes (local folder, HDFS).
 *
 * Paths are relative, with `/`, made of name codes: never of a name as such. Raw files are appended to by the one writer
 * that created them (U1, U3); every other file is written whole under a name that does not exist yet and never changes.
 */

export interface StoredFile {
  readonly path: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export interface Storage {
  /**
   * Creates the file with these bytes, durable when it returns. Create if absent: what is there stays.
   * @throws FileExistsError when the name is taken.
   */
  create(path: string, bytes: Uint8Array): Promise<void>;
  /**
   * Appends durably to a file whose length is `lengthBefore`.
   * @throws RetryableError after any doubt: the file must not be appended to again (U3).
   */
  append(path: string, bytes: Uint8Array, lengthBefore: number): Promise<void>;
  /**
   * Puts a local file here under a name that does not exist yet: synced and renamed; the local file is gone afterwards.
   * If the name is taken the first content stays, and its length and hash are returned.
   */
  adopt(localFile: string, path: string): Promise<StoredFile & { existed: boolean }>;
  /** Only for latest.json: replaces it in one step. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /** @throws FileMissingError */
  read(path: string, fromByte?: number, toByte?: number): Promise<Buffer>;
  /** The same as chunks, for what may be large. */
  stream(path: string, fromByte?: number, toByte?: number): AsyncIterable<Buffer>;
  /**
   * A local path with this file's content, for DuckDB; local storage gives the file itself. With `file`'s length and
   * sha256 given they are checked, once per file and process.
   * @throws FileMissingError, PromiseError when the content is not what was named.
   */
  local(path: string, expected?: { bytes: number; sha256: string }): Promise<string>;
  /** Paths below a folder, sorted; empty if there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** @returns undefined if there is none. */
  length(path: string): Promise<number | undefined>;
  /** Removes a file if it is there. */
  remove(path: string): Promise<void>;
  /** A folder on this machine for files that are being made; emptied at a start. */
  readonly workFolder: string;
  /** Whether `local` costs nothing: the stored file is on this machine. Else it is a copy, and of a part a stream is cheaper. */
  readonly readsInPlace: boolean;
  /** How long a power cut may still take a stored file away, ms: so much longer SEGMENTS is kept. */
  readonly unsyncedMs: number;
  /** Lets go of what is held open, and of the work folder. */
  close(): Promise<void>;
}
