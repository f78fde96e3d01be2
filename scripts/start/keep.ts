/** Keeps a process running: what dies is brought back, with growing pauses, until it is stopped. */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../infra/errors.js';
import type { Log } from '../../infra/log.js';

export interface Running {
  readonly pid: number;
  /** Resolves when it is gone, with how it ended. */
  readonly ended: Promise<string>;
  /** Ends it cleanly, within bounds; resolves when it is gone. */
  stop(): Promise<void>;
}

export interface Kept<One extends Running> {
  /** What runs now, or ran last. */
  readonly current: One;
  stop(): Promise<void>;
}

const pauseMsMin = 250;
const pauseMsMax = 5_000;
/** Who ran this long begins again with the shortest pause. */
const soundAfterMs = 30_000;

export const pauseAfter = (failures: number): number => Math.min(pauseMsMax, pauseMsMin * 2 ** failures);

/**
 * Launches it; the first launch's error is the caller's. `isFinal` says of an end that it would come again at once: then
 * it is left as it is. `onBack` hears of each other one that runs in its place.
 */
export const keep = async <One extends Running>(
  name: string,
  launch: () => Promise<One>,
  { log, isFinal = () => false, onBack }: { log: Log; isFinal?: (one: One) => boolean; onBack?: () => void },
): Promise<Kept<One>> => {
  let current = await launch();
  const stopping = new AbortController();
  const bringBack = async (): Promise<void> => {
    for (let failures = 0; ; failures++) {
      await sleep(pauseAfter(failures), undefined, { signal: stopping.signal });
      try {
        current = await launch();
        log.info({ process: name, pid: current.pid }, 'brought back');
        onBack?.();
        return;
      } catch (error) {
        log.warn({ process: name, err: error, pauseMs: pauseAfter(failures + 1) }, 'could not be brought back, will try again');
      }
    }
  };
  const watch = async (): Promise<void> => {
    let failures = 0;
    for (;;) {
      const since = performance.now();
      const how = await current.ended;
      if (stopping.signal.aborted) return;
      if (isFinal(current)) return log.error({ process: name, pid: current.pid, how }, 'ended for good');
      failures = performance.now() - since > soundAfterMs ? 0 : failures + 1;
      log.warn({ process: name, pid: current.pid, how }, 'died, will be brought back');
      await sleep(pauseAfter(failures) - pauseMsMin, undefined, { signal: stopping.signal });
      await bringBack();
      if (stopping.signal.aborted) return;
    }
  };
  const watching = watch().catch((error: unknown) => {
    if (!stopping.signal.aborted) log.error({ process: name, err: error, reason: messageOf(error) }, 'is no longer watched');
  });
  return {
    get current() {
      return current;
    },
    stop: async () => {
      stopping.abort();
      await current.stop();
      await watching;
      await current.stop(); // it may have come back in between
    },
  };
};
