/** Late and early: whatever time a reading bears, it counts in the minute of that time, once, before, during and after a batch. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { asyncScheduler, type SchedulerLike } from 'rxjs';
import t, { type Test } from 'tap';
import { startAgent } from '../../actors/agent.js';
import { connectSource } from '../../infra/client/connect.js';
import { openSource } from '../../infra/client/source.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { readRawStored } from '../../protocol/messages/readers.js';
import { type Position, sumPosition } from '../../protocol/range.js';
import { readLog } from '../actors/segment-log.js';
import { until } from '../until.js';
import { bruteForce, compareRows } from './brute-force.js';
import { sendLines } from './recovering.js';
import { publishAll, type Reading, startSystem } from './system.js';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

const readingAt = (timestamp: number, i: number, service = ['web', 'db'][i % 2] as string): Reading => ({
  service,
  host: `h${i % 3}`,
  timestamp,
  cpu: (i * 37) % 101,
  ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
  disk: 33.333333,
});

/** A system, everything that was published to it, and what an answer must be. */
const open = async (t: Test, flags: Readonly<Record<string, string>> = {}) => {
  const system = await startSystem(t, { partitions: '2', ...flags });
  const readings: Reading[] = [];
  let position: Position = [0, 0];
  const reached = (more: Position): void => {
    position = position.map((to, p) => Math.max(to, more[p] ?? 0));
  };
  const isRight = async (t: Test, what: string): Promise<void> => {
    const { rows, terms } = await system.rows(position);
    t.same(compareRows(rows, bruteForce(readings)), [], what);
    t.equal(sumPosition(terms.position), readings.length, `${what}: nothing twice`);
  };
  return {
    system,
    readings,
    reached,
    isRight,
    publish: async (more: readonly Reading[]): Promise<void> => {
      readings.push(...more);
      reached(await publishAll(system, more));
    },
    /** Asks again and again while a batch is made; every answer has to be the same. */
    batch: async (t: Test, what: string): Promise<void> => {
      let isOver = false;
      let asked = 0;
      const asking = (async () => {
        while (!isOver) {
          await isRight(t, `${what}: while it is made`);
          asked += 1;
        }
      })();
      const proved = await system.batch();
      isOver = true;
      await asking;
      t.match(proved, { differences: 0 }, what);
      t.ok(asked > 0, `${asked} answers meanwhile`);
      await isRight(t, `${what}: afterwards`);
    },
  };
};

t.test('readings of dates long ago and up to a day ahead count; a moment before 2000 and just past a day ahead are refused', async (t) => {
  const { system, readings, reached, isRight, publish, batch } = await open(t);
  const now = Date.now();
  const times = [
    Date.UTC(2000, 0, 1),
    Date.UTC(2000, 1, 29, 23, 59, 59, 999),
    Date.UTC(2015, 5, 30, 12),
    Date.UTC(2024, 11, 31, 23, 59, 59, 999),
    Date.UTC(2025, 0, 1),
    now - 30 * dayMs,
    now - minuteMs,
    now,
    now + hourMs,
    now + dayMs - minuteMs,
  ];
  await publish(times.flatMap((time, i) => [0, 1, 2, 3].map((j) => readingAt(time, i + j))));
  await isRight(t, 'before a batch');
  const wrong = [Date.UTC(2000, 0, 1) - 1, 0, Date.UTC(1970, 5, 1), now + dayMs + hourMs, Date.UTC(2100, 0, 1)];
  const kept = readingAt(now + dayMs - 2 * minuteMs, 9, 'late');
  const lines = [...wrong.map((time) => readingAt(time, 1, 'late')), kept].map((reading) => JSON.stringify({ ...reading, host: 'h1' }));
  const { partition, offset, refused } = await sendLines(system, 'metrics.late.h1', 'wrong', lines);
  t.equal(refused > 0, true, 'the source is told');
  readings.push({ ...kept, host: 'h1' });
  reached(Object.assign([0, 0], { [partition]: offset }));
  await isRight(t, 'after the refused ones');
  const { terms } = await system.rows();
  t.match(terms, { refused: wrong.length, missing: 0, late: 0 });
  await batch(t, 'the first batch');
  await publish(times.flatMap((time, i) => [0, 1, 2].map((j) => readingAt(time, i + j))));
  await isRight(t, 'minutes of the batch view got more');
  await batch(t, 'the second batch');
});

t.test('minutes that belong to batch and real time both: each record once, and those that came late are told', async (t) => {
  const { system, publish, batch, isRight } = await open(t);
  const now = Math.floor(Date.now() / minuteMs) * minuteMs;
  const minutes = [now - 3 * hourMs, now - 2 * hourMs, now - dayMs];
  const some = (round: number): Reading[] =>
    Array.from({ length: 120 }, (_, i) => readingAt((minutes[i % 3] as number) + ((i * 977 + round * 13) % minuteMs), i + round));
  await publish(some(1));
  await batch(t, 'the first batch');
  for (let round = 2; round <= 4; round++) {
    await publish(some(round));
    await isRight(t, `round ${round}: half in the batch view, half not`);
    t.equal((await system.rows()).terms.late, 120, 'all of the round came late');
    await batch(t, `batch ${round}`);
    t.equal((await system.rows()).terms.late, 0, 'nothing behind the cut is late');
  }
});

t.test('the UTC date changes in the middle of a segment: its records lie in the files of both dates, each once', async (t) => {
  const { system, readings, reached, isRight, batch } = await open(t, { bufferCapacity: '400' });
  const midnight = Date.UTC(2026, 9, 31);
  // One message: one segment. The date changes in its middle, and goes back and forth around it.
  const one = Array.from({ length: 200 }, (_, i): Reading => {
    const time = i < 80 ? midnight - 80 + i : i < 160 ? midnight + (i - 80) : midnight + (i % 2 === 0 ? -1 : 0);
    return { ...readingAt(time, i, 'web'), host: 'h1' };
  });
  const connection = await connectSource({ ...system.settings, nats: system.settings.nats as string }, 'test source');
  const source = openSource({ connection, subject: 'metrics.web.h1', agent: 'midnight' });
  source.add(one.map((reading) => JSON.stringify(reading)));
  await source.drained();
  source.close();
  await connection.close();
  readings.push(...one);
  const { partition, offset } = source.reached as NonNullable<typeof source.reached>;
  reached(Object.assign([0, 0], { [partition]: offset }));
  await isRight(t, 'before a batch');
  const segments = await readLog(system.bus, `SEGMENTS-${partition}`, `segment.sealed.${partition}`);
  const holding = segments.filter(({ body }) => Buffer.from(body).includes('"offset":'));
  t.equal(holding.length, 1, 'one segment has both dates');
  const commit = await until(async (): Promise<RawStored | undefined> => {
    const commits = (await readLog(system.bus, 'STORED', `raw.stored.${partition}`)).map(({ body }) => readRawStored(body));
    return commits.find(({ to }) => to === one.length);
  });
  const before = one.filter(({ timestamp }) => timestamp < midnight).length;
  const byDate = Object.fromEntries(commit.files.map(({ path: name, records }) => [name.split('/')[1], records]));
  t.same(byDate, { '2026-10-30': before, '2026-10-31': one.length - before });
  for (const { path: name } of commit.files) {
    const lines = (await readFile(path.join(system.data, name), 'utf8')).trim().split('\n');
    const dates = new Set(lines.map((line) => new Date((JSON.parse(line) as Reading).timestamp).toISOString().slice(0, 10)));
    t.same([...dates], [name.split('/')[1]], 'a file holds its own date alone');
  }
  await batch(t, 'the batch');
});

t.test("a clock that jumps back on an agent's host: it measures on, and every reading counts in the minute that it bears", async (t) => {
  const { system, readings, reached, isRight, batch } = await open(t);
  let aheadMs = 0;
  const scheduler: SchedulerLike = {
    now: () => Date.now() + aheadMs,
    schedule: asyncScheduler.schedule.bind(asyncScheduler) as SchedulerLike['schedule'],
  };
  const connection = await connectSource({ ...system.settings, nats: system.settings.nats as string }, 'test source');
  t.teardown(() => connection.close());
  const host = 'h1';
  const agent = startAgent({
    service: 'web',
    host,
    everyMs: 50,
    scheduler,
    probe: { sample: async () => ({ cpu: readings.length % 100, ram: 12.5, disk: 99 }) },
    source: (subject, name) => {
      const source = openSource({ connection, subject, agent: name });
      const { add } = source;
      source.add = (line) => {
        readings.push(
          JSON.parse(line as string, (key, value: unknown) => (key === 'timestamp' ? Date.parse(String(value)) : value)) as Reading,
        );
        add.call(source, line);
      };
      return source;
    },
  });
  const measured = (count: number) => until(() => (readings.length >= count ? true : undefined));
  await measured(10);
  const jumps = [-hourMs, -2 * dayMs, 2 * hourMs, -40 * minuteMs, 0];
  for (const jump of jumps) {
    const from = readings.length;
    aheadMs = jump;
    await measured(from + 10);
  }
  t.match(await agent.stop(), { unsealed: 0 });
  const { partition, offset } = agent.source.reached as NonNullable<typeof agent.source.reached>;
  reached(Object.assign([0, 0], { [partition]: offset }));
  t.ok(
    readings.some(({ timestamp }, i) => timestamp < (readings[i - 1]?.timestamp ?? 0)),
    'time went back',
  );
  await isRight(t, 'before a batch');
  t.match((await system.rows()).terms, { refused: 0, missing: 0 });
  await batch(t, 'the batch');
});
