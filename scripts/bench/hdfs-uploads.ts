/** Uploads at a rate: how far they are behind what is sealed while it lasts, and the memory of the actors. */
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { readRawStored } from '../../protocol/messages/readers.js';
import { decodeHead } from '../../protocol/segment.js';
import { startBenchSystem } from './bench-system.js';
import { until, waitForView } from './ingest.js';
import { quantile } from './quantile.js';

export interface UploadsResult {
  readonly readings: number;
  readonly readingsPerSecond: number;
  /** Of looks once a second: records that were sealed and not committed, as seconds of this load. */
  readonly behindSeconds: { readonly p50: number; readonly max: number };
  /** The median of the last third of the looks, over that of the first third. */
  readonly growth: number;
  /** From the end of publishing until all was committed. */
  readonly drainedMs: number;
  readonly pssMiBMax: number;
}

const lookEveryMs = 1_000;
const MiB = 2 ** 20;

/** By partition: how far is sealed, or committed. */
const sealed = async (bus: Bus, p: number): Promise<number> => {
  const last = await bus.last(`SEGMENTS-${p}`, `segment.sealed.${p}`);
  return last === undefined ? 0 : decodeHead(last.body).to;
};
const committed = async (bus: Bus, p: number): Promise<number> => {
  const last = await bus.last('STORED', `raw.stored.${p}`);
  return last === undefined ? 0 : readRawStored(last.body).to;
};
const sumOf = async (of: (bus: Bus, p: number) => Promise<number>, bus: Bus): Promise<number> =>
  (await Promise.all([0, 1, 2, 3].map((p) => of(bus, p)))).reduce((sum, to) => sum + to, 0);

/** @param flags as `start NAME` takes them, for where files and leases are */
export const benchUploads = async (seconds: number, messagesPerSecond: number, flags: readonly string[]): Promise<UploadsResult> => {
  const system = await startBenchSystem(flags);
  const bus = await openBus({ nats: system.nats }, 'bench');
  let pssMax = 0;
  const behind: number[] = [];
  try {
    await waitForView(bus);
    let isPublishing = true;
    const looking = (async () => {
      while (isPublishing) {
        const { buffers, layers } = system.usage();
        pssMax = Math.max(pssMax, buffers.pssBytes + layers.pssBytes);
        const done = await sumOf(committed, bus); // first: so it never looks less than it is
        behind.push(((await sumOf(sealed, bus)) - done) / messagesPerSecond);
        await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      }
    })();
    const startedAt = performance.now();
    const { readings } = await system.publish({ seconds, messagesPerSecond, linesPerMessage: 1, services: 20, hostsPerService: 10 });
    const publishedMs = performance.now() - startedAt;
    isPublishing = false;
    await looking;
    const drainFrom = performance.now();
    await until(async () => (await sumOf(committed, bus)) >= readings);
    const third = Math.max(1, Math.floor(behind.length / 3));
    return {
      readings,
      readingsPerSecond: Math.round((readings / publishedMs) * 1_000),
      behindSeconds: { p50: quantile([...behind], 0.5), max: Math.max(...behind) },
      growth: quantile(behind.slice(-third), 0.5) / Math.max(quantile(behind.slice(0, third), 0.5), 1),
      drainedMs: Math.round(performance.now() - drainFrom),
      pssMiBMax: Math.round(pssMax / MiB),
    };
  } finally {
    await bus.close();
    await system.stop();
  }
};
