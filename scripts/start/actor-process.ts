/**
 * A child of `start` that holds some actors. It gets its order as a first message, stops cleanly when it is told to or
 * when its parent is gone, by whatever signal, and then ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodeOf, exitCodes, messageOf } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import type { Observer } from './observe.js';
import { type Observed, type Order, type Pids, stopMsMax, stopWord } from './order.js';

const stop = new AbortController();
const stopWithin = (): void => {
  if (stop.signal.aborted) return;
  stop.abort();
  void sleep(stopMsMax, undefined, { ref: false }).then(() => process.exit(exitCodes.failed));
};

const tell = (observed: Observed): void => {
  if (process.connected) process.send?.(observed, undefined, undefined, () => undefined);
};

let observer: Observer | undefined;
let isJoined = false;
let pids: Pids | undefined;

/** Whom to measure is known, and where to send it to is there. */
const letObserve = (): void => {
  if (isJoined && pids !== undefined) observer?.know(pids);
};

const joined = (): void => {
  isJoined = true;
  tell({ joined: true });
  letObserve();
};

const work = async ({ actors, settings, observes }: Order): Promise<number> => {
  const log = createLog(settings);
  try {
    const { runActors } = await import('../run-actors.js'); // takes a while: first hear what the parent says
    if (observes !== undefined) {
      process.stdout.on('error', () => undefined); // whoever read the rows has had enough: the system goes on
      const { observe } = await import('./observe.js');
      observer = observe(observes, settings, { signal: stop.signal, log, tell });
    }
    // The last readings are sealed while the dashboard can still show them.
    await Promise.all([observer?.ended, runActors([...actors], settings, { signal: stop.signal, log, joined })]);
    return exitCodes.ok;
  } catch (error) {
    if (!isJoined) tell({ refused: messageOf(error), code: exitCodeOf(error) });
    log.error({ err: error, actors }, 'ends');
    return exitCodeOf(error);
  }
};

process.on('SIGINT', () => undefined); // Ctrl-C reaches the whole group; the parent says when
process.on('SIGTERM', stopWithin);
process.on('disconnect', stopWithin);
if (!process.connected) stopWithin(); // it was gone before we listened
process.once('message', (order) => {
  process.on('message', (message) => {
    if (message === stopWord) return stopWithin();
    pids = message as Pids;
    letObserve();
  });
  void work(order as Order).then((code) => process.exit(code));
});
