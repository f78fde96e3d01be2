/** The processes that `start` runs actors in: which there are, and one of them from its launch to its end. */
import { fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { environmentWith } from '../../infra/config.js';
import { exitCodes, OutOfReachError, SettingsError } from '../../infra/errors.js';
import type { RunnableActor } from '../run-actors.js';
import type { Running } from './keep.js';
import { type Observed, type Order, type Pids, stopMsMax, stopWord } from './order.js';

interface ActorsOfProcess {
  readonly name: string;
  readonly actors: readonly RunnableActor[];
  /** There is one of it however many instances there are, and it observes. */
  readonly isOne?: true;
  /** How far the old heap may grow beyond what lived in it, percent, before it is collected. */
  readonly oldGrowthPercent: number;
}

/**
 * As few processes as give the speed: parsing is half of the work, so the buffers have one of their own. In stopping order.
 * V8 lets a small heap grow to several times of what lives in it: parsing as a buffer does took 94 MiB at most, 58 with a bound
 * of 75 percent, and 10 MiB less with 25, for 3 % more CPU. Who answers makes texts of megabytes at a time and would collect
 * for each: with 25, five answers a second of 7.7 MiB took a fourth more CPU.
 */
export const processLayout: readonly ActorsOfProcess[] = [
  { name: 'dashboard', actors: ['dashboard'], isOne: true, oldGrowthPercent: 50 }, // whatever is asked there, nobody else's event loop waits for it
  { name: 'buffers', actors: ['buffer'], oldGrowthPercent: 25 },
  { name: 'layers', actors: ['uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger'], oldGrowthPercent: 50 },
];

export interface ActorProcess extends Running {
  readonly exitCode: () => number | null;
  /** It has joined the server, and the streams are there. Rejects with why they cannot be. */
  readonly ready: Promise<void>;
  /** Of the one that observes: the services that it measures; none when it ended before. */
  readonly measured: Promise<readonly string[]>;
  know(pids: Pids): void;
}

/** It would end in the same way again: a setting, or a promise that is broken. */
const finalCodes: readonly (number | null)[] = [exitCodes.usage, exitCodes.settings, exitCodes.promiseBroken];

export const isFinal = (child: ActorProcess): boolean => finalCodes.includes(child.exitCode());

const entry = fileURLToPath(new URL('./actor-process.js', import.meta.url));

/**
 * Bound of a half of the young heap: V8's own, 16 MiB, is never given back by who is busy. With 4 at 20,000 messages a second
 * a process of buffers takes a quarter less memory, for 5 % more CPU; with 2 an answer of a day by hour takes the dashboard
 * 2.1 ms of CPU where it takes 1.7 with 4.
 */
const youngMiB = 4;

/**
 * With an arena for each of its threads glibc keeps several times what is in use: one takes 20 to 30 MiB less for all processes
 * at 20,000 messages a second, for as much CPU. With bounds of their own (128 KiB) it gives back what is freed, large or at the
 * end, where it would raise them by itself.
 */
const allocator = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '131072' };

const refusal = ({ refused, code }: { refused: string; code: number }): Error =>
  code === exitCodes.settings ? new SettingsError(refused) : new OutOfReachError(refused);

export const launchActors = async (order: Order, oldGrowthPercent: number, logFile: string | undefined): Promise<ActorProcess> => {
  const output = logFile === undefined ? 2 : openSync(logFile, 'a');
  const child = fork(entry, {
    env: { ...allocator, ...environmentWith({}) },
    execArgv: [...process.execArgv, `--max-semi-space-size=${youngMiB}`, `--heap-growing-percent=${oldGrowthPercent}`],
    stdio: ['ignore', order.observes === undefined ? output : 'inherit', output, 'ipc'],
  });
  if (logFile !== undefined) closeSync(output);
  child.on('error', () => undefined); // an order or a word that did not arrive: its end says the rest
  child.send(order);
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (message: Observed) => {
      if ('joined' in message) resolve();
      if ('refused' in message) reject(refusal(message));
    });
    void ended.then((how) => reject(new OutOfReachError(`a process of ours ended at its start (${how}): its log says why`)));
  });
  ready.catch(() => undefined); // most are not asked
  const measured = new Promise<readonly string[]>((resolve) => {
    child.on('message', (message: Observed) => {
      if ('services' in message) resolve(message.services);
    });
    void ended.then(() => resolve([]));
  });
  return {
    pid: child.pid ?? 0,
    ended,
    ready,
    measured,
    exitCode: () => child.exitCode,
    know: (pids) => {
      if (order.observes !== undefined && child.connected) child.send(pids, () => undefined);
    },
    stop: async () => {
      const late = setTimeout(() => child.kill('SIGKILL'), stopMsMax + 1_000);
      if (child.connected) child.send(stopWord, () => undefined);
      await ended;
      clearTimeout(late);
    },
  };
};
