/** Shares seeds out among processes: each runs some at a time, and what it found comes back. */
import { type ChildProcess, fork } from 'node:child_process';
import { on, once } from 'node:events';
import { RetryableError } from '../../infra/errors.js';
import type { Rule } from './rules.js';
import { type Outcome, runSeed } from './run.js';

interface Seeds {
  readonly first: number;
  readonly seeds: number;
  readonly without: Rule | undefined;
}

export interface Shared extends Seeds {
  readonly processes: number;
  /** Asked before seeds are given out. */
  readonly goesOn: () => boolean;
}

const seedsAtOnce = 20;

/** The outcomes, in any order. @throws RetryableError when a process ends that should not. */
export async function* shareOut({ first, seeds, processes, without, goesOn }: Shared): AsyncIterable<Outcome> {
  let next = first;
  const last = first + seeds;
  const take = (): Seeds | undefined => {
    if (next >= last || !goesOn()) return undefined;
    const share: Seeds = { first: next, seeds: Math.min(seedsAtOnce, last - next), without };
    next += share.seeds;
    return share;
  };
  const script = process.argv[1] as string;
  const children = Array.from({ length: Math.max(1, Math.min(processes, Math.ceil(seeds / seedsAtOnce))) }, () =>
    fork(script, ['--worker'], { execArgv: ['--max-semi-space-size=16'] }),
  );
  try {
    yield* merged(children.map((child) => outcomesOf(child, take)));
  } finally {
    for (const child of children) child.disconnect();
    await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')));
  }
}

async function* outcomesOf(child: ChildProcess, take: () => Seeds | undefined): AsyncIterable<Outcome> {
  const ended = new AbortController();
  child.once('exit', (code) => ended.abort(new RetryableError(`a process of the simulation ended with ${code}`)));
  const messages = on(child, 'message', { signal: ended.signal });
  for (let share = take(); share !== undefined; share = take()) {
    child.send(share);
    const { value } = (await messages.next()) as { value: [Outcome[]] };
    yield* value[0];
  }
}

async function* merged<T>(sources: readonly AsyncIterable<T>[]): AsyncIterable<T> {
  const open = new Map(sources.map((source) => [source, source[Symbol.asyncIterator]()]));
  const next = new Map([...open].map(([source, iterator]) => [source, iterator.next().then((result) => ({ source, result }))]));
  while (next.size > 0) {
    const { source, result } = await Promise.race(next.values());
    if (result.done) {
      next.delete(source);
      continue;
    }
    next.set(
      source,
      (open.get(source) as AsyncIterator<T>).next().then((following) => ({ source, result: following })),
    );
    yield result.value;
  }
}

/** In a process of shareOut: ends with its parent. */
export const serveSeeds = (): void => {
  Error.stackTraceLimit = 0; // most errors here are answers; --trace shows where one came from
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ first, seeds, without }: Seeds) => {
    void (async () => {
      const outcomes: Outcome[] = [];
      for (let seed = first; seed < first + seeds; seed++) outcomes.push(await runSeed({ seed, without }));
      process.send?.(outcomes);
    })();
  });
};
