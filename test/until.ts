/** Waiting in tests: for what becomes true, never for a time. Whoever waits in vain meets the test's own time limit. */
import { setTimeout as sleep } from 'node:timers/promises';

const lookEveryMs = 20;

/** The first answer that is not undefined. */
export const until = async <T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> => {
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await sleep(lookEveryMs);
  }
};
