/** The processes that a chaos run starts, kills, pauses and starts again: several instances of every actor, and nats-server. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type NatsServer, startNatsServer } from '../../infra/bus/nats-server.js';
import { environmentWith } from '../../infra/config.js';
import { isAlive } from '../../infra/process.js';

const cli = fileURLToPath(new URL('../cli.js', import.meta.url));

/** As few processes as let every actor die alone or with a neighbour. Each is run twice. */
const groups: readonly (readonly string[])[] = [['buffer'], ['uploader', 'windower'], ['scheduler', 'mapper', 'reducer'], ['merger']];

export interface Victim {
  readonly name: string;
  kill(): Promise<void>;
  /** SIGTERM: what is held is given out, then it ends. */
  stop(): Promise<void>;
  pause(): void;
  resume(): void;
  start(): Promise<void>;
  readonly isRunning: boolean;
  /** 0: it does not run. */
  readonly pid: number;
}

export class ActorVictim implements Victim {
  private child: ChildProcess | undefined;

  constructor(
    readonly name: string,
    private readonly args: readonly string[],
    private readonly logFile: string,
    private environment: Readonly<Record<string, string>> = {},
  ) {}

  get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }
  /** Of the process that ran last: its code, or the signal that ended it. */
  get exitCode(): string {
    return String(this.child?.exitCode ?? this.child?.signalCode ?? '');
  }
  get pid(): number {
    return this.isRunning ? (this.child?.pid ?? 0) : 0;
  }

  async start(): Promise<void> {
    if (this.isRunning) return;
    const log = openSync(this.logFile, 'a');
    this.child = spawn(process.execPath, [cli, ...this.args], { stdio: ['ignore', log, log], env: environmentWith(this.environment) });
    closeSync(log);
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }
  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }
  pause(): void {
    this.child?.kill('SIGSTOP');
  }
  resume(): void {
    this.child?.kill('SIGCONT');
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (child === undefined || !this.isRunning) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(late);
  }
}

class ServerVictim implements Victim {
  readonly name = 'nats-server';
  private server: NatsServer | undefined;

  constructor(private readonly launch: () => Promise<NatsServer>) {}

  get isRunning(): boolean {
    return this.server !== undefined;
  }
  get pid(): number {
    return this.server?.pid ?? 0;
  }
  get url(): string {
    return this.server?.url ?? '';
  }

  async start(): Promise<void> {
    this.server ??= await this.launch();
  }

  async kill(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    if (server === undefined) return;
    if (isAlive(server.pid)) process.kill(server.pid, 'SIGKILL');
    await server.ended;
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    await server?.stop();
  }

  pause(): void {
    this.signal('SIGSTOP');
  }
  resume(): void {
    this.signal('SIGCONT');
  }

  /** Somebody else may have ended it. */
  private signal(signal: NodeJS.Signals): void {
    if (this.server && isAlive(this.server.pid)) process.kill(this.server.pid, signal);
  }
}

export interface VictimSettings {
  readonly data: string;
  readonly port: number;
  readonly httpPort: number;
  readonly instances: number;
  readonly logFile: string;
  /** For `start NAME`, besides. */
  readonly flags?: readonly string[];
}

/** For `start NAME`: joined to that server, with short times, so that much happens in little time. */
export const flagsOf = ({ url, data, httpPort }: { url: string; data: string; httpPort: number }): string[] => [
  '--nats',
  url,
  '--nats-http-port',
  String(httpPort),
  '--data',
  data,
  '--part-every',
  '1s',
  '--batch-every',
  '4s',
  '--recompute-every',
  '15s',
  '--upload-every',
  '300ms',
  '--snapshot-every',
  '3s',
  '--purge-every',
  '1s',
  '--segments-keep',
  '5s',
  '--task-again',
  '2s',
  '--log-level',
  'info',
];

/** The server (started) and the actors' processes (not yet). */
export const makeVictims = async (
  settings: VictimSettings,
): Promise<{ server: Victim & { url: string }; actors: ActorVictim[]; endNow: () => void }> => {
  const { data, port, httpPort, instances, logFile } = settings;
  const server = new ServerVictim(() => startNatsServer({ data, port, httpPort }));
  await server.start();
  const flags = [...flagsOf({ url: server.url, data, httpPort }), ...(settings.flags ?? [])];
  const actors = Array.from({ length: instances }, (_, i) =>
    groups.map((group) => new ActorVictim(`${group.join('+')} ${i}`, ['start', ...group, ...flags], path.resolve(logFile))),
  ).flat();
  const endNow = (): void => {
    for (const victim of [...actors, server]) {
      victim.resume();
      void victim.kill();
    }
  };
  return { server, actors, endNow };
};
