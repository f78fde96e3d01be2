/** How long questions take by the library, of a merger in a process of its own, over NATS; its first one apart. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBus } from '../../infra/bus/nats.js';
import { startNatsServer } from '../../infra/bus/nats-server.js';
import { ensureStreams } from '../../infra/bus/streams.js';
import { connect, type QueryOptions } from '../../infra/client/index.js';
import { loadSettings } from '../../infra/config.js';
import { PromiseError } from '../../infra/errors.js';
import { freePort } from '../../infra/ports.js';
import { cli, usageOf } from './bench-system.js';
import { until } from './ingest.js';
import { makeProvedView } from './made-view.js';
import { quantile } from './quantile.js';

export interface QueryTimes {
  readonly name: string;
  readonly rows: number;
  /** The merger's first question of this kind, ms; it has read beforehand what it thinks it needs. */
  readonly first: number;
  readonly p50: number;
  readonly p99: number;
  /** CPU of a question, ms: of who asks, and of the merger. Unlike the times these bear it when others use the machine. */
  readonly cpuAsking: number;
  readonly cpuMerger: number;
}

const dayMs = 86_400_000;
const lastMonth = Date.UTC(2026, 9, 1);
const year = { from: '2025-11-01', to: '2026-11-01' };

const services = (count: number): string[] => Array.from({ length: count }, (_, i) => `service-${i}`);

/** Another day each time, so that nothing is answered by luck. */
const dayOf = (i: number): { from: number; to: number } => {
  const from = lastMonth + ((i * 7) % 31) * dayMs;
  return { from, to: from + dayMs };
};

const questions: readonly { name: string; rows: number; ask: (i: number) => QueryOptions }[] = [
  { name: '20 services, a day by minute', rows: 28_800, ask: (i) => ({ ...dayOf(i), services: services(20) }) },
  {
    name: '20 services, a day by hour',
    rows: 480,
    ask: (i) => ({ ...dayOf(i), services: services(20), step: 'hour' }),
  },
  { name: '4 services, a year by day', rows: 4 * 365, ask: () => ({ ...year, services: services(4), step: 'day' }) },
];

const idleLookMs = 300;

/** Until a process uses less than a twentieth of a core. */
const untilIdle = async (pid: number): Promise<void> => {
  let before = usageOf(pid).cpuSeconds;
  await until(async () => {
    const now = usageOf(pid).cpuSeconds;
    const isIdle = now - before < (0.05 * idleLookMs) / 1_000;
    before = now;
    return isIdle;
  }, idleLookMs);
};

export const benchQuery = async (times: number): Promise<QueryTimes[]> => {
  const data = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  const [port, httpPort] = [await freePort(), await freePort()];
  const server = await startNatsServer({ data, port, httpPort });
  const { settings } = loadSettings({ data, nats: server.url }, { env: {} });
  const partitions = await ensureStreams({ ...settings, nats: server.url });
  const bus = await openBus({ nats: server.url }, 'bench');
  await makeProvedView(data, bus, partitions, [
    { services: 4, ...year },
    { services: 20, from: '2026-10-01', to: year.to },
  ]);
  await bus.close();
  const words = [cli, 'start', 'merger', '--nats', server.url, '--nats-http-port', String(httpPort), '--data', data, '--log-level', 'warn'];
  const merger = spawn(process.execPath, words, { stdio: ['ignore', 'inherit', 'inherit'] });
  const endNow = (): void => {
    merger.kill('SIGKILL');
    try {
      process.kill(server.pid, 'SIGKILL');
    } catch {
      /* it was gone already */
    }
  };
  process.once('exit', endNow);
  const client = await connect({ nats: server.url });
  try {
    await until(() =>
      client.query({ from: 0, to: 1 }).then(
        () => true,
        () => false,
      ),
    );
    await untilIdle(merger.pid as number);
    const results: QueryTimes[] = [];
    for (const { name, rows, ask } of questions) {
      const ms: number[] = [];
      const asking = process.cpuUsage();
      const merging = usageOf(merger.pid as number).cpuSeconds;
      for (let i = 0; i <= times; i++) {
        const startedAt = performance.now();
        const answer = await client.query(ask(i));
        ms.push(performance.now() - startedAt);
        if (answer.rows.length !== rows) throw new PromiseError(`${name}: ${answer.rows.length} rows instead of ${rows}`);
      }
      const [first = 0, ...others] = ms;
      const { user, system } = process.cpuUsage(asking);
      const cpuMerger = ((usageOf(merger.pid as number).cpuSeconds - merging) * 1_000) / (times + 1);
      results.push({
        name,
        rows,
        first,
        p50: quantile(others, 0.5),
        p99: quantile(others, 0.99),
        cpuAsking: (user + system) / 1_000 / (times + 1),
        cpuMerger,
      });
    }
    return results;
  } finally {
    await client.close();
    const ended = new Promise((resolve) => merger.once('exit', resolve));
    merger.kill('SIGTERM');
    await ended;
    await server.stop();
    process.removeListener('exit', endNow);
    await rm(data, { recursive: true, force: true });
  }
};
