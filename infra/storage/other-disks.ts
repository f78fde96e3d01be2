/**
 * Folders of the data that are disks of their own (DATA/views mounted, say). A file that was made in the work folder cannot get a
 * name there; a synced copy of it can, which is made beside that name, hidden.
 */
import { copyFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isLeftBehind, ownName, syncFile } from './disk.js';

/** What `list` leaves out: no name of ours begins so. */
export const hiddenMark = '.';

export class OtherDisks {
  /** Folders in which copies that killed processes left were removed. */
  readonly #swept = new Set<string>();

  /** Gives `use` a copy in that folder; what is left of it goes afterwards. */
  async withCopy<T>(file: string, folder: string, use: (copy: string) => Promise<T>): Promise<T> {
    await this.#sweep(folder);
    const copy = join(folder, hiddenMark + ownName());
    try {
      await copyFile(file, copy);
      await syncFile(copy);
      return await use(copy);
    } finally {
      await rm(copy, { force: true });
    }
  }

  async #sweep(folder: string): Promise<void> {
    if (this.#swept.has(folder)) return;
    this.#swept.add(folder);
    for (const name of await readdir(folder)) {
      if (name.startsWith(hiddenMark) && isLeftBehind(name.slice(hiddenMark.length))) await rm(join(folder, name), { force: true });
    }
  }
}
