/** What a home of storage on this machine's disk needs: synced files, their hashes, a folder for files being made. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { encodeName } from '../../protocol/name-code.js';
import { sha256Of } from '../../protocol/sha256.js';
import { isAlive } from '../process.js';

/** What is read at once of a large file. */
export const chunkBytes = 256 * 1024;

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

/** Syncs a file, or a folder: the names in it. */
export const syncFile = async (path: string): Promise<void> => {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

export const writeSynced = async (path: string, bytes: Uint8Array): Promise<void> => {
  const handle = await open(path, 'wx');
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/**
 * Syncs folders, many callers at once: who asks while a folder is being synced shares the next sync of it with all who ask
 * meanwhile. That one begins when their names are there.
 */
export class FolderSyncs {
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Promise<void>>();

  sync(folder: string): Promise<void> {
    let next = this.#next.get(folder);
    if (next === undefined) {
      next = this.#after(this.#running.get(folder), folder);
      this.#next.set(folder, next);
    }
    return next;
  }

  async #after(running: Promise<void> | undefined, folder: string): Promise<void> {
    await running?.catch(() => undefined); // whoever asked for it hears of it
    this.#next.delete(folder);
    const syncing = syncFile(folder);
    this.#running.set(folder, syncing);
    try {
      await syncing;
    } finally {
      if (this.#running.get(folder) === syncing) this.#running.delete(folder);
    }
  }
}

/** Length and sha256, in bounded memory. */
export const hashFile = async (path: string): Promise<{ bytes: number; sha256: string }> => {
  if ((await stat(path)).size <= chunkBytes) {
    const content = await readFile(path); // a stream costs more than what a small file has
    return { bytes: content.length, sha256: sha256Of(content) };
  }
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: chunkBytes })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest('hex') };
};

/** Syncs a file; its length and sha256. */
export const syncAndHash = async (path: string): Promise<{ bytes: number; sha256: string }> => {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
    if ((await handle.stat()).size <= chunkBytes) {
      const content = await handle.readFile();
      return { bytes: content.length, sha256: sha256Of(content) };
    }
  } finally {
    await handle.close();
  }
  return await hashFile(path);
};

/**
 * Makes this process's folder for files that are being made, in <root>/work, and removes those of processes of this
 * machine that are gone.
 */
export const makeWorkFolder = async (root: string): Promise<string> => {
  const all = join(root, 'work');
  await mkdir(all, { recursive: true });
  for (const name of await readdir(all)) if (isLeftBehind(name)) await rm(join(all, name), { recursive: true, force: true });
  const mine = join(all, ownName());
  await mkdir(mine);
  return mine;
};

const machine = (): string => encodeName(hostname());

/** A name that shows whose it is. */
export const ownName = (): string => `${process.pid}-${randomBytes(4).toString('hex')}-${machine()}`;

/** Whether it is of a process of this machine that is gone. */
export const isLeftBehind = (name: string): boolean => {
  const [, pid, whose] = /^(\d+)-[0-9a-f]{8}-(.*)$/.exec(name) ?? [];
  return whose === machine() && !isAlive(Number(pid));
};
