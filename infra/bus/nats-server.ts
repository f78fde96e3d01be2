/**
 * The nats-server of a data folder: written configuration, start, taking on one that runs already, stop.
 *
 * DATA/nats.conf its configuration   DATA/nats.pid its process   DATA/nats.log what it said   DATA/nats/ its store
 *
 * It runs in a session of its own, so that Ctrl-C reaches `start` alone, which stops it last; and it outlives a `start`
 * that was killed: the next one takes it on.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, OutOfReachError, SettingsError } from '../errors.js';
import { packageFolder } from '../package-folder.js';
import { reachedAt } from '../ports.js';
import { isAlive } from '../process.js';
import { type Greeting, greetingOf, monitoringOf, troubleOf } from './nats-inspect.js';
import { pidByConfiguration } from './nats-pid.js';
import { type FindOptions, findNatsServer } from './nats-program.js';
import { type Access, authorizationText } from './users.js';

export interface NatsServerOptions extends FindOptions {
  /** The data folder. */
  readonly data: string;
  readonly port: number;
  readonly httpPort: number;
  /** Without it the server has no users and listens on loopback. */
  readonly access?: Access | undefined;
  /** How long a start may take, recovery of the store included. */
  readonly readyMsMax?: number;
}

export interface NatsServer {
  /** nats://127.0.0.1:4222 */
  readonly url: string;
  /** http://127.0.0.1:8222 */
  readonly monitoringUrl: string;
  readonly pid: number;
  readonly version: string;
  /** It ran already, on this store. */
  readonly takenOn: boolean;
  /** DATA/nats.conf: `nats-server -c` it, and it is this server again. */
  readonly configuration: string;
  /** What runs it; of one that ran already its name alone. */
  readonly program: string;
  /** Resolves when its process is gone, with how it ended. */
  readonly ended: Promise<string>;
  /** Ends it, at once if it does not go within `stopMsMax`. Resolves when it is gone. */
  stop(stopMsMax?: number): Promise<void>;
}

const filesOf = (data: string) => ({
  configuration: path.join(data, 'nats.conf'),
  pidFile: path.join(data, 'nats.pid'),
  log: path.join(data, 'nats.log'),
  store: path.join(data, 'nats'),
});

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');

const withValue = (text: string, key: string, value: string | number): string => {
  const line = new RegExp(`^(\\s*${key}:).*$`, 'm');
  if (!line.test(text)) throw new OutOfReachError(`nats.conf has no line "${key}: …": put it back, start sets its value`);
  return text.replace(line, (_, head: string) => `${head} ${JSON.stringify(value)}`);
};

/** What stands behind this line is made again when users come and go. */
const usersMark = '# Users, as `start` and `tidemark user` write them. Partitions: ';

const usersText = (data: string, partitions: number, host: string): string =>
  `${usersMark}${partitions}\n${authorizationText({ data, partitions, isOpenToLocal: isLoopback(host) })}`;

const accessText = (data: string, { host, partitions, tls }: Access): string => {
  if (!isLoopback(host) && tls === undefined) {
    throw new SettingsError(
      `--nats-host ${host} lets other hosts in, and that takes TLS: name a certificate and its key by --nats-cert and --nats-key, ` +
        'and the authority that signed it by --nats-ca',
    );
  }
  const users = usersText(data, partitions, host);
  if (tls === undefined) return users;
  return `tls {\n  cert_file: ${JSON.stringify(tls.certificate)}\n  key_file: ${JSON.stringify(tls.key)}\n  min_version: "1.2"\n}\n\n${users}`;
};

/**
 * Writes DATA/nats.conf: the template at the package's top with this data's ports and folders, and its users.
 * @throws SettingsError when other hosts would come in without TLS
 */
export const writeConfiguration = (
  options: Pick<NatsServerOptions, 'data' | 'port' | 'httpPort' | 'access'> & { readonly name?: string },
): string => {
  const { data, port, httpPort, access, name = 'tidemark' } = options;
  const { configuration, pidFile, store } = filesOf(data);
  const template = readFileSync(path.join(packageFolder, 'nats.conf'), 'utf8');
  const values = {
    server_name: name,
    host: access?.host ?? '127.0.0.1',
    port,
    http: `127.0.0.1:${httpPort}`,
    pid_file: pidFile,
    store_dir: store,
  };
  mkdirSync(data, { recursive: true });
  const text = Object.entries(values).reduce((written, [key, value]) => withValue(written, key, value), template);
  writeFileSync(configuration, access === undefined ? text : `${text}\n${accessText(data, access)}`);
  return configuration;
};

const numberIn = (text: string, key: string): number | undefined => {
  const found = new RegExp(`^\\s*${key}:\\s*(\\d+)`, 'm').exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
};

const readIfThere = (file: string): string | undefined => (existsSync(file) ? readFileSync(file, 'utf8') : undefined);

const sameFolder = (a: string, b: string): boolean => {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false;
  }
};

const textIn = (text: string, key: string): string | undefined => new RegExp(`^\\s*${key}:\\s*"([^"]*)"`, 'm').exec(text)?.[1];

const url = (port: number, host = '127.0.0.1'): string =>
  `nats://${reachedAt(host).includes(':') ? `[${reachedAt(host)}]` : reachedAt(host)}:${port}`;
const httpUrl = (port: number): string => `http://127.0.0.1:${port}`;

/**
 * Writes the users anew, and has a server that runs take them over. @returns whether one runs.
 * @throws SettingsError when no server with users was ever started on this data
 */
export const renewUsers = async (data: string): Promise<boolean> => {
  const { configuration } = filesOf(data);
  const written = readIfThere(configuration);
  const at = written?.indexOf(usersMark) ?? -1;
  if (written === undefined || at < 0)
    throw new SettingsError(`${configuration} has no users yet: \`tidemark start\` on this data makes them`);
  const partitions = Number.parseInt(written.slice(at + usersMark.length), 10);
  writeFileSync(configuration, written.slice(0, at) + usersText(data, partitions, textIn(written, 'host') ?? '127.0.0.1'));
  const running = await findRunning(data);
  if (running !== undefined) process.kill(running.pid, 'SIGHUP'); // it reads its configuration again
  return running !== undefined;
};

/** Whether a server was ever started on this data, running or not. */
export const hasOwnServer = (data: string): boolean => existsSync(filesOf(data).configuration);

const monitoringPortIn = (written: string | undefined): number | undefined =>
  written === undefined ? undefined : (numberIn(written, 'http_port') ?? Number(textIn(written, 'http')?.split(':')[1]));

/** What the server of this data says is wrong with it: a disk that is full, say. undefined: nothing, or it does not say. */
export const serverTrouble = async (data: string, timeoutMs = 500): Promise<string | undefined> => {
  const httpPort = monitoringPortIn(readIfThere(filesOf(data).configuration));
  return httpPort ? troubleOf(httpUrl(httpPort), timeoutMs) : undefined;
};

/** The server that runs on this data's store, if one does: its configuration tells its ports, its monitoring its store. */
export const findRunning = async (
  data: string,
  timeoutMs = 2000,
): Promise<{ url: string; port: number; httpPort: number; pid: number; version: string } | undefined> => {
  const { configuration, pidFile, store } = filesOf(data);
  const written = readIfThere(configuration);
  const port = written && numberIn(written, 'port');
  const httpPort = monitoringPortIn(written);
  if (!port || !httpPort) return undefined;
  const noted = Number(readIfThere(pidFile) ?? Number.NaN);
  const isNoted = Number.isInteger(noted) && isAlive(noted);
  const pid = isNoted ? noted : pidByConfiguration(configuration);
  if (pid === undefined) return undefined;
  const seen = await monitoringOf(httpUrl(httpPort), timeoutMs).catch(() => undefined);
  if (seen === undefined || seen.port !== port || !sameFolder(seen.storeFolder ?? '', path.join(store, 'jetstream'))) return undefined;
  if (!isNoted) writeFileSync(pidFile, String(pid));
  return { url: url(port, textIn(written, 'host')), port, httpPort, pid, version: seen.version };
};

const endOf = async (pid: number): Promise<string> => {
  while (isAlive(pid)) await sleep(100);
  return `nats-server (pid ${pid}) is gone`;
};

const stopper =
  (pid: number, ended: Promise<unknown>) =>
  async (stopMsMax = 10_000): Promise<void> => {
    if (isAlive(pid)) process.kill(pid, 'SIGTERM');
    const cancel = new AbortController();
    const late = sleep(stopMsMax, 'late', { signal: cancel.signal }).catch(() => undefined);
    if ((await Promise.race([ended, late])) === 'late') {
      if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      await ended;
    }
    cancel.abort();
  };

/** What listens on a port of ours: for the refusal. */
const whoListens = async (port: number): Promise<string | undefined> => {
  const greeting = await greetingOf(url(port), 500).catch(() => undefined);
  if (greeting !== undefined) return `a nats-server (${greeting.version}, named ${greeting.serverName})`;
  const monitoring = await monitoringOf(httpUrl(port)).catch(() => undefined);
  return monitoring === undefined ? undefined : `a nats-server's monitoring (${monitoring.version})`;
};

const portTaken = async (port: number, flag: string, instead: string): Promise<OutOfReachError> => {
  const who = (await whoListens(port)) ?? 'another program';
  return new OutOfReachError(`port ${port} is taken by ${who}: stop it, give another port with ${flag}${instead}`);
};

const whyEnded = async (options: NatsServerOptions, code: string, said: string): Promise<OutOfReachError> => {
  const taken = /listen(?:ing)?.*?:(\d+).*address already in use/i.exec(said)?.[1];
  if (taken !== undefined && Number(taken) === options.port) {
    return portTaken(options.port, '--nats-port', `, or join that server with --nats ${url(options.port)}`);
  }
  if (taken !== undefined) return portTaken(Number(taken), '--nats-http-port', '');
  const lines = said.trim().split('\n').slice(-5).join('\n  ');
  return new OutOfReachError(`nats-server ended at its start (${code}); its last lines, of ${filesOf(options.data).log}:\n  ${lines}`);
};

const launch = async (options: NatsServerOptions): Promise<NatsServer> => {
  const { data, port, httpPort, readyMsMax = 60_000 } = options;
  const address = url(port, options.access?.host);
  const program = await findNatsServer(options);
  // The name is how we know that the one who answers is our child and not somebody who had the port before. It stands in the
  // configuration, not on the command line: the server would not read its configuration again otherwise.
  const name = `tidemark-${randomUUID()}`;
  const configuration = writeConfiguration({ ...options, name });
  const { log } = filesOf(data);
  const logFrom = existsSync(log) ? statSync(log).size : 0;
  const output = openSync(log, 'a');
  const child = spawn(program, ['-c', configuration], { detached: true, stdio: ['ignore', output, output] });
  closeSync(output);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`cannot be run: ${messageOf(error)}`));
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  let over: string | undefined;
  void ended.then((how) => {
    over = how;
  });
  const pid = child.pid ?? 0;
  const deadline = Date.now() + readyMsMax;
  let greeting: Greeting | undefined;
  while (greeting?.serverName !== name) {
    if (over !== undefined) throw await whyEnded(options, over, readFileSync(log).subarray(logFrom).toString());
    if (Date.now() > deadline) {
      await stopper(pid, ended)(1000);
      throw new OutOfReachError(`nats-server did not answer on port ${port} within ${readyMsMax} ms: ${log} says what it does`);
    }
    await sleep(15);
    greeting = await greetingOf(address, 1000).catch(() => undefined);
  }
  return {
    url: address,
    monitoringUrl: httpUrl(httpPort),
    pid,
    version: greeting.version,
    takenOn: false,
    configuration,
    program,
    ended,
    stop: stopper(pid, ended),
  };
};

/**
 * Starts a server on this data folder, or takes on the one that runs on its store already.
 * @throws OutOfReachError when a port is taken, when there is no nats-server to run, or when it ends at its start
 */
export const startNatsServer = async (options: NatsServerOptions): Promise<NatsServer> => {
  const running = await findRunning(options.data);
  if (running === undefined) return launch(options);
  const { pid, httpPort, version } = running;
  const ended = endOf(pid);
  const { configuration } = filesOf(options.data);
  return {
    url: running.url,
    monitoringUrl: httpUrl(httpPort),
    pid,
    version,
    takenOn: true,
    configuration,
    program: 'nats-server',
    ended,
    stop: stopper(pid, ended),
  };
};
