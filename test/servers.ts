/** Real servers for tests, on free loopback ports and in temporary folders, gone at the test's teardown. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { type NatsServer, startNatsServer } from '../infra/bus/nats-server.js';
import { messageOf } from '../infra/errors.js';
import { freePorts } from '../infra/ports.js';
import { isAlive } from '../infra/process.js';

export const temporaryFolder = (t: Test): string => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tidemark-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
};

export { freePorts };

const isStopped = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every((task) => /\) T /.test(readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8')));

export interface TestNats {
  readonly url: string;
  readonly monitoringUrl: string;
  readonly port: number;
  readonly httpPort: number;
  /** The data folder: nats.conf, nats.pid, nats.log, and the store in nats/. */
  readonly data: string;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  /** SIGKILL, as a crash would; resolves when it is gone. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Starts it again on the same store and ports. */
  start(): Promise<void>;
  /** Stops it cleanly and starts it again on the same store and ports. */
  restart(): Promise<void>;
  /** SIGSTOP: it keeps its connections and says nothing. */
  pause(): void;
  resume(): void;
}

/** Kills a process when this one is gone, by whatever signal: its standard input ends then. */
export const guard = (pid: number): (() => void) => {
  const shell = spawn('sh', ['-c', `read -r line; kill -9 ${pid}`], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  shell.unref();
  (shell.stdin as unknown as Socket).unref();
  return () => {
    shell.kill('SIGKILL');
  };
};

/** Starts nats-server as `tidemark start` does: same configuration, `sync_interval: always`, store in a temporary folder. */
export const startNats = async (t: Test, options: { data?: string } = {}): Promise<TestNats> => {
  const data = options.data ?? temporaryFolder(t);
  const launch = async (port: number, httpPort: number): Promise<NatsServer> => {
    const server = await startNatsServer({ data, port, httpPort });
    void server.ended.then(guard(server.pid));
    return server;
  };
  const launchOnFreePorts = async (triesLeft: number): Promise<{ port: number; httpPort: number; server: NatsServer }> => {
    const [port, httpPort] = (await freePorts(2)) as [number, number];
    try {
      return { port, httpPort, server: await launch(port, httpPort) };
    } catch (error) {
      if (triesLeft === 0 || !messageOf(error).includes('is taken')) throw error;
      return launchOnFreePorts(triesLeft - 1); // somebody was quicker
    }
  };
  const { port, httpPort, server } = await launchOnFreePorts(4);
  let current = server;
  t.teardown(async () => {
    if (isAlive(current.pid)) process.kill(current.pid, 'SIGCONT');
    await current.stop(2000);
  });
  const start = async () => {
    current = await launch(port, httpPort);
  };
  return {
    url: current.url,
    monitoringUrl: current.monitoringUrl,
    port,
    httpPort,
    data,
    get pid() {
      return current.pid;
    },
    async kill() {
      process.kill(current.pid, 'SIGKILL');
      await current.ended;
    },
    stop: () => current.stop(),
    start,
    async restart() {
      await current.stop();
      await start();
    },
    pause: () => {
      process.kill(current.pid, 'SIGSTOP');
      const until = performance.now() + 5_000;
      while (!isStopped(current.pid) && performance.now() < until); // on a busy machine a thread of it may still answer once
    },
    resume: () => {
      process.kill(current.pid, 'SIGCONT');
    },
  };
};
