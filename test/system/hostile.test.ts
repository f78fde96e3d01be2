/** Whatever comes in, by `import` and by publishing: the merged answer and all files against the independent count. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Bus } from '../../infra/bus/bus.js';
import { connectSource } from '../../infra/client/connect.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { readViewProved } from '../../protocol/messages/readers.js';
import { randomOf } from '../../scripts/chaos/random.js';
import { type Checked, checkAnswer, checkFiles, checkRefused, whenCounted } from '../../scripts/hostile/check.js';
import { Expected } from '../../scripts/hostile/expected.js';
import { hostileFile, hostileMessages } from '../../scripts/hostile/messages.js';
import { publishMessages } from '../../scripts/hostile/publish.js';
import { importLines } from '../../scripts/import/import-lines.js';
import { readRecorded } from '../../scripts/import/recorded.js';
import { type System, startSystem } from './system.js';

t.setTimeout(240_000);

const patienceMs = 30_000;

/** The lines of a file, written and counted. */
const writeFile = async (path: string, seed: number, readings: number, expected: Expected): Promise<void> => {
  const now = Date.now();
  const lines = function* () {
    for (const { bytes } of hostileFile({ random: randomOf(seed), readings, now, run: `file ${seed}` })) {
      expected.addLine(bytes, 'metrics.file', undefined, now);
      yield Buffer.concat([bytes, Buffer.from('\n')]);
    }
  };
  await pipeline(Readable.from(lines()), createWriteStream(path));
};

const importFile = async ({ settings }: System, path: string) => {
  const connection = await connectSource({ ...settings, nats: settings.nats as string }, 'test import');
  try {
    const content = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    return await importLines({
      lines: readRecorded(path),
      content,
      connection,
      patienceMs,
      onProgress: () => undefined,
    });
  } finally {
    await connection.close();
  }
};

const publish = async (system: System, seed: number, readings: number, expected: Expected): Promise<void> => {
  const now = Date.now();
  const messages = function* () {
    for (const message of hostileMessages({ random: randomOf(seed), readings, now, run: `run ${seed}` })) {
      expected.add(message, now);
      yield message;
    }
  };
  await publishMessages(system.bus, messages());
};

const same = (t: Test, { what, differences, examples, rows, records }: Checked): void => {
  t.equal(differences, 0, `${what}: ${rows} rows of ${records} records, ${differences} differ`);
  if (examples.length > 0) t.comment(examples.join('\n'));
};

const countEverything = async (t: Test, seed: number, readings: number): Promise<void> => {
  t.comment(`seed ${seed}`);
  const system = await startSystem(t);
  const { bus, data } = system;
  const sql = await openDuckdb({ memoryMiB: 512, threads: 1, tempFolder: join(data, 'tmp'), allowedFolders: [data] });
  t.teardown(() => sql.close());
  const expected = new Expected();
  const share = Math.round(readings / 4);

  const file = join(t.testdir(), 'readings.ndjson');
  await writeFile(file, seed, share, expected);
  const { accepted, refused, copies } = expected;
  const reasons = new Map<string, number>();
  for (const counts of expected.refusedCounts.values())
    for (const [reason, count] of counts) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  t.same(
    await importFile(system, file),
    {
      taken: accepted,
      refused: Object.fromEntries(reasons),
      known: copies,
      sealed: accepted + refused + copies,
    },
    'import says what became of each line',
  );
  await whenCounted(bus, expected, patienceMs);
  same(t, await checkAnswer(bus, expected, 'imported'));

  await publish(system, seed + 1, share * 2, expected);
  await whenCounted(bus, expected, patienceMs);
  same(t, await checkAnswer(bus, expected, 'before a batch'));
  same(t, await checkFiles({ sql, bus, folder: data }, null, expected, true));

  const during = async (what: string, kind: 'batch' | 'rebuild'): Promise<string> => {
    let isDone = false;
    const proving = system.batch(kind).finally(() => {
      isDone = true;
    });
    proving.catch(() => undefined);
    while (!isDone) {
      const began = performance.now();
      same(t, await checkAnswer(bus, expected, `during ${what}`));
      await setTimeout(Math.max(200, performance.now() - began)); // the actors run in this process too
    }
    const proved = (await proving) ?? (await lastProved(bus)); // nothing new: the first batch, which comes by itself, has it
    t.match(proved, { differences: 0, records: expected.accepted }, what);
    same(t, await checkAnswer(bus, expected, `after ${what}`));
    const batch = proved?.batch as string;
    same(t, await checkFiles({ sql, bus, folder: data }, batch, expected, false));
    return batch;
  };
  const first = await during('the first batch', 'batch');

  await publish(system, seed + 2, readings - share * 3, expected);
  await whenCounted(bus, expected, patienceMs);
  same(t, await checkAnswer(bus, expected, 'between batches'));
  same(t, await checkFiles({ sql, bus, folder: data }, first, expected, true));
  await finishParts(system, expected);
  const second = await during('the second batch', 'batch');
  t.same(await checkRefused(data, second, expected), [], 'refused by service and reason');
  await during('a rebuild', 'rebuild');

  const again = await importFile(system, file);
  t.match(again, { taken: 0, refused: {}, sealed: accepted + refused + copies }, 'imported again, nothing is new');
  same(t, await checkAnswer(bus, expected, 'imported again'));
  t.ok(
    expected.accepted > readings * 0.8 && expected.refused > readings * 0.02 && expected.copies > 0 && expected.missing > 0,
    `${expected.accepted} accepted in ${expected.rowCount} rows, ${expected.refused} refused, ${expected.copies} copies, ${expected.missing} missing`,
  );
};

const lastProved = async (bus: Bus): Promise<ViewProved> => readViewProved((await bus.last('BATCH', 'view.proved'))?.body as Uint8Array);

/** A part ends with a record: one more in each partition, so that the manifest has all that was refused before. */
const finishParts = async ({ bus }: System, expected: Expected): Promise<void> => {
  for (let i = 0; i < 32; i++) {
    const body = Buffer.from(JSON.stringify({ service: `last ${i}`, timestamp: Date.now(), cpu: 1, ram: 1, disk: 1 }));
    const message = { subject: `metrics.last-${i}`, body };
    expected.add(message, Date.now());
    await publishMessages(bus, [message]);
  }
  await whenCounted(bus, expected, patienceMs);
};

t.test('100,000 hostile readings of a fixed seed: 0 rows differ', { timeout: 240_000 }, (t) => countEverything(t, 20_261_123, 100_000));

t.test('5,000 hostile readings of a new seed: 0 rows differ', { timeout: 120_000 }, (t) => countEverything(t, Date.now() % 2 ** 31, 5_000));
