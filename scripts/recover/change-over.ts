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
import { recoverNote } from '../../infra/storage/format.js';
import type { Home, Homes } from './homes.js';

export const stagingName = 'recovering';

/** What a change-over moves, in this order. */
export const dataFolders = ['raw', 'views', 'minutes', 'state'] as const;
/** Where the server has its store: on this machine, wherever the files are. */
export const serverFolder = 'nats';

export interface ChangeOver<Report> {
  readonly folders: readonly string[];
  /** The folder that the old data goes to, below the data folder. */
  readonly aside: string;
  readonly keepsOld: boolean;
  /** What is told when it is done. */
  readonly report: Report;
}

/** Notes it, then does it. */
export const changeOver = async <Report>(homes: Homes, change: ChangeOver<Report>): Promise<void> => {
  for (const folder of change.folders) await homeOf(homes, folder).make(`${stagingName}/${folder}`); // there: not moved yet
  for (const home of both(homes)) await home.sync(stagingName);
  await homes.storage.write(recoverNote, `${JSON.stringify(change)}\n`);
  await move(homes, change);
};

/** Ends a change-over that was cut off. @returns what it was; undefined: there is none. */
export const finishChangeOver = async <Report>(homes: Homes): Promise<ChangeOver<Report> | undefined> => {
  const note = await homes.storage.read(recoverNote);
  if (note === undefined) return undefined;
  const change = JSON.parse(note) as ChangeOver<Report>;
  await move(homes, change);
  return change;
};

const homeOf = (homes: Homes, folder: string): Home => (folder === serverFolder ? homes.server : homes.storage);

const both = ({ storage, server }: Homes): Home[] => (storage === server ? [storage] : [storage, server]);

const move = async (homes: Homes, { folders, aside, keepsOld }: ChangeOver<unknown>): Promise<void> => {
  for (const folder of folders) {
    const home = homeOf(homes, folder);
    const fresh = `${stagingName}/${folder}`;
    if (!(await home.exists(fresh))) continue; // it was moved before
    if (await home.exists(folder)) {
      await home.make(aside);
      await home.move(folder, `${aside}/${folder}`);
    }
    await home.move(fresh, folder);
  }
  for (const home of both(homes)) {
    if (await home.exists(aside)) await home.sync(aside);
    await home.sync('');
  }
  await homes.storage.removeTree(recoverNote);
  await homes.storage.sync('');
  for (const home of both(homes)) {
    await home.removeTree(stagingName);
    if (!keepsOld) await home.removeTree(aside);
  }
};
