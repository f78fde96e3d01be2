/** Whoever reads an address opens it: it is printed once somebody answers there. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { reachedAt } from '../../infra/ports.js';

const lookEveryMs = 50;

const isListening = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (is: boolean) => () => {
      socket.destroy();
      resolve(is);
    };
    socket.once('connect', end(true));
    socket.once('error', end(false));
  });

/** Resolves when something listens there, or after `msMax`: then its log says why it does not. */
export const untilListens = async (host: string, port: number, msMax: number): Promise<void> => {
  for (const until = performance.now() + msMax; performance.now() < until; ) {
    if (await isListening(reachedAt(host), port)) return;
    await sleep(lookEveryMs);
  }
};
