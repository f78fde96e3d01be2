/** A nats-server of `recover`'s own: on free ports, so that nobody takes it for the system that is being recovered. */
import { type NatsServer, startNatsServer } from '../../infra/bus/nats-server.js';
import type { Settings } from '../../infra/config.js';
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { freePorts } from '../../infra/ports.js';

const triesMax = 4;

/** On the store of `settings.data`, for this machine alone. @throws OutOfReachError */
export const runOwnServer = async ({ data, natsServer, partitions }: Settings): Promise<NatsServer> => {
  for (let tries = 1; ; tries++) {
    const [port, httpPort] = (await freePorts(2)) as [number, number];
    try {
      return await startNatsServer({ data, program: natsServer, port, httpPort, access: { host: '127.0.0.1', partitions } });
    } catch (error) {
      if (!(error instanceof OutOfReachError) || tries === triesMax || !messageOf(error).includes('is taken')) throw error;
    }
  }
};
