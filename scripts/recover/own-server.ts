/** A nats-server of `recover`'s own: on free ports, so that nobody takes it for the system that is being recovered. */
import { createServer } from 'node:net';
import { type NatsServer, startNatsServer } from '../../infra/bus/nats-server.js';
import type { Settings } from '../../infra/config.js';
import { messageOf, OutOfReachError } from '../../infra/errors.js';

const triesMax = 4;

const freePort = async (): Promise<number> => {
  const server = createServer();
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
};

/** On the store of `settings.data`, for this machine alone. @throws OutOfReachError */
export const runOwnServer = async ({ data, natsServer, partitions }: Settings): Promise<NatsServer> => {
  for (let tries = 1; ; tries++) {
    const [port, httpPort] = [await freePort(), await freePort()];
    try {
      return await startNatsServer({ data, program: natsServer, port, httpPort, access: { host: '127.0.0.1', partitions } });
    } catch (error) {
      if (!(error instanceof OutOfReachError) || tries === triesMax || !messageOf(error).includes('is taken')) throw error;
    }
  }
};
