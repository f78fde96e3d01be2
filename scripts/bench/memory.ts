/** Memory of a whole system as `tidemark start` runs it, agents included and nats-server not, under load and over a batch. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBus } from '../../infra/bus/nats.js';
import { credentialsFor } from '../../infra/bus/users.js';
import { OutOfReachError } from '../../infra/errors.js';
import { freePort } from '../../infra/ports.js';
import { askBatch } from '../ask-batch.js';
import { cli, usageOf } from './bench-system.js';
import { waitForView } from './ingest.js';
import type { PublisherOrder, PublisherReport } from './publisher.js';

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

const publisher = fileURLToPath(new URL('./publisher.js', import.meta.url));

const publish = (order: PublisherOrder): { report: Promise<PublisherReport>; child: ChildProcess } => {
  const child = fork(publisher, [JSON.stringify(order)], { stdio: 'inherit' });
  const report = new Promise<PublisherReport>((resolve, reject) => {
    child.once('message', (message) => resolve(message as PublisherReport));
    child.once('exit', (code) => reject(new OutOfReachError(`the publisher ended with ${code} and no report`)));
  });
  return { report, child };
};

export const benchMemory = async (seconds: number, messagesPerSecond: number): Promise<MemoryResult> => {
  const data = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  const port = await freePort();
  const words = [
    'start',
    '--data',
    data,
    '--nats-port',
    String(port),
    '--nats-http-port',
    String(await freePort()),
    '--http-port',
    '0',
    '--log-level',
    'warn',
  ];
  const system = spawn(process.execPath, [cli, ...words], { stdio: ['pipe', 'ignore', 'inherit'] });
  const pid = system.pid as number;
  const endNow = (): void => {
    for (const one of treeOf(pid).reverse())
      try {
        process.kill(one, 'SIGKILL');
      } catch {
        /* it was gone already */
      }
  };
  process.once('exit', endNow);
  const nats = `nats://127.0.0.1:${port}`;
  const open = async () => {
    for (let tries = 100; ; tries--) {
      try {
        return await openBus({ nats, natsCreds: credentialsFor({ data }, 'operator') }, 'bench');
      } catch (error) {
        if (tries === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  };
  const bus = await open();
  try {
    await waitForView(bus);
    /** Half of it, a batch, the other half, and a batch. */
    const phase = async (phaseSeconds: number): Promise<MemoryPeak> => {
      let peak = lookAt(pid);
      const watch = setInterval(() => {
        const now = lookAt(pid);
        if (now.pssMB > peak.pssMB) peak = now;
      }, sampleEveryMs);
      const { report } = publish({
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
    await bus.close();
    const ended = new Promise((resolve) => system.once('exit', resolve));
    system.kill('SIGTERM');
    await ended;
    process.removeListener('exit', endNow);
    await rm(data, { recursive: true, force: true });
  }
};
