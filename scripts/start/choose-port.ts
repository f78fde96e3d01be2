/** The port of the pages: known before they listen, so that it is said at once and stays when they are brought back. */
import { createServer } from 'node:net';
import { messageOf, OutOfReachError } from '../../infra/errors.js';

const tryListen = (host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port }, () => {
      const address = server.address();
      const found = address === null || typeof address === 'string' ? port : address.port;
      server.close(() => resolve(found));
    });
  });

/** @throws OutOfReachError when the port is taken and was chosen by somebody (`any` is false) */
export const choosePort = async (host: string, port: number, any: boolean): Promise<number> => {
  try {
    return await tryListen(host, port);
  } catch (cause) {
    if (any) return tryListen(host, 0);
    throw new OutOfReachError(`the pages cannot listen on ${host}:${port} (${messageOf(cause)}): name another port by --http-port`, {
      cause,
    });
  }
};
