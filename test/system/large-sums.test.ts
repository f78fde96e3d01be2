import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { publishMessages } from '../../scripts/hostile/publish.js';
import { FileRows, partFiles, readLatest } from '../../scripts/hostile/view-files.js';
import { until } from '../until.js';
import { type System, startSystem } from './system.js';

t.setTimeout(240_000);

const minute = Date.UTC(2026, 10, 23, 10, 15);
const linesPerMessage = 2_500;
const line = JSON.stringify({
  service: 'largest',
  timestamp: minute + 7,
  cpu: 10_000,
  ram: 9_999.999999,
  disk: 10_000,
});
const body = Buffer.from(Array<string>(linesPerMessage).fill(line).join('\n'));

const publish = (system: System, count: number) =>
  publishMessages(
    system.bus,
    Array.from({ length: count / linesPerMessage }, (_, i) => ({ subject: `metrics.large-${i % 8}`, body })),
  );

/** The one row, in millionths. */
const rowOf = (count: number): string => {
  const [cpu, ram] = [10_000_000_000n, 9_999_999_999n];
  const sums = [cpu, ram, cpu].map((value) => value * BigInt(count));
  return ['largest', minute, ...sums, cpu, minute + 7, ram, minute + 7, cpu, minute + 7, count].join(' ');
};

const same = async (t: Test, system: System, count: number, what: string): Promise<void> => {
  const { rows } = await until(async () => {
    const answer = await system.rows();
    return Number(answer.rows[0]?.[11] ?? 0) >= count ? answer : undefined;
  });
  t.same(
    rows.map((row) => row.join(' ')),
    [rowOf(count)],
    what,
  );
};

t.test('sums past 2^52 and 2^53 millionths in one minute are exact: answer, parts, batch view, merged and made anew', async (t) => {
  const system = await startSystem(t);
  const { bus, data } = system;
  const sql = await openDuckdb({ memoryMiB: 256, threads: 1, tempFolder: join(data, 'tmp'), allowedFolders: [data] });
  t.teardown(() => sql.close());
  const files = async (batch: string | null, withParts: boolean, records: number): Promise<string[]> => {
    const rows = new FileRows(sql);
    const latest = batch === null ? undefined : await readLatest(data, batch);
    const paths = (latest?.files ?? []).map(({ path, service }) => [join(data, path), service] as const);
    await rows.add(
      paths.map(([path]) => path),
      new Map(paths),
    );
    if (withParts) {
      const parts = await until(async () => {
        const found = await partFiles(bus, data, latest?.cut ?? [0, 0, 0, 0]);
        return found.position.reduce((sum, to) => sum + to, 0) >= records ? found : undefined;
      });
      await rows.add(parts.files);
    }
    return [...rows.rows()].map((row) => row.join(' '));
  };
  await until(async () => ((await system.rows()).rows.length === 0 ? true : undefined));
  const half = 455_000; // more than 2^52, and the double of it more than 2^53
  t.ok(half * 1e10 > 2 ** 52 && half * 2e10 > 2 ** 53);
  await publish(system, half);
  await same(t, system, half, 'before a batch');
  t.same(await files(null, true, half), [rowOf(half)], 'parts');
  t.match(await system.batch(), { differences: 0, records: half, rows: 1 });
  await same(t, system, half, 'after a batch');
  t.same(await files('000001', false, half), [rowOf(half)], 'batch view');
  await publish(system, half);
  await same(t, system, half * 2, 'batch and real time together');
  t.same(await files('000001', true, half * 2), [rowOf(half * 2)], 'batch view and parts');
  t.match(await system.batch(), { differences: 0, records: half * 2, rows: 1 });
  await same(t, system, half * 2, 'after the second batch');
  t.same(await files('000002', false, half * 2), [rowOf(half * 2)], 'batch view, merged');
  t.match(await system.batch('rebuild'), { differences: 0, records: half * 2, rows: 1 });
  await same(t, system, half * 2, 'after a rebuild');
  t.same(await files('000003', false, half * 2), [rowOf(half * 2)], 'made anew');
});
