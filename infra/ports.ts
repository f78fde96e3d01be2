/** Ports of this machine: which are free, and where to reach what listens. */
import { createServer } from 'node:net';
import { OutOfReachError } from './errors.js';

const listen = (port: number, host = '127.0.0.1'): Promise<{ port: number; close: () => Promise<void> } | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, host, () => {
      const address = server.address();
      const taken = typeof address === 'object' && address !== null ? address.port : port;
      resolve({ port: taken, close: () => new Promise((done) => server.close(() => done())) });
    });
  });

/** `count` ports that were free a moment ago: the wished ones where nobody listens, others for the rest. */
export const freePorts = async (count: number, wished: readonly (number | undefined)[] = []): Promise<number[]> => {
  const held: { port: number; close: () => Promise<void> }[] = [];
  for (let i = 0; i < count; i++) {
    const wish = wished[i];
    const one = (wish === undefined ? undefined : await listen(wish)) ?? (await listen(0));
    if (one === undefined) throw new OutOfReachError('no port is free on 127.0.0.1');
    held.push(one);
  }
  await Promise.all(held.map((one) => one.close()));
  return held.map(({ port }) => port);
};

export const freePort = async (): Promise<number> => (await freePorts(1))[0] as number;

/** Whether nobody listens there now. */
export const isPortFree = async (port: number, host?: string): Promise<boolean> => {
  const held = await listen(port, host);
  await held?.close();
  return held !== undefined;
};

/** @throws OutOfReachError when somebody listens on one of these ports */
export const requireFree = async (ports: readonly number[], whose: string): Promise<void> => {
  for (const port of ports) {
    if (!(await isPortFree(port)))
      throw new OutOfReachError(`port ${port}, for ${whose}, is taken by another program: stop it, or give other ports`);
  }
};

/** Where this machine's own programs reach what listens at an address. */
export const reachedAt = (host: string): string => (host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host);
