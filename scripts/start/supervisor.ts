/**
 * The supervisor: a whole system on this machine. It holds the data folder, runs nats-server and the actors' processes,
 * measures four services, brings back whatever of its own dies, and stops in the order of the data: agents, actors, server.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { inspectServer } from '../../infra/bus/nats-inspect.js';
import { type NatsServer, startNatsServer } from '../../infra/bus/nats-server.js';
import { ensureStreams } from '../../infra/bus/streams.js';
import { accessOf, credentialsFor } from '../../infra/bus/users.js';
import { type Settings, settingsTable } from '../../infra/config.js';
import { exitCodes } from '../../infra/errors.js';
import { createLog, type Log } from '../../infra/log.js';
import { openStorage } from '../../infra/storage/open.js';
import type { RunnableActor } from '../run-actors.js';
import { startAgents } from './agents.js';
import { choosePort } from './choose-port.js';
import { lockData } from './data-lock.js';
import { follow } from './follow.js';
import { type Kept, keep, type Running } from './keep.js';
import { type Order, stopMsMax, stopWord } from './order.js';
import { showRows } from './show-rows.js';

interface ActorsOfProcess {
  readonly name: string;
  readonly actors: readonly RunnableActor[];
  readonly isOne?: true;
  /** Bound of a half of the young heap: V8's own, 16, is never given back by who is busy. */
  readonly youngMiB: number;
}

/**
 * As few processes as give the speed: parsing is half of the work, so the buffers have one of their own. In stopping order.
 * With 4 at 20,000 messages a second a process of buffers takes a quarter less memory than with 16, for 5 % more CPU.
 */
const processLayout: readonly ActorsOfProcess[] = [
  { name: 'buffers', actors: ['buffer'], youngMiB: 4 },
  { name: 'layers', actors: ['uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger'], youngMiB: 4 },
  { name: 'dashboard', actors: ['dashboard'], isOne: true, youngMiB: 2 }, // whatever is asked there, nobody else's event loop waits for it
];

export interface SystemOptions {
  readonly settings: Settings;
  /** Stops it. */
  readonly signal: AbortSignal;
  /** The program of the fourth agent. */
  readonly program: string | undefined;
  readonly everyMs: number;
  /** Nobody chose the port of the pages: any free one will do. */
  readonly anyHttpPort?: boolean;
}

interface ActorProcess extends Running {
  readonly exitCode: () => number | null;
}

/** What is only shown must not hold up a stop. */
const followMsMax = 1_000;

const afterAbort = async (signal: AbortSignal, ms: number): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
  await sleep(ms);
};

/** It would end in the same way again: a setting, or a promise that is broken. */
const finalCodes: readonly (number | null)[] = [exitCodes.usage, exitCodes.settings, exitCodes.promiseBroken];

const entry = fileURLToPath(new URL('./actor-process.js', import.meta.url));

/**
 * The supervisor only parses rows to show them, and V8 would give it 32 MiB of young heap for that: from here on it does not
 * grow (72 MiB without, 43 with it). A flag of this very process's command line would have to stand before the program's name.
 */
const keepYoungHeapSmall = (): void => setFlagsFromString('--semi-space-growth-factor=1');

/**
 * V8 lets a small heap grow to several times of what lives in it before it collects: parsing as a buffer does took 94 MiB at
 * most, and 58 with this bound on it, for 0 to 8 % more CPU of that loop (six runs on a busy machine).
 */
const oldHeapGrowth = '--heap-growing-percent=75';

const launchActors = async (order: Order, youngMiB: number, logFile: string | undefined): Promise<ActorProcess> => {
  const output = logFile === undefined ? 2 : openSync(logFile, 'a');
  const child = fork(entry, {
    execArgv: [...process.execArgv, `--max-semi-space-size=${youngMiB}`, oldHeapGrowth],
    stdio: ['ignore', output, output, 'ipc'],
  });
  if (logFile !== undefined) closeSync(output);
  child.on('error', () => undefined); // an order or a word that did not arrive: its end says the rest
  child.send(order);
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  return {
    pid: child.pid ?? 0,
    ended,
    exitCode: () => child.exitCode,
    stop: async () => {
      const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax + 1_000);
      if (child.connected) child.send(stopWord, () => undefined);
      await ended;
      clearTimeout(late);
    },
  };
};

/** On a terminal the table has the screen, and logs go to a file beside the data; the file before it is kept. */
const logFileOf = (data: string): string | undefined => {
  if (process.stdout.isTTY !== true) return undefined;
  const file = path.join(data, 'tidemark.log');
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 16 * 2 ** 20) renameSync(file, `${file}.1`);
  return file;
};

const greet = (settings: Settings, server: NatsServer | undefined, services: string[], logFile: string | undefined): string => {
  const own =
    server === undefined
      ? ''
      : ` (nats-server ${server.version}${server.takenOn ? ', ran already' : ''}), monitoring ${server.monitoringUrl}`;
  const again = server === undefined ? '' : `\n            that server alone again: nats-server -c ${server.configuration}`;
  const which = settings.data === path.resolve(settingsTable.data.default ?? '') ? '' : ` --data ${settings.data}`;
  const pages = `http://${settings.host ?? '127.0.0.1'}:${settings.httpPort}/${settings.host === undefined ? '' : '  (log in with the token)'}`;
  return [
    'Tidemark runs.',
    `  pages     ${pages}`,
    `  data      ${settings.data}${logFile === undefined ? '' : `, logs in ${logFile}`}`,
    ...(settings.storage === 'local' ? [] : [`  storage   ${settings.storage}`]),
    ...(settings.coordinator === 'nats' ? [] : [`  leases    ${settings.coordinator}`]),
    `  server    ${settings.nats}${own}${again}`,
    `  measured  ${services.join(', ')}: each second`,
    `  try next  npx tidemark query --from now-10m --to now${which}`,
    `            npx tidemark watch${which}`,
    `            npx tidemark status${which}`,
    `            npx tidemark verify${which}`,
    '  stop      Ctrl-C; the next start goes on with the same data',
    '',
  ].join('\n');
};

const runServer = async (settings: Settings, log: Log): Promise<{ kept: Kept<NatsServer> | undefined; nats: string }> => {
  if (settings.nats !== undefined) {
    const { url, version, unproven } = await inspectServer(settings.nats, settings.natsHttpPort);
    if (unproven !== undefined) process.stderr.write(`durability unproven: ${unproven}\n`);
    log.info({ url, version, unproven }, 'joined a server that runs already');
    return { kept: undefined, nats: settings.nats };
  }
  const { data, natsPort, natsHttpPort, natsServer } = settings;
  const tell = (line: string) => void process.stderr.write(`${line}\n`);
  let first: NatsServer | undefined; // what is brought back has to have the port that the others know
  const launch = () =>
    startNatsServer({
      data,
      access: accessOf(settings),
      program: natsServer,
      tell,
      port: first === undefined ? natsPort : Number(new URL(first.url).port),
      httpPort: first === undefined ? natsHttpPort : Number(new URL(first.monitoringUrl).port),
    });
  const kept = await keep(
    'nats-server',
    async () => {
      const server = await launch();
      first ??= server;
      return server;
    },
    { log },
  );
  return { kept, nats: kept.current.url };
};

/** Runs until `signal`, then stops. @returns the exit code. @throws OutOfReachError, SettingsError when it cannot start */
export const runSystem = async ({ settings: given, signal, program, everyMs, anyHttpPort = false }: SystemOptions): Promise<number> => {
  const stops: (() => Promise<void> | void)[] = [];
  const pids: (() => number)[] = [() => process.pid];
  const endNow = () => {
    for (const pid of pids.slice(1)) process.kill(pid(), 'SIGKILL');
  };
  keepYoungHeapSmall();
  try {
    stops.push(lockData(given.data));
    await (await openStorage(given)).close(); // a newer format is refused before anything runs on it
    const logFile = logFileOf(given.data);
    const log = createLog({ ...given, file: logFile });
    const { kept: server, nats } = await runServer(given, log);
    if (server !== undefined) stops.push(() => server.stop());
    const httpPort = await choosePort(given.host ?? '127.0.0.1', given.httpPort, anyHttpPort);
    const settings = Object.freeze({ ...given, nats, httpPort });
    const asOperator = { ...settings, natsCreds: credentialsFor(settings, 'operator') };
    await ensureStreams(asOperator);
    const children: Kept<ActorProcess>[] = [];
    let opsPort = settings.opsPort;
    const nextOpsPort = (): number => (settings.opsPort === 0 ? 0 : opsPort++); // each process has one of its own
    const isFinal = (one: ActorProcess) => finalCodes.includes(one.exitCode());
    for (const { name, actors, isOne, youngMiB } of [...processLayout].reverse()) {
      // Several instances are processes of their own, so that one that dies leaves the others working.
      const alike = await Promise.all(
        Array.from({ length: isOne ? 1 : settings.instances }, (_, i) => {
          const order: Order = { actors, settings: { ...settings, instances: 1, opsPort: nextOpsPort() } };
          return keep(i === 0 ? name : `${name} ${i + 1}`, () => launchActors(order, youngMiB, logFile), { log, isFinal });
        }),
      );
      stops.push(async () => {
        await Promise.all(alike.map((child) => child.stop()));
      });
      children.push(...alike);
      pids.push(...alike.map((child) => () => child.current.pid));
    }
    process.once('exit', endNow);
    const ownPids = () => pids.map((pid) => pid());
    const agents = await startAgents({
      settings: { ...settings, natsCreds: credentialsFor(settings, 'agents') },
      natsPid: server && (() => server.current.pid),
      ownPids,
      program,
      everyMs,
      log,
    });
    stops.push(agents.stop);
    process.stdout.write(`${greet(settings, server?.current, agents.services, logFile)}\n`);
    const shown = showRows();
    await Promise.race([follow(asOperator, shown, signal), afterAbort(signal, followMsMax)]);
    shown.close();
    return children.map((child) => child.current.exitCode()).find((code) => finalCodes.includes(code)) ?? exitCodes.ok;
  } finally {
    for (const stop of stops.reverse()) await stop();
    process.removeListener('exit', endNow);
  }
};
