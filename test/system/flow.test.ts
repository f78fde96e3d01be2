import { readFile } from 'node:fs/promises';
import path from 'node:path';
import t from 'tap';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { type ExactAnswer, queryExact } from '../../infra/client/query.js';
import { messageOf, OutOfReachError, RetryableError } from '../../infra/errors.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { readManifest, readViewProved } from '../../protocol/messages/readers.js';
import type { RowTuple } from '../../protocol/messages/row-tuple.js';
import { type Position, reaches, sumPosition } from '../../protocol/range.js';
import { bruteForce, compareRows } from './brute-force.js';
import { publishAll, type Reading, type System, startSystem } from './system.js';

/** Ties, late ones, three dates in two months, four services on three hosts. */
const reading = (i: number): Reading => ({
  service: ['web', 'db', 'Ticketing Service', '../up'][i % 4] as string,
  host: `h${i % 3}`,
  timestamp: Date.UTC(2026, 9, 31) + ((i * 7919) % 400) * 600_000 + (i % 60_000),
  cpu: (i * 37) % 101,
  ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
  disk: i % 2 === 0 ? 50 : 33.333333,
});

const farAway = Date.UTC(2100, 0, 1);

/** A connection that is taken anew when it is lost. */
const openAgain = ({ settings, nats }: System) => {
  let bus: Bus | undefined;
  return {
    use: async <T>(use: (bus: Bus) => Promise<T>): Promise<T> => {
      for (;;) {
        try {
          if (bus === undefined || bus.isClosed) bus = await openBus({ ...settings, nats: nats.url }, 'test reader');
          return await use(bus);
        } catch (error) {
          if (!(error instanceof OutOfReachError || error instanceof RetryableError || bus?.isClosed === true)) throw error;
          await new Promise((resolve) => {
            setTimeout(resolve, 50);
          });
        }
      }
    },
    close: async () => bus?.close(),
  };
};

const ask = (bus: Bus, after: Position): Promise<ExactAnswer> => queryExact(bus, { from: 0, to: farAway, after, waitMs: 20_000 });

/** Polls with --after its last position: what it sees never goes back. */
const watchView = (system: System) => {
  const connection = openAgain(system);
  const faults: string[] = [];
  let isOver = false;
  let answers = 0;
  const batches = new Set<string | null>();
  const watching = (async () => {
    let position: Position = [];
    let messages = 0;
    let seen = new Map<string, number>();
    while (!isOver) {
      const { rows, terms } = await connection.use((bus) => ask(bus, position));
      const now = new Map(rows.map((row) => [`${row[0]} ${row[1]}`, row[11] as number]));
      const sum = [...now.values()].reduce((a, b) => a + b, 0);
      if (sum !== sumPosition(terms.position)) faults.push(`msg_num sums to ${sum} at ${terms.position}`);
      if (sum < messages || !reaches(terms.position, position)) faults.push(`${messages} at ${position}, then ${sum} at ${terms.position}`);
      for (const [key, count] of seen) if ((now.get(key) ?? 0) < count) faults.push(`${key}: ${count}, then ${now.get(key)}`);
      [position, messages, seen] = [terms.position, sum, now];
      batches.add(terms.batch);
      answers += 1;
    }
  })();
  watching.catch((error: unknown) => faults.push(messageOf(error)));
  return {
    stop: async () => {
      isOver = true;
      await watching.catch(() => undefined);
      await connection.close();
      return { faults, answers, batches };
    },
  };
};

/** Publishes until it is told to stop; all that it gave is acknowledged then. */
const startLoad = (system: System) => {
  const readings: Reading[] = [];
  let position: Position = new Array<number>(system.settings.partitions).fill(0);
  let isOver = false;
  const publishing = (async () => {
    while (!isOver) {
      const some = Array.from({ length: 200 }, (_, i) => reading(readings.length + i));
      readings.push(...some);
      const reached = await publishAll(system, some);
      position = position.map((offset, p) => Math.max(offset, reached[p] as number));
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await publishing;
      return { readings, position };
    },
  };
};

t.test('the whole system through batches, a clean restart and a kill, under load: nothing goes back, 0 rows differ', async (t) => {
  const system = await startSystem(t, { batchEvery: '1s', partEvery: '300ms', snapshotEvery: '500ms' });
  const connection = openAgain(system);
  t.teardown(connection.close);
  const proofs = (): Promise<number> =>
    connection.use(async (bus) => {
      const last = await bus.last('BATCH', 'view.proved');
      if (last === undefined) return 0;
      const proved = readViewProved(last.body);
      t.equal(proved.differences, 0, proved.examples.join('; '));
      return Number(proved.batch);
    });
  /** Waits until so many more batches are proved. */
  const moreBatches = async (count: number): Promise<void> => {
    const from = await proofs();
    while ((await proofs()) < from + count)
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
  };
  const view = watchView(system);
  const load = startLoad(system);
  await moreBatches(2);
  await system.stop();
  await system.nats.restart();
  system.start();
  await moreBatches(2);
  await system.nats.kill();
  await system.nats.start();
  await moreBatches(1);
  const { readings, position } = await load.stop();
  const { faults, answers, batches } = await view.stop();
  t.same(faults, []);
  t.ok(answers >= 10 && batches.size >= 3, `${answers} answers, from batches ${[...batches].join(' ')}`);
  const expected = bruteForce(readings);
  const { rows, terms } = await connection.use((bus) => ask(bus, position));
  t.same(compareRows(rows, expected), [], 'the answer');
  t.equal(sumPosition(terms.position), readings.length);
  t.equal(terms.missing, 0);

  const latest = path.join(system.data, 'views/batch/latest.json');
  for (;;) {
    // all of it is in a batch view before long
    const manifest = readManifest(await readFile(latest));
    if (reaches(manifest.cut, position)) break;
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
  const { files } = readManifest(await readFile(latest));
  const sql = await openDuckdb({
    memoryMiB: 256,
    threads: 1,
    tempFolder: path.join(system.data, 'work'),
    allowedFolders: [system.data],
  });
  const found = await sql.rows('SELECT * FROM read_parquet($files, union_by_name = true)', {
    files: files.map((file) => path.join(system.data, file.path)),
  });
  sql.close();
  const millionths = (value: unknown): number => Math.round((value as number) * 1e6);
  const tuples = found.map(
    (row): RowTuple => [
      row.service as string,
      Date.parse(row.time_stamp as string),
      millionths(row.cpu),
      millionths(row.ram),
      millionths(row.disk),
      millionths(row.max_cpu),
      Date.parse(row.max_cpu_time as string),
      millionths(row.max_ram),
      Date.parse(row.max_ram_time as string),
      millionths(row.max_disk),
      Date.parse(row.max_disk_time as string),
      Number(row.msg_num),
    ],
  );
  t.same(compareRows(tuples, expected), [], "the batch view's Parquet, by latest.json");
  t.same(
    files
      .map(({ month }) => month)
      .filter((month, i, all) => all.indexOf(month) === i)
      .sort(),
    ['2026-10', '2026-11'],
  );
});
