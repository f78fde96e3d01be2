/**
 * Freshness: from the publish of a reading to the view.updated that has it, at a given load. A service of its own is the
 * probe: the sum of its msg_num says how many of its readings are visible, and they become visible in order.
 */
import { openBus } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { openSource } from '../../infra/client/source.js';
import { OutOfReachError } from '../../infra/errors.js';
import { readViewUpdated } from '../../protocol/messages/readers.js';
import { startBenchSystem } from './bench-system.js';
import { until, waitForView } from './ingest.js';
import { quantile } from './quantile.js';

export interface FreshnessResult {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly probes: number;
  readonly messagesPerSecond: number;
}

const probesPerSecond = 50;
const service = 'probe';
const settleMs = 3_000;
const lateMsMax = 30_000;

export const benchFreshness = async (seconds: number, messagesPerSecond: number): Promise<FreshnessResult> => {
  const system = await startBenchSystem();
  const bus = await openBus({ nats: system.nats }, 'bench');
  const connection = await connectSource({ nats: system.nats }, 'bench probe');
  try {
    await waitForView(bus);
    const publishedAt: number[] = [];
    const visibleMs: number[] = [];
    const byMinute = new Map<string, number>();
    bus.hear(`view.updated.${service}`, ({ body }) => {
      const now = performance.now();
      for (const row of readViewUpdated(body).rows) byMinute.set(row.time_stamp, row.msg_num);
      const visible = [...byMinute.values()].reduce((sum, count) => sum + count, 0);
      while (visibleMs.length < visible) visibleMs.push(now - (publishedAt[visibleMs.length] as number));
    });
    const source = openSource({ connection, subject: `metrics.${service}.bench`, agent: `probe-${process.pid}` });
    const load = system.publish({
      seconds: seconds + settleMs / 1_000,
      messagesPerSecond: messagesPerSecond - probesPerSecond,
      linesPerMessage: 1,
      services: 20,
      hostsPerService: 10,
    });
    const startedAt = performance.now();
    while (performance.now() - startedAt < seconds * 1_000 + settleMs) {
      const due = ((performance.now() - startedAt) * probesPerSecond) / 1_000;
      while (publishedAt.length < due) {
        const number = publishedAt.length;
        publishedAt.push(performance.now());
        source.add(JSON.stringify({ service, host: 'bench', timestamp: Date.now(), cpu: number % 100, ram: 1, disk: 1 }));
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const report = await load;
    const lateAt = performance.now() + lateMsMax;
    await until(async () => {
      if (performance.now() > lateAt)
        throw new OutOfReachError(`${publishedAt.length} probes were published, ${visibleMs.length} are in updates`);
      return visibleMs.length >= publishedAt.length;
    });
    source.close();
    const counted = visibleMs.slice(Math.floor((probesPerSecond * settleMs) / 1_000)); // leases and code are warm
    return {
      p50Ms: quantile(counted, 0.5),
      p99Ms: quantile(counted, 0.99),
      maxMs: Math.max(...counted),
      probes: counted.length,
      messagesPerSecond: Math.round((report.readings / report.sealedAfterMs) * 1_000) + probesPerSecond,
    };
  } finally {
    await connection.close();
    await bus.close();
    await system.stop();
  }
};
