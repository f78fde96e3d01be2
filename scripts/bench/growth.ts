/** CPU per message with many records kept against a tenth of them. */
import { openBus } from '../../infra/bus/nats.js';
import { queryExact } from '../../infra/client/query.js';
import { sumPosition } from '../../protocol/range.js';
import { askBatch } from '../ask-batch.js';
import { type BenchSystem, startBenchSystem } from './bench-system.js';
import { until, waitForView } from './ingest.js';

export interface GrowthResult {
  /** Microseconds of CPU per message, of Tidemark's processes and of nats-server. */
  readonly few: CpuPerMessage;
  readonly many: CpuPerMessage;
}

interface CpuPerMessage {
  readonly kept: number;
  readonly tidemark: number;
  readonly nats: number;
}

const messagesPerSecond = 20_000;
const linesPerMessage = 100;
const batchWaitMs = 300_000;
/** The first batch comes by itself a minute after the start: neither measurement shall have it. */
const firstBatchMs = 70_000;

const services = { services: 20, hostsPerService: 10 };

export const benchGrowth = async (records: number, seconds: number): Promise<GrowthResult> => {
  const system = await startBenchSystem();
  const startedAt = performance.now();
  const bus = await openBus({ nats: system.nats }, 'bench');
  let kept = 0;
  const fill = async (to: number): Promise<void> => {
    while (kept < to) {
      const rate = 1_000; // a hundred thousand records a second
      const { readings } = await system.publish({
        seconds: Math.min(60, (to - kept) / linesPerMessage / rate),
        messagesPerSecond: rate,
        linesPerMessage,
        ...services,
      });
      kept += readings;
    }
    await viewed();
    await askBatch(bus, 'batch', batchWaitMs);
  };
  const viewed = (): Promise<void> => until(async () => sumPosition((await queryExact(bus, { from: 0, to: 1 })).terms.position) >= kept);
  const measure = async (): Promise<CpuPerMessage> => {
    const before = system.usage();
    const keptBefore = kept;
    const { readings } = await system.publish({ seconds, messagesPerSecond, linesPerMessage: 1, ...services });
    kept += readings;
    await viewed();
    const after = system.usage();
    const spent = (...names: (keyof ReturnType<BenchSystem['usage']>)[]): number =>
      (names.reduce((sum, name) => sum + after[name].cpuSeconds - before[name].cpuSeconds, 0) / readings) * 1e6;
    return { kept: keptBefore, tidemark: spent('buffers', 'layers'), nats: spent('nats') };
  };
  try {
    await waitForView(bus);
    await fill(records / 10);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, firstBatchMs - (performance.now() - startedAt))));
    const few = await measure();
    await fill(records);
    return { few, many: await measure() };
  } finally {
    await bus.close();
    await system.stop();
  }
};
