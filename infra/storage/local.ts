/**
 * Storage in a local folder.
 *
 * A file is written in the work folder, synced, and gets its name by link(), which refuses a name that is taken: so a
 * name always shows whole content, and the first content stays. Then the folder is synced, for the name to last.
 * Files that are being made lie in <root>/work/<process>-<id>-<machine>: processes that share the folder do not meet,
 * and what a killed one left there goes at the next start. A folder below may be a disk of its own: other-disks.ts.
 */
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, link, mkdir, open, readdir, readFile, rename, rm, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { crashPoint } from '../crash-point.js';
import { FileExistsError, FileMissingError, messageOf, PromiseError, RetryableError, TidemarkError } from '../errors.js';
import { chunkBytes, codeOf, FolderSyncs, hashFile, makeWorkFolder, syncAndHash, writeSynced } from './disk.js';
import { claimFormat } from './format.js';
import { hiddenMark, OtherDisks } from './other-disks.js';
import { checkPath } from './paths.js';
import type { Storage, StoredFile } from './storage.js';

/** Bounds: files held open for appending, contents remembered as checked, folders remembered as durable. */
const heldOpenMax = 64;
const checkedMax = 50_000;
const durableFoldersMax = 10_000;

/** An error of the file system in our words: the file is missing, or it will be tried again. */
const inOurWords = (error: unknown, doing: string, path: string): TidemarkError => {
  if (error instanceof TidemarkError) return error;
  if (codeOf(error) === 'ENOENT') return new FileMissingError(`${doing} ${path}: there is no such file`, { cause: error });
  return new RetryableError(`${doing} ${path}: ${messageOf(error)}`, { code: 'E_STORAGE', cause: error });
};

/** Remembers at most `max` entries, letting the oldest go. */
const remember = <K, V>(map: Map<K, V>, key: K, value: V, max: number): V | undefined => {
  map.delete(key);
  map.set(key, value);
  if (map.size <= max) return undefined;
  const [oldest, gone] = map.entries().next().value as [K, V];
  map.delete(oldest);
  return gone;
};

export class LocalStorage implements Storage {
  readonly workFolder: string;
  readonly readsInPlace = true;
  readonly unsyncedMs = 0;
  readonly #root: string;
  readonly #held = new Map<string, FileHandle>();
  readonly #checked = new Map<string, string>();
  readonly #durable = new Map<string, true>();
  readonly #folderSyncs = new FolderSyncs();
  readonly #otherDisks = new OtherDisks();
  #made = 0;
  #isClosed = false;

  constructor(root: string, workFolder: string) {
    this.#root = root;
    this.workFolder = workFolder;
  }

  #at(path: string): string {
    return join(this.#root, checkPath(path));
  }

  async #write(bytes: Uint8Array): Promise<string> {
    this.#made += 1;
    const file = join(this.workFolder, `new-${this.#made}`);
    try {
      await writeSynced(file, bytes);
    } catch (error) {
      await rm(file, { force: true }); // on a full disk what was written of it is in the way
      throw error;
    }
    return file;
  }

  /** Makes a folder whose name lasts: each folder above it is synced once by this process. */
  async #makeFolder(folder: string): Promise<void> {
    const made = await mkdir(folder, { recursive: true });
    if (made !== undefined) {
      for (let at = folder; at.length >= made.length; at = dirname(at)) this.#durable.delete(at);
    }
    for (let at = folder; at !== this.#root && !this.#durable.has(at); at = dirname(at)) {
      await this.#folderSyncs.sync(dirname(at));
      remember(this.#durable, at, true, durableFoldersMax);
    }
  }

  /** Gives a synced file its name. @returns false when the name is taken. Either way the name lasts. */
  async #name(file: string, target: string): Promise<boolean> {
    const folder = dirname(target);
    let named = true;
    for (let tries = 3; ; tries--) {
      await this.#makeFolder(folder);
      try {
        await link(file, target);
        crashPoint('storage.named');
        break;
      } catch (error) {
        if (codeOf(error) === 'EEXIST') {
          named = false;
          break;
        }
        if (codeOf(error) === 'EXDEV') return await this.#otherDisks.withCopy(file, folder, (copy) => this.#name(copy, target));
        // Somebody may have removed the folder as empty in between.
        if (codeOf(error) !== 'ENOENT' || tries === 1) throw error;
      }
    }
    await this.#folderSyncs.sync(folder);
    return named;
  }

  async create(path: string, bytes: Uint8Array): Promise<void> {
    const target = this.#at(path);
    let file: string | undefined;
    try {
      file = await this.#write(bytes);
      if (!(await this.#name(file, target))) throw new FileExistsError(`create ${path}: the name is taken`);
    } catch (error) {
      throw inOurWords(error, 'create', path);
    } finally {
      if (file !== undefined) await rm(file, { force: true });
    }
  }

  async append(path: string, bytes: Uint8Array, lengthBefore: number): Promise<void> {
    const target = this.#at(path);
    let handle: FileHandle | undefined;
    try {
      handle = this.#held.get(target);
      this.#held.delete(target); // whoever fails does not put it back
      handle ??= await open(target, constants.O_WRONLY | constants.O_APPEND);
      await this.#expectLength(target, lengthBefore);
      await handle.appendFile(bytes);
      crashPoint('storage.append.written');
      await handle.datasync();
      await this.#expectLength(target, lengthBefore + bytes.length);
      if (!this.#isClosed && !this.#held.has(target)) {
        const gone = remember(this.#held, target, handle, heldOpenMax);
        handle = undefined;
        await gone?.close();
      }
    } catch (error) {
      const cause = error instanceof TidemarkError ? undefined : error;
      throw new RetryableError(`append to ${path}: ${messageOf(error)}`, { code: 'E_APPEND', cause });
    } finally {
      await handle?.close().catch(() => undefined);
    }
  }

  /** By the name, not by the open file: so a file that was replaced or removed is noticed as well (U3). */
  async #expectLength(target: string, length: number): Promise<void> {
    const { size } = await stat(target);
    if (size !== length) throw new RetryableError(`${size} bytes long, must be ${length}`);
  }

  async adopt(localFile: string, path: string): Promise<StoredFile & { existed: boolean }> {
    const target = this.#at(path);
    try {
      const content = await syncAndHash(localFile);
      const existed = !(await this.#name(localFile, target));
      await unlink(localFile);
      return { path, ...(existed ? await hashFile(target) : content), existed };
    } catch (error) {
      throw inOurWords(error, `adopt ${localFile} as`, path);
    }
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    const target = this.#at(path);
    const folder = dirname(target);
    let file: string | undefined;
    try {
      file = await this.#write(bytes);
      await this.#makeFolder(folder);
      await this.#rename(file, target);
      await this.#folderSyncs.sync(folder);
    } catch (error) {
      throw inOurWords(error, 'replace', path);
    } finally {
      if (file !== undefined) await rm(file, { force: true });
    }
  }

  async #rename(file: string, target: string): Promise<void> {
    try {
      await rename(file, target);
    } catch (error) {
      if (codeOf(error) !== 'EXDEV') throw error;
      await this.#otherDisks.withCopy(file, dirname(target), (copy) => rename(copy, target));
    }
  }

  async read(path: string, fromByte = 0, toByte = Infinity): Promise<Buffer> {
    const target = this.#at(path);
    try {
      if (fromByte === 0 && toByte === Infinity) return await readFile(target);
    } catch (error) {
      throw inOurWords(error, 'read', path);
    }
    const chunks: Buffer[] = [];
    for await (const chunk of this.stream(path, fromByte, toByte)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async *stream(path: string, fromByte = 0, toByte = Infinity): AsyncGenerator<Buffer> {
    const target = this.#at(path);
    try {
      if (toByte <= fromByte) {
        await stat(target);
        return;
      }
      const bytes = createReadStream(target, { start: fromByte, end: toByte - 1, highWaterMark: chunkBytes });
      for await (const chunk of bytes) yield chunk as Buffer;
    } catch (error) {
      throw inOurWords(error, 'read', path);
    }
  }

  async local(path: string, expected?: { bytes: number; sha256: string }): Promise<string> {
    const target = this.#at(path);
    try {
      const { size, mtimeNs, ino } = await stat(target, { bigint: true });
      if (expected === undefined) return target;
      if (Number(size) !== expected.bytes) {
        throw new PromiseError(`${path} has ${size} bytes; whoever named it says ${expected.bytes}`);
      }
      const seen = `${expected.sha256} ${size} ${mtimeNs} ${ino}`; // a file that was touched is read again
      if (this.#checked.get(target) === seen) return target;
      const { sha256 } = await hashFile(target);
      if (sha256 !== expected.sha256) {
        throw new PromiseError(`${path} has the sha256 ${sha256}; whoever named it says ${expected.sha256}`);
      }
      remember(this.#checked, target, seen, checkedMax);
      return target;
    } catch (error) {
      throw inOurWords(error, 'read', path);
    }
  }

  async list(folder: string): Promise<string[]> {
    const paths: string[] = [];
    const open = [checkPath(folder)];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const entries = await readdir(join(this.#root, at), { withFileTypes: true }).catch((error: unknown) => {
        if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
        throw inOurWords(error, 'list', folder);
      });
      for (const entry of entries) {
        if (!entry.name.startsWith(hiddenMark)) (entry.isDirectory() ? open : paths).push(`${at}/${entry.name}`);
      }
    }
    return paths.sort();
  }

  async length(path: string): Promise<number | undefined> {
    try {
      return (await stat(this.#at(path))).size;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
      throw inOurWords(error, 'look at', path);
    }
  }

  async remove(path: string): Promise<void> {
    const target = this.#at(path);
    try {
      await rm(target, { force: true });
    } catch (error) {
      throw inOurWords(error, 'remove', path);
    }
    // A batch leaves a folder of its own: the last file takes it along. It refuses while anything is in it.
    const folder = dirname(target);
    if (folder !== this.#root) await rmdir(folder).catch(() => undefined);
  }

  /** Lets go of the files held open for appending, and of the work folder. */
  async close(): Promise<void> {
    this.#isClosed = true; // an append that is still under way closes its file itself
    const held = [...this.#held.values()];
    this.#held.clear();
    await Promise.all(held.map((handle) => handle.close()));
    await rm(this.workFolder, { recursive: true, force: true });
  }
}

/**
 * Opens a local folder as storage; made if it is not there.
 * @throws SettingsError when its data is of a newer format
 */
export const openLocalStorage = async (root: string): Promise<LocalStorage> => {
  const folder = resolve(root);
  try {
    await mkdir(folder, { recursive: true });
    const storage = new LocalStorage(folder, await makeWorkFolder(folder));
    try {
      await claimFormat(storage, folder);
    } catch (error) {
      await storage.close();
      throw error;
    }
    return storage;
  } catch (error) {
    throw inOurWords(error, 'open the data folder', folder);
  }
};
