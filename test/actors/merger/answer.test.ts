import fc from 'fast-check';
import t from 'tap';
import { answerQuestion } from '../../../actors/merger/answer.js';
import { MonthCache } from '../../../actors/merger/month-cache.js';
import { PositionGate } from '../../../actors/merger/position-gate.js';
import { readQuestion } from '../../../actors/merger/question.js';
import { percentText } from '../../../actors/merger/row-text.js';
import type { MergerState } from '../../../actors/merger/state.js';
import { updateOf } from '../../../actors/merger/updated-rows.js';
import { applyPart, applyUpdate, createView, type View } from '../../../actors/merger/view.js';
import { merger } from '../../../actors/merger.js';
import type { Env } from '../../../infra/actor/env.js';
import type { Output } from '../../../infra/actor/output.js';
import { chunkBytesMax } from '../../../protocol/messages/chunks.js';
import { readViewAnswer, readViewUpdated } from '../../../protocol/messages/readers.js';
import { eachBlockRow } from '../../../protocol/messages/row-blocks.js';
import { fromTuple, type RowTuple, toTuple } from '../../../protocol/messages/row-tuple.js';
import { type Step, steps, type Terms } from '../../../protocol/messages/view.js';
import { addRecord, emptyRow, type KeyedRow, minuteMs, toViewRow } from '../../../protocol/minute-row.js';
import { formatMinute, stepStart } from '../../../protocol/time.js';
import { toPercent } from '../../../protocol/units.js';
import { countRows, Files, makeManifest, Partition, type Reading, sortRows } from './flow.js';

/** Below the cut in month files, some in a stored part, the rest in the open part. */
const build = (readings: readonly Reading[]): { view: View; months: MonthCache } => {
  const files = new Files();
  const partition = new Partition(0, files);
  partition.readings.push(...readings);
  const cut = Math.floor(readings.length / 2);
  const stored = Math.floor(readings.length * 0.8);
  const view = createView(1, makeManifest('000001', null, [partition], [cut], 0, files));
  if (stored > cut) {
    const part = partition.part(cut, stored);
    applyPart(view, part, files.at(part.file?.path as string));
  }
  applyUpdate(view, partition.update(stored, stored, readings.length));
  return { view, months: new MonthCache(files.read, 1e6) };
};

const ask = async ({ view, months }: { view: View; months: MonthCache }, asked: Parameters<typeof readQuestion>[0]) => {
  const bodies = await answerQuestion(view, months, readQuestion(asked, Date.UTC(2026, 10, 23)));
  const chunks = bodies.map((body) => readViewAnswer(body));
  return { bodies, rows: chunks.flatMap(({ rows }) => rows), terms: chunks.at(-1)?.terms as Terms };
};

/** The same question as the client library puts it. */
const askBlocks = async ({ view, months }: { view: View; months: MonthCache }, asked: Parameters<typeof readQuestion>[0]) => {
  const rows: RowTuple[] = [];
  const bodies = await answerQuestion(view, months, readQuestion({ ...asked, shape: 'blocks' }, Date.UTC(2026, 10, 23)));
  const heads = bodies.map((body) => eachBlockRow(body as Uint8Array, (service, minute, row) => rows.push(toTuple(service, minute, row))));
  return { bodies, rows, terms: heads.at(-1)?.terms as Terms };
};

/** By brute force, from the readings. */
const count = (readings: readonly Reading[], from: number, to: number, step: Step, zone: string): KeyedRow[] => {
  const rows = new Map<string, KeyedRow>();
  for (const { service, at, cpu, ram, disk } of readings) {
    const minute = Math.floor(at / minuteMs) * minuteMs;
    if (minute < from || minute >= to) continue;
    const start = step === 'range' ? from : stepStart(minute, step, zone);
    const key = JSON.stringify([service, start]);
    const keyed = rows.get(key) ?? { service, minute: start, row: emptyRow() };
    rows.set(key, keyed);
    addRecord(keyed.row, at, cpu, ram, disk);
  }
  return sortRows([...rows.values()]);
};

const hour = 3_600_000;
/** Around changes of the clock: Berlin's day of 25 hours, Lord Howe's half hour, Apia's lost day. */
const zones: [string, number][] = [
  ['UTC', Date.UTC(2026, 9, 31, 12)],
  ['Europe/Berlin', Date.UTC(2026, 9, 24, 12)],
  ['Europe/Berlin', Date.UTC(2026, 2, 28, 12)],
  ['Asia/Kathmandu', Date.UTC(2026, 9, 31, 12)],
  ['Australia/Lord_Howe', Date.UTC(2026, 3, 4, 0)],
  ['Pacific/Apia', Date.UTC(2011, 11, 29, 0)],
];
const reading = fc.record({
  service: fc.constantFrom('web', '__proto__', 'ü "x"', 'a'),
  at: fc.oneof(fc.nat(72 * 3_600), fc.nat(300)),
  cpu: fc.nat(10_000_000_000),
  ram: fc.nat(5),
  disk: fc.nat(1e6),
});

t.test('answers by every step and zone equal the count by brute force, over days of 23 to 25 hours', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...zones),
      fc.array(reading, { maxLength: 60 }),
      fc.constantFrom(...steps),
      fc.nat(72 * 60),
      fc.nat(72 * 60),
      fc.constantFrom(60_000, hour, 7_001),
      fc.constantFrom(60_000, hour, 7_001),
      fc.boolean(),
      async ([zone, begin], given, step, a, b, unit, toUnit, all) => {
        const readings = given.map((one): Reading => ({ ...one, at: begin + one.at * 1000 + 7, refusedBefore: 0 }));
        const from = begin + Math.floor((Math.min(a, b) * minuteMs) / unit) * unit;
        const to = Math.max(begin + Math.floor((Math.max(a, b) * minuteMs) / toUnit) * toUnit + toUnit, from + 1);
        const services = all ? undefined : ['web', '__proto__', 'nobody'];
        const asked = { from, to, step, zone, ...(services === undefined ? {} : { services }) };
        const wanted = readings.filter(({ service }) => services === undefined || services.includes(service));
        const expected = count(wanted, from, to, step, zone);
        const system = build(readings);
        const { rows, terms } = await ask(system, asked);
        const expectedRows = expected.map(({ service, minute, row }) => toViewRow(service, minute, row));
        if (JSON.stringify(rows) !== JSON.stringify(expectedRows))
          throw new TypeError(`${JSON.stringify(rows)}\nshould be\n${JSON.stringify(expectedRows)}`);
        const exact = await ask(system, { ...asked, shape: 'tuples' });
        const expectedTuples = expected.map(({ service, minute, row }) => toTuple(service, minute, row));
        if (JSON.stringify(exact.rows) !== JSON.stringify(expectedTuples)) throw new TypeError('the tuples are others');
        const blocks = await askBlocks(system, asked);
        if (JSON.stringify(blocks.rows) !== JSON.stringify(expectedTuples)) throw new TypeError('the blocks are others');
        if (JSON.stringify(blocks.terms) !== JSON.stringify(terms)) throw new TypeError('the terms of the blocks are others');
        const newest = wanted.reduce((last, { at }) => Math.max(last, at), Number.NEGATIVE_INFINITY);
        const expectedNewest = wanted.length === 0 ? null : formatMinute(Math.floor(newest / minuteMs) * minuteMs);
        if (terms.newest !== expectedNewest) throw new TypeError(`newest ${terms.newest}, should be ${expectedNewest}`);
      },
    ),
    { numRuns: 600 },
  );
});

t.test('whole hours are answered from their sums, what is before and behind them by minutes, to the bit', async () => {
  const files = new Map(
    zones.map(([, begin]) => {
      const readings = Array.from(
        { length: 3 * 1_440 },
        (_, i): Reading => ({
          service: i % 3 === 0 ? 'web' : 'a',
          at: begin + i * minuteMs + ((i * 7_919) % minuteMs),
          cpu: (i * 7_919) % 1_000_000,
          ram: (i * 104_729) % 17,
          disk: i,
          refusedBefore: 0,
        }),
      );
      return [begin, { readings, system: build(readings) }] as const;
    }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...zones),
      fc.constantFrom(...steps),
      fc.nat(72 * 60),
      fc.nat(72 * 60),
      fc.constantFrom(1, 15, 60),
      async ([zone, begin], step, a, b, unit) => {
        const { readings, system } = files.get(begin) as { readings: Reading[]; system: ReturnType<typeof build> };
        const from = begin + Math.floor(Math.min(a, b) / unit) * unit * minuteMs;
        const to = begin + (Math.floor(Math.max(a, b) / unit) + 1) * unit * minuteMs;
        const expected = count(readings, from, to, step, zone).map(({ service, minute, row }) => toTuple(service, minute, row));
        const { rows } = await askBlocks(system, { from, to, step, zone });
        if (JSON.stringify(rows) !== JSON.stringify(expected)) throw new TypeError(`${zone} ${step} ${from} ${to}: other rows`);
      },
    ),
    { numRuns: 300 },
  );
});

t.test('sums past 2^53 are exact in tuples, from files, parts and updates', async (t) => {
  const many = Array.from(
    { length: 9 },
    (_, i): Reading => ({
      service: 's',
      at: Date.UTC(2026, 10, 1) + i,
      cpu: 10_000_000_000,
      ram: 1,
      disk: 0,
      refusedBefore: 0,
    }),
  );
  const big = 2n ** 60n;
  const system = build(many);
  const row = {
    ...emptyRow(),
    cpu: big,
    maxCpu: 1,
    maxCpuAt: 5,
    maxRam: 0,
    maxRamAt: 5,
    maxDisk: 0,
    maxDiskAt: 5,
    messages: 1,
  };
  system.view.live.rows.merge('s', Date.UTC(2026, 10, 1), row);
  for (const step of steps) {
    const { rows } = await ask(system, { from: '2026-11-01', to: '2026-11-02', step, shape: 'tuples' });
    t.equal(fromTuple(rows[0] as RowTuple).row.cpu, big + 90_000_000_000n, step);
    t.same((await askBlocks(system, { from: '2026-11-01', to: '2026-11-02', step })).rows, rows, `${step}, in blocks`);
  }
});

t.test('M1: an answer in chunks is of one position, each chunk below the bound, the rows in order', async (t) => {
  const readings = Array.from(
    { length: 7_000 },
    (_, i): Reading => ({
      service: i % 2 === 0 ? 'ü'.repeat(60) : 'b',
      at: Date.UTC(2026, 10, 1) + i * 40_000,
      cpu: i * 1_234_567,
      ram: 1,
      disk: 2,
      refusedBefore: 0,
    }),
  );
  const system = build(readings);
  const { bodies, rows } = await ask(system, { from: '2026-11-01', to: '2026-11-10' });
  t.ok(bodies.length > 2, `${bodies.length} chunks`);
  t.ok(
    bodies.every((body) => Buffer.byteLength(body) <= chunkBytesMax),
    'all below the bound',
  );
  t.equal(new Set(bodies.map((body) => JSON.stringify(readViewAnswer(body).terms))).size, 1, 'one position');
  const expected = count(readings, Date.UTC(2026, 10, 1), Date.UTC(2026, 10, 10), 'minute', 'UTC');
  t.equal(JSON.stringify(rows), JSON.stringify(expected.map(({ service, minute, row }) => toViewRow(service, minute, row))));
  const blocks = await askBlocks(system, { from: '2026-11-01', to: '2026-11-10' });
  t.ok(blocks.bodies.length > 1 && blocks.bodies.every((body) => body.length <= chunkBytesMax), `${blocks.bodies.length} chunks of blocks`);
  t.same(
    blocks.rows,
    expected.map(({ service, minute, row }) => toTuple(service, minute, row)),
  );
});

t.test('M1: what arrives while files are read is in all of an answer or in none of it', async (t) => {
  const files = new Files();
  const partition = new Partition(0, files);
  const at = Date.UTC(2026, 10, 1);
  for (let i = 0; i < 4; i++)
    partition.readings.push({
      service: i % 2 === 0 ? 'a' : 'b',
      at: at + i,
      cpu: 1,
      ram: 1,
      disk: 1,
      refusedBefore: 0,
    });
  const view = createView(1, makeManifest('000001', null, [partition], [2], 0, files));
  const months = new MonthCache(async (some) => {
    applyUpdate(view, partition.update(2, 2, 4));
    return files.read(some);
  }, 1e6);
  const { rows, terms } = await ask({ view, months }, { from: at, to: at + minuteMs });
  const messages = (rows as { msg_num: number }[]).reduce((sum, { msg_num }) => sum + msg_num, 0);
  t.equal(messages, terms.position[0]);
});

t.test('of very many services the files are read in groups, whatever one of them asks besides', async (t) => {
  const files = new Files();
  const partition = new Partition(0, files);
  const at = Date.UTC(2026, 10, 1);
  const count = 1_000;
  for (let i = 0; i < count; i++)
    partition.readings.push({ service: `s${i}`, at: at + i, cpu: i % 101, ram: 1, disk: 1, refusedBefore: 0 });
  const manifest = makeManifest('000001', null, [partition], [count], 0, files);
  const view = createView(1, manifest);
  const reads: number[] = [];
  const months = new MonthCache(async (some) => {
    reads.push(some.length);
    return files.read(some);
  }, 1e8);
  const everything = { from: at, to: at + 10 * minuteMs };
  const { rows, terms } = await ask({ view, months }, everything);
  t.same(
    rows,
    countRows(partition.readings)
      .sort((a, b) => (a.service < b.service ? -1 : 1))
      .map(({ service, minute, row }) => toViewRow(service, minute, row)),
  );
  t.equal(terms.newest, '2026-11-01T00:00:00Z');
  t.equal(
    reads.reduce((sum, one) => sum + one, 0),
    count,
  );
  t.ok(reads.length < 10, `read ${reads.join(', ')} at a time`);
  reads.length = 0;
  await ask({ view, months }, { ...everything, step: 'day' });
  t.same(reads, [], 'minutes of a small file serve for hours too');
});

t.test('the newest minute is what the manifest says: the terms of a question take no file', async (t) => {
  const files = new Files();
  const partition = new Partition(0, files);
  const at = Date.UTC(2026, 10, 1);
  for (let i = 0; i < 3; i++) partition.readings.push({ service: 's', at: at + i * minuteMs, cpu: 1, ram: 1, disk: 1, refusedBefore: 0 });
  const made = makeManifest('000001', null, [partition], [3], 0, files);
  const manifest = { ...made, files: made.files.map((file) => ({ ...file, newest: at + 2 * minuteMs })) };
  const months = new MonthCache(() => Promise.reject(new TypeError('a file was read')), 1e6);
  const { terms } = await ask({ view: createView(1, manifest), months }, { from: 0, to: 60_000 });
  t.equal(terms.newest, '2026-11-01T00:02:00Z');
});

t.test('who asked for that hears that an answer is being made, until it is there', async (t) => {
  const files = new Files();
  const partition = new Partition(0, files);
  const at = Date.UTC(2026, 10, 1);
  partition.readings.push({ service: 's', at, cpu: 1, ram: 1, disk: 1, refusedBefore: 0 });
  const manifest = makeManifest('000001', null, [partition], [1], 0, files);
  const heard = async (progress: boolean): Promise<string[]> => {
    const said: string[] = [];
    let go: () => void = () => undefined;
    const months = new MonthCache(async (some) => {
      if (progress) await new Promise<void>((resolve) => (go = resolve));
      return files.read(some);
    }, 1e6);
    const state = { view: createView(1, manifest), months, gate: new PositionGate(), counts: { answers: 0 } } as unknown as MergerState;
    const message = {
      subject: 'view.asked',
      body: Buffer.from(JSON.stringify({ from: at, to: at + minuteMs, progress })),
      header: () => undefined,
      respond: (_body: unknown, headers: Record<string, string> = {}) => {
        said.push(Object.keys(headers).join());
        go();
      },
    };
    const [, [output]] = merger.step(state, { kind: 'heard', message, now: at }, {} as Env) as [unknown, [Output & { do: 'work' }]];
    await output.run({ log: { error: () => undefined } } as unknown as Env);
    return said;
  };
  t.same(await heard(true), ['Tidemark-Working', 'Tidemark-Chunk']);
  t.same(await heard(false), ['Tidemark-Chunk']);
});

t.test('a changed row goes out whole, batch and real time merged', async (t) => {
  const at = Date.UTC(2026, 10, 1);
  const readings = Array.from(
    { length: 10 },
    (_, i): Reading => ({ service: 's', at: at + i * 7_000, cpu: i, ram: 1, disk: 2, refusedBefore: 0 }),
  );
  const { view, months } = build(readings);
  const changes = view.changes.take();
  t.same([...changes.keys()], ['s']);
  const { bodies } = await updateOf(view, months, 's', changes.get('s') as number[]);
  const update = readViewUpdated(bodies[0] as string);
  const expected = countRows(readings).filter(({ minute }) => changes.get('s')?.includes(minute) === true);
  t.same(
    update.rows,
    expected.map(({ service, minute, row }) => toViewRow(service, minute, row)),
  );
  t.same(update.position, [10]);
  t.ok(view.changes.isEmpty);
});

t.test('a restarted merger publishes no rows again that were published before', async (t) => {
  const at = Date.UTC(2026, 10, 1);
  const files = new Files();
  const partition = new Partition(0, files);
  for (let i = 0; i < 9; i++) partition.readings.push({ service: `s${i}`, at, cpu: 1, ram: 1, disk: 1, refusedBefore: 0 });
  const changed = (published: number[]): string[] => {
    const view = createView(1, null, published);
    for (const [from, to] of [
      [0, 3],
      [3, 6],
    ] as const) {
      const part = partition.part(from, to);
      applyPart(view, part, files.at(part.file?.path as string));
    }
    applyUpdate(view, partition.update(6, 6, 8));
    applyUpdate(view, partition.update(6, 8, 9));
    return [...view.changes.take().keys()];
  };
  t.same(changed([8]), ['s8']);
  t.same(changed([4]), ['s3', 's4', 's5', 's6', 's7', 's8'], 'a part that was not published whole is');
  t.equal(changed([]).length, 9);
});

t.test('percentages are written as JSON writes their doubles', async () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat(),
        fc.nat(3_000_000),
        fc.maxSafeNat(),
        fc.nat(1e6).map((n) => n * 1e6),
      ),
      (millionths) => {
        if (percentText(millionths) !== JSON.stringify(toPercent(millionths)))
          throw new TypeError(`${millionths}: ${percentText(millionths)}`);
      },
    ),
    { numRuns: 20_000 },
  );
});

t.test('a question that cannot be is refused with what is wrong', async (t) => {
  const wrong = { from: '2026-11-01', to: '2026-11-02' };
  t.throws(() => readQuestion({ ...wrong, zone: 'Mars/Olympus' }, 0), { code: 'E_USAGE', message: /Mars\/Olympus/ });
  t.throws(() => readQuestion({ ...wrong, to: wrong.from }, 0), { code: 'E_USAGE' });
  t.throws(() => readQuestion({ ...wrong, from: 'yesterday' }, 0), { code: 'E_USAGE', message: /yesterday/ });
});
