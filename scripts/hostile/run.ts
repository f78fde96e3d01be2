/**
 * A long run of hostile readings through a whole system of its own, in a temporary folder, in bounded memory:
 *
 *   node dist/scripts/hostile/run.js --readings 10000000 --seed 1
 *   node dist/scripts/hostile/run.js --case minute --readings 1000000      all in one minute of one service
 *   node dist/scripts/hostile/run.js --case services --readings 100000     a service each
 *
 * Prints what it counted and how many rows differ; exit code 5 if any does.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openBus } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { PromiseError } from '../../infra/errors.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { askBatch } from '../ask-batch.js';
import { startBenchSystem } from '../bench/bench-system.js';
import { randomOf } from '../chaos/random.js';
import { importLines } from '../import/import-lines.js';
import { readRecorded } from '../import/recorded.js';
import { type Checked, checkAnswer, checkFiles, checkRefused, whenCounted } from './check.js';
import { Expected, type Message } from './expected.js';
import { hostileFile, hostileMessages } from './messages.js';
import { publishMessages } from './publish.js';

const { values } = parseArgs({
  options: {
    readings: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '1' },
    case: { type: 'string', default: 'mixed' },
    imported: { type: 'string', default: '0.25' },
    /** For a machine that others use as well: how long nothing may seem to get on, s, and the leases' time. */
    patience: { type: 'string', default: '120' },
    'lease-ttl': { type: 'string', default: '5s' },
  },
});
const readings = Number(values.readings);
const seed = Number(values.seed);
const patienceMs = Number(values.patience) * 1_000;
const batchMs = 3_600_000;

const startedAt = performance.now();
let differences = 0;
const say = (text: string): void => {
  process.stdout.write(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(8)} s  ${text}\n`);
};
const report = ({ what, rows, records, differences: differing, examples }: Checked): void => {
  differences += differing;
  say(`${what}: ${rows} rows of ${records} records, ${differing} differ`);
  for (const example of examples) say(`  ${example}`);
};

const expected = new Expected();

const linesPerMessage = 500;

/** One minute of one service, the largest values, so that sums pass 2^52 and 2^53 millionths. */
const minute = Math.floor(Date.now() / 60_000) * 60_000;
function* ofOneMinute(count: number): Generator<Message> {
  for (let made = 0, i = 0; made < count; i++) {
    const lines = Array.from({ length: Math.min(linesPerMessage, count - made) }, (_, k) =>
      JSON.stringify({
        service: 'one',
        timestamp: minute + ((made + k) % 60_000),
        cpu: 10_000,
        ram: (made + k) % 10_001,
        disk: 9_999.999999,
      }),
    );
    made += lines.length;
    yield { subject: `metrics.one-${i % 16}`, body: Buffer.from(lines.join('\n')) };
  }
}

function* ofManyServices(count: number, first: number): Generator<Message> {
  const at = Date.now();
  for (let made = 0, i = 0; made < count; i++) {
    const lines = Array.from({ length: Math.min(linesPerMessage, count - made) }, (_, k) =>
      JSON.stringify({ service: `service ${first + made + k}`, timestamp: at, cpu: (made + k) % 101, ram: 2, disk: 3 }),
    );
    made += lines.length;
    yield { subject: `metrics.many-${i % 16}`, body: Buffer.from(lines.join('\n')) };
  }
}

const made = (count: number, run: number): Generator<Message> => {
  if (values.case === 'minute') return ofOneMinute(count);
  if (values.case === 'services') return ofManyServices(count, run * readings);
  return hostileMessages({ random: randomOf(seed + run), readings: count, now: Date.now(), run: `run ${seed} ${run}` });
};

function* counted(messages: Generator<Message>): Generator<Message> {
  for (const message of messages) {
    expected.add(message, Date.now());
    yield message;
  }
}

const system = await startBenchSystem(['--part-every', '5s', '--batch-every', '24h', '--lease-ttl', values['lease-ttl']]);
const work = await mkdtemp(join(tmpdir(), 'tidemark-hostile-'));
const bus = await openBus({ nats: system.nats }, 'hostile run');
const sql = await openDuckdb({ memoryMiB: 1024, threads: 2, tempFolder: work, allowedFolders: [system.data] });
let pssMax = 0;
const watch = setInterval(() => {
  const { buffers, layers } = system.usage();
  pssMax = Math.max(pssMax, buffers.pssBytes + layers.pssBytes);
}, 1_000);

const importSome = async (count: number): Promise<void> => {
  const path = join(work, 'readings.ndjson');
  const now = Date.now();
  const lines = function* (): Generator<Buffer> {
    for (const { bytes } of hostileFile({ random: randomOf(seed), readings: count, now, run: `file ${seed}` })) {
      expected.addLine(bytes, 'metrics.file', undefined, now);
      yield Buffer.concat([bytes, Buffer.from('\n')]);
    }
  };
  await pipeline(Readable.from(lines()), createWriteStream(path));
  const connection = await connectSource({ nats: system.nats }, 'hostile import');
  try {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    const content = hash.digest('hex');
    const counts = await importLines({
      lines: readRecorded(path),
      content,
      connection,
      patienceMs,
      onProgress: () => undefined,
    });
    const refused = Object.values(counts.refused).reduce((sum, one) => sum + one, 0);
    say(`imported: ${counts.taken} taken, ${refused} refused, ${counts.known} known`);
    if (counts.taken !== expected.accepted || refused !== expected.refused || counts.known !== expected.copies) differences += 1;
  } finally {
    await connection.close();
  }
};

/** On a machine that others use as well a scheduler may lose its lease, and its successor abandons what it began. */
const abandonedMax = 5;

const askUntilProved = async (kind: 'batch' | 'rebuild'): Promise<ViewProved | null> => {
  for (let abandoned = 0; ; abandoned++) {
    try {
      return await askBatch(bus, kind, batchMs);
    } catch (error) {
      if (!(error instanceof PromiseError && error.message.endsWith('its scheduler is gone')) || abandoned === abandonedMax) throw error;
      say(`${error.message}: asked for again`);
    }
  }
};

/** The batch that the files show: a long run has some that nobody asked for. */
const batchNow = async (): Promise<string | null> => {
  const text = await readFile(join(system.data, 'views/batch/latest.json'), 'utf8').catch(() => '{}');
  return (JSON.parse(text) as { batch?: string }).batch ?? null;
};

const batch = async (kind: 'batch' | 'rebuild'): Promise<string | null> => {
  let isDone = false;
  const proving = askUntilProved(kind).finally(() => {
    isDone = true;
  });
  proving.catch(() => undefined);
  while (!isDone) {
    report(await checkAnswer(bus, expected, `during a ${kind}`));
    await Promise.race([setTimeout(15_000), proving.catch(() => undefined)]);
  }
  const proved = await proving;
  if (proved === null) {
    say(`no ${kind} was needed`);
    return batchNow();
  }
  say(`${kind} ${proved.batch}: ${proved.records} records in ${proved.rows} rows, ${proved.differences} differences`);
  differences += proved.differences;
  return proved.batch;
};

/** A part ends with a record: one more in each partition, so that the manifest has all that was refused before. */
function* lastOnes(): Generator<Message> {
  for (let i = 0; i < 32; i++) {
    const body = Buffer.from(JSON.stringify({ service: `last ${i}`, timestamp: Date.now(), cpu: 1, ram: 1, disk: 1 }));
    yield { subject: `metrics.last-${i}`, body };
  }
}

try {
  const files = { sql, bus, folder: system.data };
  await whenCounted(bus, expected, patienceMs);
  const imported = values.case === 'mixed' ? Math.round(readings * Number(values.imported)) : 0;
  if (imported > 0) await importSome(imported);
  const first = Math.round((readings - imported) / 2);
  await publishMessages(bus, counted(made(first, 1)));
  say('published the first half');
  await whenCounted(bus, expected, patienceMs);
  report(await checkAnswer(bus, expected, 'before a batch'));
  report(await checkFiles(files, await batchNow(), expected, true));
  const one = await batch('batch');
  report(await checkAnswer(bus, expected, 'after the batch'));
  report(await checkFiles(files, one, expected, false));
  await publishMessages(bus, counted(made(readings - imported - first, 2)));
  say('published the rest');
  await whenCounted(bus, expected, patienceMs);
  report(await checkFiles(files, await batchNow(), expected, true));
  await publishMessages(bus, counted(lastOnes()));
  await whenCounted(bus, expected, patienceMs);
  const two = await batch('batch');
  report(await checkAnswer(bus, expected, 'after the second batch'));
  report(await checkFiles(files, two, expected, false));
  const refused = two === null ? [] : await checkRefused(system.data, two, expected);
  differences += refused.length;
  for (const wrong of refused.slice(0, 10)) say(`refused: ${wrong}`);
  await batch('rebuild');
  report(await checkAnswer(bus, expected, 'after a rebuild'));
} finally {
  clearInterval(watch);
  const usage = system.usage();
  say(
    `${expected.accepted} accepted in ${expected.rowCount} rows, ${expected.refused} refused, ${expected.copies} copies, ` +
      `${expected.missing} missing; CPU seconds: nats ${usage.nats.cpuSeconds}, buffers ${usage.buffers.cpuSeconds}, ` +
      `layers ${usage.layers.cpuSeconds}; PSS at most ${Math.round(pssMax / 2 ** 20)} MiB`,
  );
  sql.close();
  await bus.close();
  await system.stop();
  await rm(work, { recursive: true, force: true });
}
say(`${differences} differences`);
process.exitCode = differences === 0 ? 0 : 5;
