/** Memory of a whole system as `tidemark start` runs it, agents included and nats-server not, under load and over a batch. */
import { readdirSync, readFileSync } from 'node:fs';
import { askBatch } from '../ask-batch.js';
import { launchPublisher, usageOf } from './bench-system.js';
import { startWholeSystem } from './whole-system.js';

export interface MemoryPeak {
  readonly pssMB: number;
  readonly rssMB: number;
  readonly readings: number;
  /** As `pid program PSS, MB` at the peak. */
  readonly processes: string;
}

export interface MemoryResult {
  readonly first: MemoryPeak;
  /** After ten times as many messages more. */
  readonly later: MemoryPeak;
}

const sampleEveryMs = 500;
const batchWaitMs = 120_000;
const MB = 1e6;

const childrenOf = (pid: number): number[] => {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return []; // it ended meanwhile
  }
};

const treeOf = (pid: number): number[] => [pid, ...childrenOf(pid).flatMap(treeOf)];

const programOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();

/** All of Tidemark's processes now. */
const lookAt = (pid: number): Omit<MemoryPeak, 'readings'> => {
  let [pss, rss] = [0, 0];
  const processes: string[] = [];
  for (const one of treeOf(pid)) {
    try {
      const program = programOf(one);
      if (program === 'nats-server') continue;
      const usage = usageOf(one);
      pss += usage.pssBytes;
      rss += usage.rssBytes;
      processes.push(`${program} ${Math.round(usage.pssBytes / MB)}`);
    } catch {
      // it ended meanwhile
    }
  }
  return { pssMB: Math.round(pss / MB), rssMB: Math.round(rss / MB), processes: processes.join(' + ') };
};

export const benchMemory = async (seconds: number, messagesPerSecond: number): Promise<MemoryResult> => {
  const { nats, bus, pid, stop } = await startWholeSystem();
  try {
    /** Half of it, a batch, the other half, and a batch. */
    const phase = async (phaseSeconds: number): Promise<MemoryPeak> => {
      let peak = lookAt(pid);
      const watch = setInterval(() => {
        const now = lookAt(pid);
        if (now.pssMB > peak.pssMB) peak = now;
      }, sampleEveryMs);
      const { report } = launchPublisher({
        nats,
        seconds: phaseSeconds,
        messagesPerSecond,
        linesPerMessage: 1,
        services: 20,
        hostsPerService: 10,
      });
      await new Promise((resolve) => setTimeout(resolve, phaseSeconds * 500));
      await askBatch(bus, 'batch', batchWaitMs);
      const { readings } = await report;
      await askBatch(bus, 'batch', batchWaitMs);
      clearInterval(watch);
      return { ...peak, readings };
    };
    return { first: await phase(seconds), later: await phase(seconds * 10) };
  } finally {
    await stop();
  }
};
