/**
 * The supervisor: a whole system on this machine. It holds the data folder, runs nats-server and the actors' processes (one
 * of them measures four services), brings back whatever of its own dies, and stops in the order of the data: agents, actors,
 * server.
 */
import { once } from 'node:events';
import { renameSync, statSync } from 'node:fs';
import path from 'node:path';
import { inspectServer } from '../../infra/bus/nats-inspect.js';
import { type NatsServer, startNatsServer } from '../../infra/bus/nats-server.js';
import { accessOf } from '../../infra/bus/users.js';
import { type Settings, settingsTable } from '../../infra/config.js';
import { exitCodes } from '../../infra/errors.js';
import { createLog, type Log } from '../../infra/log.js';
import { openStorage } from '../../infra/storage/open.js';
import { type ActorProcess, isFinal, launchActors, processLayout } from './children.js';
import { choosePort } from './choose-port.js';
import { lockData } from './data-lock.js';
import { type Kept, keep } from './keep.js';
import type { Order } from './order.js';
import { untilListens } from './until-listens.js';

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

/** What runs is greeted for, also when the pages do not listen by then. */
const pagesMsMax = 10_000;

/** On a terminal the table has the screen, and logs go to a file beside the data; the file before it is kept. */
const logFileOf = (data: string): string | undefined => {
  if (process.stdout.isTTY !== true) return undefined;
  const file = path.join(data, 'tidemark.log');
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 16 * 2 ** 20) renameSync(file, `${file}.1`);
  return file;
};

const greet = (settings: Settings, server: NatsServer | undefined, services: readonly string[], logFile: string | undefined): string => {
  const own =
    server === undefined
      ? ''
      : ` (nats-server ${server.version}${server.takenOn ? ', ran already' : ''}), monitoring ${server.monitoringUrl}`;
  const again = server === undefined ? '' : `\n            that server alone again: ${server.program} -c ${server.configuration}`;
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

const runServer = async (
  settings: Settings,
  log: Log,
  onBack: () => void,
): Promise<{ kept: Kept<NatsServer> | undefined; nats: string }> => {
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
    { log, onBack },
  );
  return { kept, nats: kept.current.url };
};

/** Runs until `signal`, then stops. @returns the exit code. @throws OutOfReachError, SettingsError when it cannot start */
export const runSystem = async ({ settings: given, signal, program, everyMs, anyHttpPort = false }: SystemOptions): Promise<number> => {
  const stops: (() => Promise<void> | void)[] = [];
  let server: Kept<NatsServer> | undefined;
  const children: Kept<ActorProcess>[] = [];
  const pidsOf = (kept: readonly Kept<ActorProcess>[]): number[] => kept.map((child) => child.current.pid);
  const endNow = () => {
    for (const pid of pidsOf(children)) process.kill(pid, 'SIGKILL');
  };
  const tellPids = () => {
    const own = [process.pid, ...pidsOf(children)];
    for (const child of children) child.current.know({ own, ...(server && { nats: server.current.pid }) });
  };
  try {
    stops.push(lockData(given.data));
    await (await openStorage(given)).close(); // a newer format is refused before anything runs on it
    const logFile = logFileOf(given.data);
    const log = createLog({ ...given, file: logFile });
    const { kept, nats } = await runServer(given, log, tellPids);
    server = kept;
    if (kept !== undefined) stops.push(() => kept.stop());
    const httpPort = await choosePort(given.host ?? '127.0.0.1', given.httpPort, anyHttpPort);
    const settings = Object.freeze({ ...given, nats, httpPort });
    let opsPort = settings.opsPort;
    const nextOpsPort = (): number => (settings.opsPort === 0 ? 0 : opsPort++); // each process has one of its own
    const observes = { everyMs, ...(program !== undefined && { program }) };
    process.once('exit', endNow);
    const aborted = signal.aborted ? Promise.resolve() : once(signal, 'abort').then(() => undefined);
    const stopping: (() => Promise<unknown>)[] = [];
    stops.push(async () => {
      for (const stop of stopping) await stop();
    });
    for (const { name, actors, isOne, oldGrowthPercent } of processLayout) {
      // Several instances are processes of their own, so that one that dies leaves the others working.
      const alike = await Promise.all(
        Array.from({ length: isOne ? 1 : settings.instances }, (_, i) => {
          const order: Order = {
            actors,
            settings: { ...settings, instances: 1, opsPort: nextOpsPort() },
            ...(isOne && { observes }),
          };
          return keep(i === 0 ? name : `${name} ${i + 1}`, () => launchActors(order, oldGrowthPercent, logFile), {
            log,
            isFinal,
            onBack: tellPids,
          });
        }),
      );
      children.push(...alike);
      stopping.push(() => Promise.all(alike.map((child) => child.stop())));
      if (isOne) await Promise.race([alike[0]?.current.ready, aborted]);
    }
    tellPids();
    const services = await Promise.race([children[0]?.current.measured, aborted]);
    await Promise.race([untilListens(settings.host ?? '127.0.0.1', settings.httpPort, pagesMsMax), aborted]);
    process.stdout.write(`${greet(settings, server?.current, services ?? [], logFile)}\n`);
    await aborted;
    return (
      children
        .map((child) => child.current)
        .find(isFinal)
        ?.exitCode() ?? exitCodes.ok
    );
  } finally {
    for (const stop of stops.reverse()) await stop();
    process.removeListener('exit', endNow);
  }
};
