/** For faults of HDFS: a system whose files are in a real one, under load, with everything counted at the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openStorage } from '../../infra/storage/open.js';
import type { Storage } from '../../infra/storage/storage.js';
import { compareView } from '../../scripts/chaos/expected.js';
import { Load } from '../../scripts/chaos/load.js';
import { Random } from '../../scripts/chaos/random.js';
import { type RunnableActor, runnableActors } from '../../scripts/run-actors.js';
import { verifySystem } from '../../scripts/verify/verify.js';
import { until } from '../until.js';
import { type System, startSystem } from './system.js';

export interface HdfsSystem {
  readonly system: System;
  readonly load: Load;
  /** A storage of the test's own. */
  readonly storage: Storage;
  /** "/fault1": the folder in HDFS. */
  readonly root: string;
  /** Resolves when every partition was committed to once more. */
  committed(): Promise<void>;
  /**
   * Does it, and then waits until every partition was committed to again.
   * @returns the longest time without a commit, and the longest of some seconds before: what is usual on this machine now
   */
  pauseOf(strike: () => Promise<void>): Promise<{ pausedMs: number; usualMs: number }>;
  /** Everything arrives and is in a proved batch; then the answer and `verify` must hold exactly what was acknowledged. */
  isExact(t: Test): Promise<void>;
}

const partitions = 2;
let systems = 0;

/** @param address "HOST:PORT" of the NameNode, or of a proxy before it */
export const startOnHdfs = async (
  t: Test,
  address: string,
  { messagesPerSecond = 200, actors = runnableActors }: { messagesPerSecond?: number; actors?: readonly RunnableActor[] } = {},
): Promise<HdfsSystem> => {
  systems += 1;
  const root = `/fault${systems}-${process.pid}`;
  // Leases outlive the moments in which a loaded machine lets nobody renew them: what pauses here is HDFS.
  const flags = {
    storage: `hdfs://${address}${root}?user=tidemark`,
    uploadEvery: '500ms',
    partEvery: '3s',
    leaseTtl: '10s',
    partitions: `${partitions}`,
  };
  const system = await startSystem(t, flags, actors);
  const storage = await openStorage(system.settings);
  t.teardown(() => storage.close());
  const load = new Load(new Random(systems), messagesPerSecond);
  await load.start(system.nats.url);
  t.teardown(() => load.stop());

  const commits = async (): Promise<number[]> =>
    Promise.all(Array.from({ length: partitions }, async (_, p) => (await system.bus.last('STORED', `raw.stored.${p}`))?.sequence ?? 0));
  /** Whoever waits hears it when the actors end. */
  const whileRunning = <T>(waited: Promise<T>): Promise<T> =>
    Promise.race([
      waited,
      system.ended.then(() => {
        throw new TypeError('the actors were stopped');
      }),
    ]);
  const newerThan = (before: readonly number[]): Promise<true> =>
    whileRunning(until(async () => ((await commits()).every((sequence, p) => sequence > (before[p] as number)) ? true : undefined)));
  const committed = async (): Promise<void> => {
    await newerThan(await commits());
  };
  /** The longest time without a commit to a partition, while it is done. */
  const longestPause = async (doing: () => Promise<void>): Promise<number> => {
    let isOver = false;
    let longest = 0;
    const watching = (async () => {
      let seen = await commits();
      const at = seen.map(() => performance.now());
      while (!isOver) {
        const now = await commits();
        for (const [p, sequence] of now.entries()) {
          longest = Math.max(longest, performance.now() - (at[p] as number));
          if (sequence > (seen[p] as number)) at[p] = performance.now();
        }
        seen = now;
        await sleep(20);
      }
    })();
    try {
      await doing();
    } finally {
      isOver = true;
    }
    await watching;
    return longest;
  };
  const commitsFollow = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) await committed(); // the first may have been under way
  };
  await committed();
  return {
    system,
    load,
    storage,
    root,
    committed,
    pauseOf: async (strike) => {
      const usualMs = await longestPause(commitsFollow);
      const pausedMs = await longestPause(async () => {
        await strike();
        await commitsFollow();
      });
      return { pausedMs, usualMs };
    },
    isExact: async (t) => {
      await load.drain();
      const { accepted } = load;
      const records = (position: readonly number[]): number => position.reduce((sum, to) => sum + to, 0);
      const answer = await whileRunning(
        until(async () => {
          await system.batch();
          const found = await system.rows();
          return records(found.terms.cut) >= accepted.length ? found : undefined;
        }),
      );
      const { missing, extra, examples } = compareView(answer.rows, accepted);
      t.same({ missing, extra, examples }, { missing: 0, extra: 0, examples: [] }, `${accepted.length} readings, all from the batch view`);
      const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: storage.workFolder, allowedFolders: [system.data] });
      try {
        const report = await verifySystem({ bus: system.bus, storage }, sql);
        t.equal(report.differences, 0, `verify counts ${report.records} records`);
        if (report.differences > 0) t.comment(report.found);
      } finally {
        sql.close();
      }
    },
  };
};
