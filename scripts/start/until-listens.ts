/** Whoever reads an address opens it: it is printed once somebody answers there. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

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

/** Where this machine's own programs reach what listens everywhere. */
const reachedAt = (host: string): string => (host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host);

/** Resolves when something listens there, or after `msMax`: then its log says why it does not. */
export const untilListens = async (host: string, port: number, msMax: number): Promise<void> => {
  for (const until = performance.now() + msMax; performance.now() < until; ) {
    if (await isListening(reachedAt(host), port)) return;
    await sleep(lookEveryMs);
  }
};
