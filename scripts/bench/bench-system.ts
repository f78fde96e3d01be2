/** A system for a benchmark: a server, and the actors in the two processes that `start` gives them, in a temporary folder. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startNatsServer } from '../../infra/bus/nats-server.js';
import { OutOfReachError } from '../../infra/errors.js';
import { freePort } from '../../infra/ports.js';
import type { PublisherOrder, PublisherReport } from './publisher.js';

export interface BenchSystem {
  readonly nats: string;
  readonly data: string;
  /** CPU seconds and memory of nats-server, the buffers' process and the layers' process. */
  usage(): Record<'nats' | 'buffers' | 'layers', Usage>;
  publish(order: Omit<PublisherOrder, 'nats'>): Promise<PublisherReport>;
  stop(): Promise<void>;
}

export interface Usage {
  readonly cpuSeconds: number;
  readonly pssBytes: number;
  readonly rssBytes: number;
}

const ticksPerSecond = 100;

const kilobytesOf = (text: string, name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);

export const usageOf = (pid: number): Usage => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  const memory = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    pssBytes: kilobytesOf(memory, 'Pss') * 1024,
    rssBytes: kilobytesOf(memory, 'Rss') * 1024,
  };
};

export const cli = fileURLToPath(new URL('../cli.js', import.meta.url));
const publisher = fileURLToPath(new URL('./publisher.js', import.meta.url));

/** A process that publishes as it is told; its report comes when all is sealed. @throws OutOfReachError when it ends without one */
export const launchPublisher = (order: PublisherOrder): { report: Promise<PublisherReport>; child: ChildProcess } => {
  const child = fork(publisher, [JSON.stringify(order)], { stdio: 'inherit' });
  const report = new Promise<PublisherReport>((resolve, reject) => {
    child.once('message', (message) => resolve(message as PublisherReport));
    child.once('exit', (code) => reject(new OutOfReachError(`the publisher ended with ${code} and no report`)));
  });
  report.catch(() => undefined); // it may fail before somebody waits for it
  return { report, child };
};

export const startBenchSystem = async (flags: readonly string[] = []): Promise<BenchSystem> => {
  const data = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  const httpPort = await freePort();
  const server = await startNatsServer({ data, port: await freePort(), httpPort });
  const start = (...actors: string[]): ChildProcess =>
    spawn(
      process.execPath,
      [
        cli,
        'start',
        ...actors,
        '--nats',
        server.url,
        '--nats-http-port',
        String(httpPort),
        '--data',
        data,
        '--log-level',
        'warn',
        ...flags,
      ],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    );
  const buffers = start('buffer');
  const layers = start('uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger');
  const children = [buffers, layers];
  const endNow = (): void => {
    for (const child of children) child.kill('SIGKILL');
    try {
      process.kill(server.pid, 'SIGKILL');
    } catch {
      /* it was gone already */
    }
  };
  process.once('exit', endNow);
  return {
    nats: server.url,
    data,
    usage: () => ({ nats: usageOf(server.pid), buffers: usageOf(buffers.pid as number), layers: usageOf(layers.pid as number) }),
    publish: (order) => {
      const { report, child } = launchPublisher({ ...order, nats: server.url });
      children.push(child);
      return report;
    },
    stop: async () => {
      for (const child of [buffers, layers]) {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await ended;
      }
      await server.stop();
      process.removeListener('exit', endNow);
      await rm(data, { recursive: true, force: true });
    },
  };
};
