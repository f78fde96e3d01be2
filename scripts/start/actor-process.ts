/**
 * A child of `start` that holds some actors. It gets its order as a first message, stops cleanly when it is told to or
 * when its parent is gone, by whatever signal, and then ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodeOf, exitCodes } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import { type Order, stopMsMax, stopWord } from './order.js';

const stop = new AbortController();
const stopWithin = (): void => {
  if (stop.signal.aborted) return;
  stop.abort();
  void sleep(stopMsMax, undefined, { ref: false }).then(() => process.exit(exitCodes.failed));
};

const work = async ({ actors, settings }: Order): Promise<number> => {
  const log = createLog(settings);
  try {
    const { runActors } = await import('../run-actors.js'); // takes a while: first hear what the parent says
    await runActors([...actors], settings, { signal: stop.signal, log });
    return exitCodes.ok;
  } catch (error) {
    log.error({ err: error, actors }, 'ends');
    return exitCodeOf(error);
  }
};

process.on('SIGINT', () => undefined); // Ctrl-C reaches the whole group; the parent says when
process.on('SIGTERM', stopWithin);
process.on('disconnect', stopWithin);
if (!process.connected) stopWithin(); // it was gone before we listened
process.on('message', (message) => {
  if (message === stopWord) stopWithin();
});
process.once('message', (order) => {
  void work(order as Order).then((code) => process.exit(code));
});
