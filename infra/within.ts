/** Bounds on how long something may take. */
import { setTimeout as sleep } from 'node:timers/promises';
import { OutOfReachError } from './errors.js';

/** What it gives, if it does so within `msMax`. @throws what `late` makes; the work itself goes on, and may fail unheard. */
export const within = async <T>(work: Promise<T>, msMax: number, late: () => Error): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), Math.max(0, msMax));
  });
  work.catch(() => undefined); // it may fail after nobody waits for it any more
  try {
    return await Promise.race([work, timeUp]);
  } finally {
    clearTimeout(timer);
  }
};

const againMs = 250;

/**
 * What it gives, tried again while something is out of reach, for at most `msMax`: a server that is being restarted is there in a
 * moment. `waits` is called once, before the second try. @throws what the last try did
 */
export const patiently = async <T>(attempt: () => Promise<T>, msMax: number, waits: (why: OutOfReachError) => void): Promise<T> => {
  const until = performance.now() + msMax;
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof OutOfReachError) || performance.now() >= until) throw error;
      if (tries === 1) waits(error);
      await sleep(againMs);
    }
  }
};

/** How long an actor waits at its start for a server that does not answer. */
export const reachMsMax = 10_000;
