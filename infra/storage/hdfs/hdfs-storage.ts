/**
 * Storage in HDFS, over WebHDFS.
 *
 * A file is written in <root>/work and then renamed to a name that must not exist (renameoptions=NONE): so a name always
 * shows whole content, and the first content stays. A rename fences no writer, and an append leaves a torn tail and a file
 * that is locked for 60 s when its DataNode dies: so after any doubt the caller begins a new file (U3).
 */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { FileExistsError, FileMissingError, messageOf, PromiseError, RetryableError, TidemarkError } from '../../errors.js';
import { chunkBytes, codeOf, hashFile } from '../disk.js';
import { checkPath } from '../paths.js';
import type { Storage, StoredFile } from '../storage.js';
import { folderOf, type HdfsFiles, isException } from './hdfs-files.js';
import { LocalCopies } from './local-copies.js';
import { RemoteError, UnansweredError } from './webhdfs.js';

/** Folders that are listed at once. */
const listsAtOnceMax = 16;
/** Of a file that is replaced while it is read. */
const readsMax = 5;

export interface HdfsStorageOptions {
  /** "" or an absolute path, below which everything lies. */
  readonly root: string;
  /** A folder on this machine. */
  readonly workFolder: string;
  readonly copiesBytesMax: number;
  /** See Storage. */
  readonly unsyncedMs: number;
}

/** An error of HDFS in our words: the file is missing, or it will be tried again. */
const inOurWords = (error: unknown, doing: string, path: string): TidemarkError => {
  if (isException(error, 'FileNotFoundException')) return new FileMissingError(`${doing} ${path}: there is no such file`, { cause: error });
  if (error instanceof TidemarkError && !(error instanceof RemoteError || error instanceof UnansweredError)) return error;
  return new RetryableError(`${doing} ${path}: ${messageOf(error)}`, { code: 'E_STORAGE', cause: error });
};

export class HdfsStorage implements Storage {
  readonly workFolder: string;
  readonly readsInPlace = false;
  readonly unsyncedMs: number;
  readonly #files: HdfsFiles;
  readonly #root: string;
  readonly #copies: LocalCopies;
  #copied = 0;

  constructor(files: HdfsFiles, { root, workFolder, copiesBytesMax, unsyncedMs }: HdfsStorageOptions) {
    this.#files = files;
    this.#root = root;
    this.#copies = new LocalCopies(copiesBytesMax);
    this.workFolder = workFolder;
    this.unsyncedMs = unsyncedMs;
  }

  #at(path: string): string {
    return `${this.#root}/${checkPath(path)}`;
  }

  async create(path: string, bytes: Uint8Array): Promise<void> {
    const target = this.#at(path);
    try {
      if (!(await this.#files.name(await this.#files.write(bytes), target))) throw new FileExistsError(`create ${path}: the name is taken`);
    } catch (error) {
      throw inOurWords(error, 'create', path);
    }
  }

  async append(path: string, bytes: Uint8Array, lengthBefore: number): Promise<void> {
    const target = this.#at(path);
    try {
      await this.#files.append(target, bytes, lengthBefore);
    } catch (error) {
      throw new RetryableError(`append to ${path}: ${messageOf(error)}`, { code: 'E_APPEND', cause: error });
    }
  }

  async adopt(localFile: string, path: string): Promise<StoredFile & { existed: boolean }> {
    const target = this.#at(path);
    try {
      const content = await hashFile(localFile);
      const existed = !(await this.#files.name(await this.#files.write({ file: localFile, length: content.bytes }), target));
      const stored = { path, ...(existed ? await this.#hash(path) : content), existed };
      await rm(localFile);
      return stored;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw new FileMissingError(`adopt ${localFile}: there is no such file`, { cause: error });
      throw inOurWords(error, `adopt ${localFile} as`, path);
    }
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    const target = this.#at(path);
    try {
      await this.#files.name(await this.#files.write(bytes), target, 'OVERWRITE');
    } catch (error) {
      throw inOurWords(error, 'replace', path);
    }
  }

  async read(path: string, fromByte = 0, toByte = Infinity): Promise<Buffer> {
    if (fromByte === 0 && toByte === Infinity) return await this.#readWhole(path);
    return await this.#readRange(path, fromByte, toByte);
  }

  async #readRange(path: string, fromByte: number, toByte: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.stream(path, fromByte, toByte)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Its length is asked for before its bytes: of a file that is replaced in between (latest.json) they would not fit together. */
  async #readWhole(path: string): Promise<Buffer> {
    for (let tries = 1; ; tries++) {
      const fileId = await this.#fileId(path);
      const content = await this.#readRange(path, 0, Infinity).catch((error: unknown) => error);
      if ((await this.#fileId(path)) === fileId) {
        if (content instanceof Buffer) return content;
        throw content;
      }
      if (tries === readsMax) throw new RetryableError(`read ${path}: it was replaced ${tries} times meanwhile`, { code: 'E_STORAGE' });
    }
  }

  async #fileId(path: string): Promise<number> {
    try {
      return (await this.#files.status(this.#at(path))).fileId;
    } catch (error) {
      throw inOurWords(error, 'read', path);
    }
  }

  async *stream(path: string, fromByte = 0, toByte = Infinity): AsyncGenerator<Buffer> {
    const target = this.#at(path);
    try {
      const { length } = await this.#files.status(target);
      yield* this.#files.bytes(target, fromByte, Math.min(toByte, length));
    } catch (error) {
      throw inOurWords(error, 'read', path);
    }
  }

  async local(path: string, expected?: { bytes: number; sha256: string }): Promise<string> {
    const target = this.#at(path);
    try {
      if (expected === undefined) {
        const { length, modificationTime } = await this.#files.status(target);
        return await this.#copies.get(`${path} ${length} ${modificationTime}`, () => this.#copy(path, length, undefined));
      }
      // A copy that was checked once is what was asked for, whatever has become of the file: nobody is asked for it.
      return await this.#copies.get(`${path} ${expected.bytes} ${expected.sha256}`, async () => {
        const { length } = await this.#files.status(target);
        if (length !== expected.bytes) throw new PromiseError(`${path} has ${length} bytes; whoever named it says ${expected.bytes}`);
        return await this.#copy(path, length, expected.sha256);
      });
    } catch (error) {
      throw inOurWords(error, 'read', path);
    }
  }

  async list(folder: string): Promise<string[]> {
    const paths: string[] = [];
    const open = [checkPath(folder)];
    const listOne = async (at: string): Promise<void> => {
      for (const { pathSuffix, type } of await this.#files.entries(this.#at(at))) {
        (type === 'DIRECTORY' ? open : paths).push(`${at}/${pathSuffix}`);
      }
    };
    try {
      while (open.length > 0) await Promise.all(open.splice(0, listsAtOnceMax).map(listOne));
    } catch (error) {
      throw inOurWords(error, 'list', folder);
    }
    return paths.sort();
  }

  async length(path: string): Promise<number | undefined> {
    try {
      return (await this.#files.status(this.#at(path))).length;
    } catch (error) {
      if (isException(error, 'FileNotFoundException')) return undefined;
      throw inOurWords(error, 'look at', path);
    }
  }

  async remove(path: string): Promise<void> {
    const target = this.#at(path);
    try {
      await this.#files.remove(target);
    } catch (error) {
      throw inOurWords(error, 'remove', path);
    }
    // A batch leaves a folder of its own: the last file takes it along. HDFS refuses while anything is in it.
    const folder = folderOf(target);
    if (folder !== this.#root) await this.#files.remove(folder).catch(() => undefined);
  }

  /** Lets go of the work folder and the copies in it. */
  async close(): Promise<void> {
    await rm(this.workFolder, { recursive: true, force: true });
  }

  async #hash(path: string): Promise<{ bytes: number; sha256: string }> {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of this.stream(path)) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    return { bytes, sha256: hash.digest('hex') };
  }

  /** Copies it here, checked. */
  async #copy(path: string, length: number, sha256: string | undefined): Promise<{ file: string; bytes: number }> {
    this.#copied += 1;
    const file = join(this.workFolder, `copy-${this.#copied}`);
    const hash = createHash('sha256');
    const bytes = this.#files.bytes(this.#at(path), 0, length);
    const hashed = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of bytes) {
        hash.update(chunk);
        yield chunk;
      }
    };
    try {
      await pipeline(Readable.from(hashed()), createWriteStream(file, { flags: 'wx', highWaterMark: chunkBytes }));
      const found = hash.digest('hex');
      if (sha256 !== undefined && found !== sha256) {
        throw new PromiseError(`${path} has the sha256 ${found}; whoever named it says ${sha256}`);
      }
      return { file, bytes: length };
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
  }
}
