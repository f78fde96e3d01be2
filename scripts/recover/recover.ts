/**
 * Recover: everything from the raw files alone. They are read in the order of their offsets and sealed into a new log, and the
 * actors that always make parts, commits and batch views from a log make them from this one, in a folder beside the old data.
 * When the batch view is proved and the new raw files hold what the old ones did, the folders change places.
 *
 * K1  Every record that a raw file holds is in the new history, and nothing else is: what a source of it sends again is a copy.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { findRunning } from '../../infra/bus/nats-server.js';
import type { Settings } from '../../infra/config.js';
import { OutOfReachError } from '../../infra/errors.js';
import { recoverNote } from '../../infra/storage/format.js';
import { openStorage } from '../../infra/storage/open.js';
import { type Position, sumPosition } from '../../protocol/range.js';
import { lockData } from '../start/data-lock.js';
import { type ChangeOver, changeOver, dataFolders, finishChangeOver, serverFolder, stagingName } from './change-over.js';
import { refuseUnlessNew, refuseWhileOpen } from './guards.js';
import { type Homes, homesOf } from './homes.js';
import { readLogTail } from './log-tail.js';
import { choosePartitions, readOldCut } from './partitions.js';
import { listRawFiles, scanRawFiles } from './raw-runs.js';
import { rebuildFrom } from './rebuild.js';

export interface RecoverOptions {
  readonly settings: Settings;
  /** The number of partitions, if somebody asked for one. */
  readonly partitions: number | undefined;
  /** The old data stays aside in any case. */
  readonly keepsOld: boolean;
  readonly signal: AbortSignal;
  /** A line for people. */
  readonly tell: (line: string) => void;
  readonly progress: RecoverProgress;
}

/** What is being done, and how far it has got. */
export type RecoverProgress = (doing: string, done: number, of: number) => void;

export interface RecoverReport {
  readonly partitions: number;
  readonly position: Position;
  /** Of the proved batch; null: there was no record. */
  readonly batch: string | null;
  readonly records: number;
  readonly rows: number;
  /** By whom: sources with an id of their own. */
  readonly sources: number;
  readonly read: { readonly files: number; readonly bytes: number; readonly lines: number };
  /** What was not taken: lines that repeat a record, say something else of its offset, or repeat a source's reading; what is no line. */
  readonly dropped: {
    readonly doubles: number;
    readonly conflicts: number;
    readonly copies: number;
    readonly torn: number;
    readonly unreadable: number;
  };
  /** Offsets that no raw file has, and the first of their ranges. */
  readonly lost: number;
  readonly holes: readonly { readonly partition: number; readonly from: number; readonly to: number }[];
  /** Of those: below the cut of the batch view that was there, so they had been uploaded once. */
  readonly damaged: number;
  /** Whether any record has another offset or partition now. */
  readonly renumbered: boolean;
  /** n that the sources' records do not show, by service: refused before, empty, or lost. */
  readonly missing: Readonly<Record<string, number>>;
  /** Where the old data is; null: it is gone. */
  readonly old: string | null;
  readonly seconds: number;
}

/** @throws OutOfReachError when something works on the data, or there is none; PromiseError when the new views are not right */
export const recoverSystem = async (given: RecoverOptions): Promise<RecoverReport> => {
  const { settings } = given;
  const { data } = settings;
  const homes = homesOf(settings);
  if (!(await hasData(homes))) {
    const [where, flag] = settings.storage === 'local' ? [data, '--data'] : [settings.storage, '--storage'];
    throw new OutOfReachError(`${where} has no raw files, and everything is made from them: name the right place by ${flag}`);
  }
  mkdirSync(data, { recursive: true });
  const release = lockData(data);
  try {
    const cutOff = await finishChangeOver<RecoverReport>(homes);
    if (cutOff !== undefined) {
      given.tell('a recover that was cut off while it changed over is finished now');
      return cutOff.report;
    }
    await refuseWhileOpen(data);
    await stopLeftover(path.join(data, stagingName));
    for (const home of [homes.storage, homes.server]) await home.removeTree(stagingName);
    const running = settings.nats === undefined ? await findRunning(data) : undefined; // on a new store, or it is refused
    return await recoverFrom(running === undefined ? given : { ...given, settings: { ...settings, nats: running.url } }, homes);
  } finally {
    release();
  }
};

export const interrupted = (): OutOfReachError => new OutOfReachError('interrupted: the old data is as it was');

/** A server that a killed recover left. */
const stopLeftover = async (staging: string): Promise<void> => {
  const running = await findRunning(staging);
  if (running !== undefined) process.kill(running.pid, 'SIGKILL');
};

const hasData = async ({ storage, server }: Homes): Promise<boolean> =>
  (await storage.exists('raw')) || (await storage.exists(recoverNote)) || (await server.exists(serverFolder));

const recoverFrom = async (options: RecoverOptions, homes: Homes): Promise<RecoverReport> => {
  const { settings, progress, signal } = options;
  const { data } = settings;
  const startedAt = performance.now();
  const joins = settings.nats !== undefined;
  if (joins) await refuseUnlessNew(settings, settings.nats);
  const storage = await openStorage(settings);
  try {
    const tail = joins ? { files: [], partitions: 0 } : await readLogTail(settings, options.tell);
    if (settings.storage !== 'local') for (const file of tail.files) await storage.adopt(path.join(data, file.path), file.path);
    const files = [...(await listRawFiles(storage)), ...tail.files];
    const bytes = (await Promise.all(files.map((file) => storage.length(file.path)))).reduce<number>((sum, one) => sum + (one ?? 0), 0);
    const scan = await scanRawFiles(storage, files, (done) => {
      if (signal.aborted) throw interrupted();
      progress('reading raw files', done, bytes);
    });
    const cut = await readOldCut(storage);
    const partitions = choosePartitions(scan, { asked: options.partitions, logs: tail.partitions, cut, byDefault: settings.partitions });
    const rebuilt = await rebuildFrom({ ...options, storage, scan, partitions, cut });
    const isWhole = rebuilt.lost === 0 && scan.unreadable === 0 && rebuilt.dropped.conflicts === 0;
    const aside = `before-recover-${new Date().toISOString().replace(/[-:]|\.\d+/g, '')}`;
    const keepsOld = options.keepsOld || !isWhole;
    const report: RecoverReport = {
      partitions,
      ...rebuilt,
      records: sumPosition(rebuilt.position),
      read: { files: scan.files, bytes: scan.bytes, lines: scan.records },
      old: keepsOld ? homes.storage.placeOf(aside) : null,
      seconds: Math.round(performance.now() - startedAt) / 1_000,
    };
    progress('changing over', 1, 1);
    const change: ChangeOver<RecoverReport> = { folders: joins ? dataFolders : [...dataFolders, serverFolder], aside, keepsOld, report };
    await changeOver(homes, change);
    return report;
  } finally {
    await storage.close();
  }
};
