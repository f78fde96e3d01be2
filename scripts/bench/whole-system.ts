/** A whole system as `tidemark start` runs it, in a temporary folder and on free ports. */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { credentialsFor } from '../../infra/bus/users.js';
import { OutOfReachError } from '../../infra/errors.js';
import { freePort } from '../../infra/ports.js';
import { cli } from './bench-system.js';
import { until, waitForView } from './ingest.js';

export interface WholeSystem {
  readonly nats: string;
  /** Address of the pages and the API. */
  readonly http: string;
  readonly data: string;
  /** Of `start`, whose children the others are. */
  readonly pid: number;
  /** As the operator, who may do everything. */
  readonly bus: Bus;
  /** Runs a command of the command line on it. @throws OutOfReachError when it fails */
  run(...words: string[]): Promise<void>;
  stop(): Promise<void>;
}

const startMsMax = 60_000;

const endOf = (child: ReturnType<typeof spawn>): Promise<number | null> => new Promise((resolve) => child.once('exit', resolve));

/** Resolves when it answers questions. Stopped, or when this process ends, nothing is left of it. */
export const startWholeSystem = async (): Promise<WholeSystem> => {
  const data = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  const [port, monitoringPort, httpPort] = [await freePort(), await freePort(), await freePort()];
  const nats = `nats://127.0.0.1:${port}`;
  const ports = ['--nats-port', String(port), '--nats-http-port', String(monitoringPort), '--http-port', String(httpPort)];
  const words = [...process.execArgv, cli, 'start', '--data', data, ...ports, '--log-level', 'warn'];
  // Its processes end when it does, by whatever signal; nats-server, which does not, is asked for by its group.
  const system = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'], detached: true });
  const ended = endOf(system);
  const endNow = (): void => {
    try {
      process.kill(-(system.pid as number), 'SIGKILL');
    } catch {
      /* it was gone already */
    }
  };
  process.once('exit', endNow);
  const open = async (): Promise<Bus> => {
    for (const startedAt = Date.now(); ; ) {
      try {
        await readdir(join(data, 'users')); // the operator's key comes with the server
        return await openBus({ nats, natsCreds: credentialsFor({ data }, 'operator') }, 'bench');
      } catch (error) {
        if (Date.now() - startedAt > startMsMax || system.exitCode !== null) throw error;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
  };
  const stop = async (): Promise<void> => {
    system.kill('SIGTERM');
    await ended;
    process.removeListener('exit', endNow);
    await rm(data, { recursive: true, force: true });
  };
  try {
    const bus = await open();
    const http = `http://127.0.0.1:${httpPort}`;
    await waitForView(bus);
    await until(() =>
      fetch(`${http}/api/v1/services`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    return {
      nats,
      http,
      data,
      pid: system.pid as number,
      bus,
      run: async (...command) => {
        const child = spawn(process.execPath, [cli, ...command, '--data', data], { stdio: ['ignore', 'ignore', 'inherit'] });
        const code = await endOf(child);
        if (code !== 0) throw new OutOfReachError(`tidemark ${command[0]} ended with ${code}`);
      },
      stop: async () => {
        await bus.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
};
