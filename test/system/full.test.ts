/** A log that is full refuses what is new and drops nothing: sources keep and retry, and everything is there afterwards. */
import t, { type Test } from 'tap';
import { connectSource } from '../../infra/client/connect.js';
import { openSource, type Source } from '../../infra/client/source.js';
import { createLog } from '../../infra/log.js';
import { runActors } from '../../scripts/run-actors.js';
import { readStatus } from '../../scripts/status/status.js';
import { until } from '../until.js';
import { bruteForce, compareRows } from './brute-force.js';
import { type Reading, type System, startSystem } from './system.js';

t.setTimeout(240_000); // of a machine that has much else to do

const readingOf = (i: number): Reading => ({
  service: 'web',
  host: 'h',
  timestamp: Date.UTC(2026, 9, 31, 22) + ((i * 7_919) % 120) * 60_000 + (i % 60_000),
  cpu: i % 101,
  ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
  disk: 50,
});

const openLoad = async (t: Test, { settings }: System) => {
  const connection = await connectSource({ ...settings, nats: settings.nats as string }, 'test load');
  const source: Source = openSource({ connection, subject: 'metrics.web.h', agent: 'a', resendAfterMs: 500 });
  t.teardown(async () => {
    source.close();
    await connection.close();
  });
  const readings: Reading[] = [];
  const publish = (count: number): void => {
    for (let done = 0; done < count; done += 100) {
      const more = Array.from({ length: 100 }, (_, i) => readingOf(readings.length + i));
      readings.push(...more);
      source.add(more.map((reading) => JSON.stringify(reading)));
    }
  };
  return { source, readings, publish };
};

/** Everything was acknowledged, and all of it is in the answer once. */
const isThere = async (t: Test, system: System, { source, readings }: Awaited<ReturnType<typeof openLoad>>): Promise<void> => {
  await source.drained();
  t.equal(source.counts.sealed, readings.length);
  t.equal(source.counts.givenUp, 0);
  const { rows } = await until(async () => {
    const answer = await system.rows();
    return answer.terms.position[0] === readings.length ? answer : undefined;
  });
  t.same(compareRows(rows, bruteForce(readings)), [], '0 rows differ');
};

const small = {
  partitions: '1',
  metricsBytesMax: '1MiB',
  segmentsBytesMax: '2MiB',
  purgeEvery: '200ms',
  segmentsKeep: '1s',
  snapshotEvery: '1s',
};

t.test('METRICS full: it refuses what is new, its sources keep it, and everything arrives when there is room', async (t) => {
  const system = await startSystem(t, small, []);
  await system.ended;
  const load = await openLoad(t, system);
  load.publish(12_000);
  await until(() => load.source.counts.turnedAway > 0 || undefined);
  t.equal(load.source.counts.sealed, 0);
  await until(async () => /METRICS is \d+ % full/.test((await readStatus(system.bus, system)).problems.join('; ')) || undefined);
  const { first } = await system.bus.extent('METRICS');
  t.equal(first, 1, 'and keeps what it has');
  system.start(['buffer', 'uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger']);
  await isThere(t, system, load);
});

t.test('SEGMENTS full: the buffer waits, METRICS fills up and status says so, and all goes on by itself when there is room', async (t) => {
  const system = await startSystem(t, small, ['buffer']);
  const load = await openLoad(t, system);
  load.publish(100);
  await until(() => load.source.counts.sealed > 0 || undefined); // the buffer is at work
  load.publish(15_000);
  const isHalfFull = async (): Promise<boolean> => {
    const log = (await system.bus.logs()).find(({ name }) => name === 'SEGMENTS-0');
    return log !== undefined && log.bytes > log.bytesMax / 2;
  };
  // What SEGMENTS refuses stays in METRICS, until that is full too.
  await until(async () => ((await isHalfFull()) && load.source.counts.turnedAway > 0) || undefined);
  const { sealed } = load.source.counts;
  t.ok(sealed > 0 && sealed < load.readings.length, `${sealed} are sealed`);
  await until(async () => /METRICS is \d+ % full/.test((await readStatus(system.bus, system)).problems.join('; ')) || undefined);
  const full = (await system.bus.logs()).find(({ name }) => name === 'SEGMENTS-0');
  t.ok(full !== undefined && full.bytes > full.bytesMax / 2, 'the next segment does not fit');
  t.equal((await system.bus.extent('SEGMENTS-0')).first, 1, 'it keeps what it has');
  const others = new AbortController(); // beside the buffer, which is not started again
  const running = runActors(['uploader', 'windower', 'merger'], system.settings, {
    signal: others.signal,
    log: createLog(system.settings),
  });
  t.teardown(async () => {
    others.abort();
    await running;
  });
  await isThere(t, system, load);
});
