/** Retention: with everything made small, what may go goes, while a partition is idle; what somebody still needs stays. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t, { type Test } from 'tap';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { queryExact } from '../../infra/client/query.js';
import { openSource } from '../../infra/client/source.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openLocalStorage } from '../../infra/storage/local.js';
import { readViewProved } from '../../protocol/messages/readers.js';
import { partitionOf } from '../../protocol/name-code.js';
import { verifySystem } from '../../scripts/verify/verify.js';
import { until } from '../until.js';
import { bruteForce, compareRows } from './brute-force.js';
import { answered, type Reading, type System, startSystem } from './system.js';

t.setTimeout(240_000); // of a machine that has much else to do

const small = {
  partitions: '2',
  partEvery: '300ms',
  batchEvery: '1s',
  recomputeEvery: '3s',
  purgeEvery: '200ms',
  segmentsKeep: '1s',
  snapshotEvery: '1s',
  uploadEvery: '100ms',
  metricsBytesMax: '2MiB',
  segmentsBytesMax: '4MiB',
};

const KiB = 1024;
/** Streams that may forget their oldest: so small that they do it here. */
const forgetful = { REJECTED: 16 * KiB, VIEWS: 256 * KiB } as const;

const makeSmaller = async ({ nats }: System): Promise<void> => {
  const connection = await connect({ servers: nats.url });
  const manager = await jetstreamManager(connection);
  for (const [name, bytes] of Object.entries(forgetful)) await manager.streams.update(name, { max_bytes: bytes });
  await connection.close();
};

/** A host of the service whose source lands in this partition. */
const hostIn = (partition: number): string =>
  Array.from({ length: 100 }, (_, i) => `h${i}`).find((host) => partitionOf(`metrics.web.${host}`, 2) === partition) as string;

const hours = 3;
const readingOf = (i: number, host: string): Reading => ({
  service: 'web',
  host,
  timestamp: Date.UTC(2026, 9, 31, 22) + ((i * 7_919) % (hours * 60)) * 60_000 + (i % 60_000),
  cpu: i % 101,
  ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
  disk: 50,
});

/** Two sources, one of which has nothing more to say after its first moments until the load ends. */
const startLoad = async ({ settings }: System) => {
  const connection = await connectSource({ ...settings, nats: settings.nats as string }, 'test load');
  const readings: Reading[] = [];
  const sourceIn = (partition: number) => {
    const host = hostIn(partition);
    const source = openSource({ connection, subject: `metrics.web.${host}`, agent: `a${partition}` });
    return async (count: number): Promise<void> => {
      await source.room();
      const more = Array.from({ length: count }, (_, i) => readingOf(readings.length + i, host));
      readings.push(...more);
      source.add([...more.map((reading) => JSON.stringify(reading)), 'not JSON']);
    };
  };
  const [busy, idle] = [sourceIn(0), sourceIn(1)] as const;
  await idle(200);
  let isOver = false;
  const publishing = (async () => {
    while (!isOver) {
      await busy(40);
      await sleep(20);
    }
  })();
  return {
    readings,
    stop: async (): Promise<void> => {
      isOver = true;
      await publishing;
      await idle(5); // it still has its place
      await sleep(0);
    },
    close: () => connection.close(),
  };
};

/** How much there is of everything: messages of each stream, files of each kind. */
const measure = async (bus: Bus, data: string): Promise<Record<string, number>> => {
  const found: Record<string, number> = {};
  for (const { name, messages } of await bus.logs()) found[name] = messages;
  const count = async (name: string, folder: string, fits: RegExp): Promise<void> => {
    const names = await readdir(path.join(data, folder), { recursive: true }).catch(() => []);
    found[name] = names.filter((one) => fits.test(one)).length;
  };
  await count('parts', 'views/realtime', /parquet$/);
  await count('batch files', 'views/batch', /parquet$/);
  await count('manifests', 'views/batch', /\d\.json$/);
  await count("mappers' files", 'minutes', /\./);
  await count('snapshots', 'state/buffer', /json$/);
  await count('work files', 'work', /\./);
  return found;
};

const newestProof = async (bus: Bus): Promise<number> => {
  const last = await bus.last('BATCH', 'view.proved');
  return last === undefined ? 0 : Number(readViewProved(last.body).batch);
};

const batchesOfHalf = 6;

/** What is measured until so many more batches are proved, and the greatest and the least of each. */
const watch = async (bus: Bus, data: string) => {
  const until = (await newestProof(bus)) + batchesOfHalf;
  const most: Record<string, number> = {};
  const least: Record<string, number> = {};
  while ((await newestProof(bus)) < until) {
    for (const [name, count] of Object.entries(await measure(bus, data))) {
      most[name] = Math.max(most[name] ?? 0, count);
      least[name] = Math.min(least[name] ?? Number.POSITIVE_INFINITY, count);
    }
    await sleep(50);
  }
  return { most, least };
};

const isBounded = (t: Test, first: Awaited<ReturnType<typeof watch>>, second: Awaited<ReturnType<typeof watch>>): void => {
  for (const [name, most] of Object.entries(second.most)) {
    const [before, least] = [first.most[name] ?? 0, second.least[name] ?? 0];
    t.comment(`${name}: at most ${before}, then from ${least} to ${most}`);
    t.ok(least <= before, `${name}: what is done with goes`);
    t.ok(most <= 2 * before + 10, `${name}: not more than before`);
  }
};

t.test('every stream and folder stays bounded under load, and nothing that somebody needs goes', async (t) => {
  const system = await startSystem(t, small, []);
  const { bus, data } = system;
  await system.ended; // the streams are there
  await makeSmaller(system);
  system.start(['buffer', 'uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger']);
  const load = await startLoad(system);
  t.teardown(load.close);
  await until(async () => (await newestProof(bus)) >= 3 || undefined);
  const first = await watch(bus, data);
  const second = await watch(bus, data);
  isBounded(t, first, second);
  await load.stop();

  const reached = load.readings.length;
  const { terms } = await until(async () => {
    const answer = await system.rows();
    return answer.terms.position.reduce((sum, offset) => sum + offset, 0) === reached ? answer : undefined;
  });
  await system.stop();
  await system.nats.restart();
  system.start(['buffer', 'uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger']);
  const again = await openBus({ ...system.settings, nats: system.nats.url }, 'test again');
  t.teardown(() => again.close());
  const { rows } = await answered(() => queryExact(again, { from: 0, to: Date.UTC(2100, 0), after: terms.position, waitMs: 30_000 }));
  t.same(compareRows(rows, bruteForce(load.readings)), [], 'after a restart of everything 0 rows differ');
  const storage = await openLocalStorage(data);
  const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: storage.workFolder, allowedFolders: [data] });
  t.teardown(async () => {
    sql.close();
    await storage.close();
  });
  t.match(await verifySystem({ bus: again, storage }, sql), { differences: 0, found: [], records: reached });
});
