/** For tests that strike real processes: a server, actors by the command line, a load, and at the end everything counted. */
import path from 'node:path';
import type { Test } from 'tap';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { queryExact } from '../../infra/client/query.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openStorage } from '../../infra/storage/open.js';
import { compareView } from '../../scripts/chaos/expected.js';
import { readBatchFiles } from '../../scripts/chaos/files.js';
import { Load } from '../../scripts/chaos/load.js';
import { Random } from '../../scripts/chaos/random.js';
import { ActorVictim, flagsOf } from '../../scripts/chaos/victims.js';
import { type ActorShown, readStatus } from '../../scripts/status/status.js';
import { verifySystem } from '../../scripts/verify/verify.js';
import { startNats, type TestNats, temporaryFolder } from '../servers.js';
import { until } from '../until.js';
import { answered } from './system.js';

export interface UnderLoad {
  readonly nats: TestNats;
  /** The test's own connection; after the server was away, `reconnect` opens another. */
  readonly bus: Bus;
  reconnect(): Promise<void>;
  readonly load: Load;
  /** What the actors' processes said. */
  readonly logFile: string;
  /** The actors' data folder. */
  readonly data: string;
  /** Starts a process with these actors; it ends at the test's teardown. `flags` go before the short times that all have. */
  start(
    name: string,
    actors: readonly string[],
    environment?: Readonly<Record<string, string>>,
    flags?: readonly string[],
  ): Promise<ActorVictim>;
  /** Who of an actor works, as `status` shows it. */
  working(actor: string): Promise<ActorShown[]>;
  /** Resolves when an actor's instances share the partitions as evenly as can be, each some. */
  untilShared(actor: string, instances: number): Promise<ActorShown[]>;
  /** Everything arrives; then answers, the files and `verify` must hold exactly what was acknowledged. */
  isExact(t: Test): Promise<void>;
}

const farAway = 4_102_444_800_000;

export interface UnderLoadOptions {
  readonly seed: number;
  readonly messagesPerSecond?: number;
  /** Of every process, above the short times that all have. */
  readonly flags?: readonly string[];
  /** The actors' data folder, and the server's; one temporary folder for both without them. */
  readonly data?: string;
  readonly natsData?: string;
  /** As `--storage` takes it. */
  readonly storage?: string;
}

export const startUnderLoad = async (
  t: Test,
  { seed, messagesPerSecond = 200, flags = [], storage: address = 'local', ...folders }: UnderLoadOptions,
): Promise<UnderLoad> => {
  const nats = await startNats(t, folders.natsData === undefined ? {} : { data: folders.natsData });
  const { url, httpPort } = nats;
  const data = folders.data ?? nats.data;
  const home = { storage: address, data, copiesBytesMax: 2 ** 30 };
  const logFile = path.join(temporaryFolder(t), 'actors.log');
  const load = new Load(new Random(seed), messagesPerSecond);
  let bus = await openBus({ nats: url }, 'test');
  t.teardown(async () => {
    await load.stop();
    await bus.close();
  });
  const shown = async (): Promise<readonly ActorShown[]> => (await readStatus(bus, { data })).actors;
  const working = async (actor: string): Promise<ActorShown[]> =>
    (await shown()).filter((one) => one.actor === actor && one.state === 'working');
  return {
    nats,
    get bus() {
      return bus;
    },
    reconnect: async () => {
      await bus.close();
      bus = await openBus({ nats: url }, 'test');
    },
    load,
    logFile,
    data,
    working,
    start: async (name, actors, environment, more = []) => {
      const settings = [...flagsOf({ url, data, httpPort }), '--storage', address, ...flags, ...more];
      const victim = new ActorVictim(name, ['start', ...actors, ...settings], logFile, environment);
      await victim.start();
      t.teardown(async () => {
        victim.resume();
        await victim.kill();
      });
      return victim;
    },
    untilShared: (actor, instances) =>
      until(async () => {
        const found = await working(actor);
        const counts = found.map(({ partitions }) => partitions.length);
        const isEven = Math.max(...counts) - Math.min(...counts) <= 1;
        return found.length === instances && isEven && counts.reduce((sum, count) => sum + count, 0) === 4 ? found : undefined;
      }),
    isExact: async (t) => {
      await load.drain();
      const readings = load.accepted;
      const rows = await until(async () => {
        const answer = await answered(() => queryExact(bus, { from: 0, to: farAway }), 1_000);
        const records = answer.terms.position.reduce((sum, to) => sum + to, 0);
        return records >= readings.length ? answer.rows : undefined;
      });
      t.match(compareView(rows, readings), { missing: 0, extra: 0 }, `answers hold ${readings.length} readings exactly once`);
      const files = await readBatchFiles(url, home, readings.length);
      t.match(compareView(files, readings), { missing: 0, extra: 0 }, 'the files of latest.json too');
      t.equal(load.shrunk, 0, 'no acknowledgement was taken back');
      const storage = await openStorage(home);
      const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: storage.workFolder, allowedFolders: [data] });
      try {
        const report = await verifySystem({ bus, storage }, sql);
        t.equal(report.differences, 0, `verify counts ${report.records} records in ${report.rows} rows`);
        if (report.differences > 0) t.comment(report.found);
      } finally {
        sql.close();
        await storage.close();
      }
    },
  };
};
