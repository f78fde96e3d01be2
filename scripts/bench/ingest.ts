/** Durable ingest: published by one process, sealed, in the real-time view, uploaded. */
import { openBus } from '../../infra/bus/nats.js';
import { queryExact } from '../../infra/client/query.js';
import { readRawStored } from '../../protocol/messages/readers.js';
import { sumPosition } from '../../protocol/range.js';
import { startBenchSystem } from './bench-system.js';

export interface IngestResult {
  readonly readingsPerSecond: number;
  readonly readings: number;
  /** From the end of publishing until everything was sealed, in the view, and uploaded. */
  readonly lagMs: { sealed: number; viewed: number; uploaded: number };
  readonly cpuPercent: Record<string, number>;
  readonly pssMiBMax: number;
  readonly copies: number;
}

/** The kernel walks through all pages for each look: two a second took 5 % of a core from what is measured. */
const usageEveryMs = 2_000;

export const benchIngest = async (linesPerMessage: number, seconds: number, messagesPerSecond = 0): Promise<IngestResult> => {
  const system = await startBenchSystem();
  const bus = await openBus({ nats: system.nats }, 'bench');
  let pssMax = 0;
  try {
    await waitForView(bus);
    const before = system.usage();
    const watch = setInterval(() => {
      const usage = system.usage();
      pssMax = Math.max(pssMax, usage.buffers.pssBytes + usage.layers.pssBytes);
    }, usageEveryMs);
    const startedAt = performance.now();
    const report = await system.publish({ seconds, messagesPerSecond, linesPerMessage, services: 20, hostsPerService: 10 });
    const sealedMs = performance.now() - startedAt;
    await until(async () => sumPosition((await ask(bus)).position) >= report.readings);
    const viewedMs = performance.now() - startedAt;
    await until(async () => (await committed(bus)) >= report.readings);
    const uploadedMs = performance.now() - startedAt;
    clearInterval(watch);
    const after = system.usage();
    const cpuPercent = Object.fromEntries(
      (['nats', 'buffers', 'layers'] as const).map((name) => [
        name,
        Math.round(((after[name].cpuSeconds - before[name].cpuSeconds) / uploadedMs) * 100_000),
      ]),
    );
    return {
      readings: report.readings,
      readingsPerSecond: Math.round(
        (report.readings / Math.max(report.sealedAfterMs, uploadedMs - (sealedMs - report.sealedAfterMs))) * 1_000,
      ),
      lagMs: {
        sealed: Math.round(report.sealedAfterMs - seconds * 1_000),
        viewed: Math.round(viewedMs - sealedMs),
        uploaded: Math.round(uploadedMs - sealedMs),
      },
      cpuPercent,
      pssMiBMax: Math.round(pssMax / 1024 / 1024),
      copies: report.copies,
    };
  } finally {
    await bus.close();
    await system.stop();
  }
};

const ask = async (bus: Awaited<ReturnType<typeof openBus>>) => (await queryExact(bus, { from: 0, to: 1 })).terms;

export const waitForView = async (bus: Awaited<ReturnType<typeof openBus>>): Promise<void> => {
  await until(() =>
    ask(bus).then(
      () => true,
      () => false,
    ),
  );
};

const committed = async (bus: Awaited<ReturnType<typeof openBus>>): Promise<number> => {
  const last = await Promise.all([0, 1, 2, 3].map((p) => bus.last('STORED', `raw.stored.${p}`)));
  return last.reduce((sum, message) => sum + (message ? readRawStored(message.body).to : 0), 0);
};

export const until = async (isSo: () => Promise<boolean>, everyMs = 50): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, everyMs));
};
