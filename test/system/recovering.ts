/** What the tests of `recover` share: a system that is stopped, loses its server's store, and goes on after a recover. */
import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Test } from 'tap';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { type ExactAnswer, queryExact } from '../../infra/client/query.js';
import { openSource } from '../../infra/client/source.js';
import type { Settings } from '../../infra/config.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openStorage } from '../../infra/storage/open.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import type { Position } from '../../protocol/range.js';
import { askBatch } from '../../scripts/ask-batch.js';
import { type RecoverReport, recoverSystem } from '../../scripts/recover/recover.js';
import { type RunnableActor, runActors, runnableActors } from '../../scripts/run-actors.js';
import { type VerifyReport, verifySystem } from '../../scripts/verify/verify.js';
import { answered, type System, startSystem } from './system.js';

export interface Recoverable {
  readonly data: string;
  readonly settings: Settings;
  readonly system: Pick<System, 'settings'>;
  rows(after?: Position): Promise<ExactAnswer>;
  batch(): Promise<ViewProved | null>;
  verify(): Promise<VerifyReport>;
  stop(): Promise<void>;
  /** With another number of partitions, or fewer actors. */
  start(partitions?: number, names?: readonly RunnableActor[]): Promise<void>;
  /** Everything stopped, the server's store gone unless it is to stay. */
  lose(keepsStore?: boolean): Promise<void>;
  recover(options?: { partitions?: number; nats?: string; keepsOld?: boolean; settings?: Partial<Settings> }): Promise<RecoverReport>;
  /** Raw files, by their paths in the data folder. */
  rawFiles(): Promise<string[]>;
  readonly nats: System['nats'];
}

const farAway = 4_102_444_800_000;

export const startRecoverable = async (
  t: Test,
  flags: Readonly<Record<string, string>> = {},
  names: readonly RunnableActor[] = runnableActors,
): Promise<Recoverable> => {
  const first = await startSystem(t, flags, names);
  const { data, nats } = first;
  let settings = first.settings;
  let stopping: AbortController | undefined;
  let running: Promise<void> = Promise.resolve();
  let bus: Bus = first.bus;
  let isFirst = true;
  const stop = async (): Promise<void> => {
    if (isFirst) await first.stop();
    isFirst = false;
    stopping?.abort();
    await running;
  };
  t.teardown(async () => {
    stopping?.abort();
    await running.catch(() => undefined);
    await bus.close();
  });
  const connected = async (): Promise<Bus> => {
    if (bus.isClosed) bus = await openBus({ nats: nats.url }, 'test');
    return bus;
  };
  return {
    data,
    nats,
    get settings() {
      return settings;
    },
    get system() {
      return { settings };
    },
    rows: (after = []) => answered(async () => queryExact(await connected(), { from: 0, to: farAway, after, waitMs: 60_000 })),
    batch: async () => askBatch(await connected(), 'batch', 120_000),
    verify: async () => {
      const storage = await openStorage(settings);
      const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: storage.workFolder, allowedFolders: [data] });
      try {
        return await verifySystem({ bus: await connected(), storage }, sql);
      } finally {
        sql.close();
        await storage.close();
      }
    },
    stop,
    start: async (partitions = settings.partitions, which = runnableActors) => {
      settings = Object.freeze({ ...settings, partitions });
      const { createLog } = await import('../../infra/log.js');
      stopping = new AbortController();
      running = runActors([...which], settings, { signal: stopping.signal, log: createLog(settings) });
      running.catch(() => undefined);
    },
    lose: async (keepsStore = false) => {
      await stop();
      await bus.close();
      await nats.stop();
      if (!keepsStore) await rm(path.join(data, 'nats'), { recursive: true });
    },
    recover: ({ partitions, nats: url, keepsOld = false, settings: more = {} } = {}) =>
      recoverSystem({
        settings: { ...settings, logLevel: 'silent', ...more, nats: url },
        partitions,
        keepsOld,
        signal: new AbortController().signal,
        tell: () => undefined,
        progress: () => undefined,
      }),
    rawFiles: async () =>
      existsSync(path.join(data, 'raw'))
        ? (await readdir(path.join(data, 'raw'), { recursive: true }))
            .filter((name) => name.endsWith('.ndjson'))
            .map((name) => `raw/${name}`)
            .sort()
        : [],
  };
};

/** The lines of all raw files below a folder, without their offsets if those may be others, sorted. */
export const linesOf = async (data: string, files: readonly string[], withoutOffsets = false): Promise<string[]> => {
  const texts = await Promise.all(files.map((file) => readFile(path.join(data, file), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
  return lines.map((line) => (withoutOffsets ? line.slice(line.indexOf(',')) : line)).sort();
};

/** Sends lines under a source's own n from 1 on; resolves when all are sealed, refused ones too. @returns where they are */
export const sendLines = async (
  { settings }: Pick<System, 'settings'>,
  subject: string,
  agent: string,
  lines: readonly string[],
): Promise<{ partition: number; offset: number; refused: number }> => {
  const connection = await answered(() => connectSource({ ...settings, nats: settings.nats as string }, 'test source'));
  try {
    const source = openSource({ connection, subject, agent });
    for (let from = 0; from < lines.length; from += 20) {
      await source.room();
      source.add(lines.slice(from, from + 20));
    }
    await source.drained();
    source.close();
    const refused = Object.values(source.counts.refused).reduce((sum, count) => sum + count, 0);
    return { partition: source.reached?.partition ?? 0, offset: source.reached?.offset ?? 0, refused };
  } finally {
    await connection.close();
  }
};
