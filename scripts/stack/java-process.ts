/**
 * A server of the stack: a Java process in a session of its own, so that it outlives who started it. What runs is known by
 * FOLDER/pids/<name>, its pid and when it started: whoever has got the same pid since then is not taken for it.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OutOfReachError } from '../../infra/errors.js';
import { isAlive, startOf } from '../../infra/process.js';

export interface JavaServer {
  readonly name: string;
  /** Has conf/ (first on the class path), logs/, pids/ and tmp/. */
  readonly folder: string;
  readonly jars: string;
  readonly heapMiB: number;
  readonly main: string;
  readonly words: readonly string[];
}

/** Quick to start and small: many of them share one machine. */
const flags = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.net.preferIPv4Stack=true', '-Duser.timezone=UTC'];

const log4j = `log4j.rootLogger=INFO,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
log4j.logger.BlockStateChange=WARN
`;

/** Makes conf/, logs/, pids/ and tmp/. The jars hold no log4j.properties, without which nothing is logged. */
export const makeFolders = (folder: string): void => {
  for (const name of ['conf', 'logs', 'pids', 'tmp']) mkdirSync(path.join(folder, name), { recursive: true });
  writeFileSync(path.join(folder, 'conf', 'log4j.properties'), log4j);
};

const pidFile = (folder: string, name: string): string => path.join(folder, 'pids', name);

export const logFile = (folder: string, name: string): string => path.join(folder, 'logs', `${name}.log`);

/** The pid of a server that was started here and still runs. */
export const runningPid = (folder: string, name: string): number | undefined => {
  let text: string;
  try {
    text = readFileSync(pidFile(folder, name), 'utf8');
  } catch {
    return undefined;
  }
  const [pid, start] = text.trim().split(' ');
  return isAlive(Number(pid)) && startOf(Number(pid)) === (start ?? '') ? Number(pid) : undefined;
};

export const javaWords = ({ folder, jars, heapMiB, main, words }: Omit<JavaServer, 'name'>): string[] => [
  `-Xmx${heapMiB}m`,
  ...flags,
  `-Djava.io.tmpdir=${path.join(folder, 'tmp')}`, // a killed server leaves folders there
  '-cp',
  `${path.join(folder, 'conf')}${path.delimiter}${path.join(jars, '*')}`,
  main,
  ...words,
];

/** Starts it, if it does not run. @returns its pid */
export const launchJava = async (server: JavaServer): Promise<number> => {
  const { name, folder } = server;
  const running = runningPid(folder, name);
  if (running !== undefined) return running;
  const output = openSync(logFile(folder, name), 'a');
  const child = spawn('java', javaWords(server), { detached: true, stdio: ['ignore', output, output] });
  closeSync(output);
  child.unref();
  const { pid } = child;
  if (pid === undefined) {
    await new Promise((resolve) => child.once('error', resolve));
    throw new OutOfReachError(`java cannot be run for ${name}`);
  }
  writeFileSync(pidFile(folder, name), `${pid} ${startOf(pid)}\n`);
  return pid;
};

/** Ends a server that was started here, with SIGKILL if it does not go in time. @returns whether one ran */
export const endJava = async (folder: string, name: string, signal: NodeJS.Signals = 'SIGTERM', msMax = 10_000): Promise<boolean> => {
  const pid = runningPid(folder, name);
  if (pid !== undefined) {
    process.kill(pid, 'SIGCONT'); // a paused one hears nothing else
    process.kill(pid, signal);
    const deadline = performance.now() + msMax;
    while (runningPid(folder, name) !== undefined) {
      if (performance.now() > deadline) process.kill(pid, 'SIGKILL');
      await sleep(50);
    }
  }
  rmSync(pidFile(folder, name), { force: true });
  return pid !== undefined;
};

/** How long its log is now: what it says from here on is its last start's. */
export const logLength = (folder: string, name: string): number => {
  try {
    return statSync(logFile(folder, name)).size;
  } catch {
    return 0;
  }
};

/** The last lines that a server said, for the error when it ended at its start. */
export const lastWords = (folder: string, name: string, from = 0): string => {
  const said = readFileSync(logFile(folder, name)).subarray(from).toString('utf8').trim().split('\n');
  const telling = said.filter((line) => /ERROR|FATAL|Exception/.test(line));
  return (telling.length > 0 ? telling : said).slice(0, 3).join('\n  ');
};
