/**
 * The change from the old data to the new: folders are renamed, and a note says that it is under way, so that a change that was
 * cut off is finished and nobody works on halves of two.
 *
 * DATA/recovering/        the new data, while it is made
 * DATA/recover.json       the note: nothing is opened while it is there (infra/storage/format.ts)
 * DATA/before-recover-…/  the old data: gone at the end, unless something of it was missing or it is to stay
 *
 * K5  Until the new views are proved nothing of the old data is touched; then all of it changes, or the next `recover` ends it.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { syncFile, writeSynced } from '../../infra/storage/disk.js';
import { recoverNote } from '../../infra/storage/format.js';

export const stagingName = 'recovering';

/** What a change-over moves, in this order. */
export const dataFolders = ['raw', 'views', 'minutes', 'state'] as const;

export interface ChangeOver<Report> {
  readonly folders: readonly string[];
  /** The folder that the old data goes to, below the data folder. */
  readonly aside: string;
  readonly keepsOld: boolean;
  /** What is told when it is done. */
  readonly report: Report;
}

/** Notes it, then does it. */
export const changeOver = async <Report>(data: string, change: ChangeOver<Report>): Promise<void> => {
  const staging = path.join(data, stagingName);
  for (const folder of change.folders) await mkdir(path.join(staging, folder), { recursive: true }); // there: not moved yet
  await syncFile(staging);
  const note = path.join(data, recoverNote);
  await rm(`${note}.new`, { force: true });
  await writeSynced(`${note}.new`, Buffer.from(`${JSON.stringify(change)}\n`));
  await rename(`${note}.new`, note);
  await syncFile(data);
  await move(data, change);
};

/** Ends a change-over that was cut off. @returns what it was; undefined: there is none. */
export const finishChangeOver = async <Report>(data: string): Promise<ChangeOver<Report> | undefined> => {
  const note = path.join(data, recoverNote);
  if (!existsSync(note)) return undefined;
  const change = JSON.parse(await readFile(note, 'utf8')) as ChangeOver<Report>;
  await move(data, change);
  return change;
};

const move = async (data: string, { folders, aside, keepsOld }: ChangeOver<unknown>): Promise<void> => {
  const staging = path.join(data, stagingName);
  const old = path.join(data, aside);
  await mkdir(old, { recursive: true });
  for (const folder of folders) {
    const fresh = path.join(staging, folder);
    if (!existsSync(fresh)) continue; // it was moved before
    const place = path.join(data, folder);
    if (existsSync(place)) await rename(place, path.join(old, folder));
    await rename(fresh, place);
  }
  await syncFile(old);
  await syncFile(data);
  await rm(path.join(data, recoverNote));
  await syncFile(data);
  await rm(staging, { recursive: true, force: true });
  if (!keepsOld) await rm(old, { recursive: true, force: true });
};
