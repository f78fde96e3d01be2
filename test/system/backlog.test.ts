/**
 * A merger that starts with a backlog: what was sealed while none ran is in its view, exactly, and its memory follows the rows, not the
 * records. 200,000 records; with --all ten million.
 */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { connectSource } from '../../infra/client/connect.js';
import { queryExact } from '../../infra/client/query.js';
import { openSource } from '../../infra/client/source.js';
import { readStatus } from '../../scripts/status/status.js';
import { until } from '../until.js';
import { startUnderLoad, type UnderLoad } from './under-load.js';

const isAll = process.argv.includes('--all');
const records = isAll ? 10_000_000 : 200_000;
t.setTimeout(isAll ? 3_600_000 : 280_000);

const services = 4;
const minutes = 1_440;
const since = Date.UTC(2026, 10, 1);
const linesPerMessage = 200;
const memoryMiBMax = 448;

const minuteOf = (i: number): number => since + ((i * 7_919) % minutes) * 60_000;
const cpuOf = (i: number): number => i % 101;
const lineOf = (i: number): string =>
  `{"service":"s${i % services}","timestamp":${minuteOf(i) + (i % 60_000)},"cpu":${cpuOf(i)},"ram":${(i % 1_000) / 10},"disk":50}`;

const publish = async ({ nats }: UnderLoad): Promise<void> => {
  const connection = await connectSource({ nats: nats.url }, 'backlog');
  const sources = Array.from({ length: services }, (_, s) =>
    openSource({ connection, subject: `metrics.s${s}.h`, agent: 'backlog', resendAfterMs: 20_000 }),
  );
  for (let from = 0; from < records; from += services * linesPerMessage) {
    for (const [s, source] of sources.entries()) {
      await source.room();
      source.add(Array.from({ length: linesPerMessage }, (_, k) => lineOf(from + k * services + s)));
    }
  }
  await Promise.all(sources.map((source) => source.drained()));
  for (const source of sources) source.close();
  await connection.close();
};

/** By service and minute: readings, the sum of cpu in millionths, the highest cpu. */
const countAll = (): Map<string, [n: number, cpu: number, maxCpu: number]> => {
  const rows = new Map<string, [number, number, number]>();
  for (let i = 0; i < records; i++) {
    const key = `s${i % services} ${minuteOf(i)}`;
    const [n, cpu, maxCpu] = rows.get(key) ?? [0, 0, 0];
    rows.set(key, [n + 1, cpu + cpuOf(i) * 1e6, Math.max(maxCpu, cpuOf(i) * 1e6)]);
  }
  return rows;
};

const peakMiB = (pid: number): number => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

t.test(`a merger that starts with a backlog of ${records} records: all of it is in its view, and its memory is bounded`, async (t) => {
  const system = await startUnderLoad(t, { seed: 71, flags: ['--lease-ttl', '5s', '--part-every', '5s', '--batch-every', '1h'] });
  await system.start('buffer', ['buffer']);
  await system.start('layers', ['uploader', 'windower']);
  await until(async () => ((await system.bus.logs()).some(({ name }) => name === 'VIEWS') ? true : undefined));
  await publish(system);
  const { problems } = await readStatus(system.bus, system);
  t.ok(problems.includes('no merger works'), problems.join('; '));
  const startedAt = performance.now();
  const merger = await system.start('merger', ['merger']);
  const { rows } = await until(async () => {
    const answer = await queryExact(system.bus, { from: 0, to: 4_102_444_800_000, waitMs: 1_000 }).catch(() => undefined);
    return answer !== undefined && answer.terms.position.reduce((sum, to) => sum + to, 0) === records ? answer : undefined;
  });
  const tookMs = Math.round(performance.now() - startedAt);
  const expected = countAll();
  const differing = rows.filter(([service, minute, cpu, , , maxCpu, , , , , , n]) => {
    const [wantedN, wantedCpu, wantedMax] = expected.get(`${service} ${minute}`) ?? [0, 0, 0];
    return Number(n) !== wantedN || Number(cpu) !== wantedCpu || Number(maxCpu) !== wantedMax;
  });
  t.equal(rows.length, expected.size, `${rows.length} rows`);
  t.same(differing, [], '0 rows differ');
  const memoryMiB = Math.round(peakMiB(merger.pid));
  t.ok(memoryMiB < memoryMiBMax, `at most ${memoryMiB} MiB resident`);
  t.comment({ records, tookMs, memoryMiB });
});
