/** The connection of a source: unlike an owner's it comes back by itself, for its sources send again what is not named. */
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { connectionOptions, type NatsSettings } from '../bus/nats.js';
import { messageOf, OutOfReachError } from '../errors.js';

/** @throws OutOfReachError when nobody answers now; later breaks are waited out. */
export const connectSource = async (settings: NatsSettings, name: string): Promise<NatsConnection> => {
  try {
    return await connect({
      ...connectionOptions(settings, name),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      pingInterval: 5_000,
    });
  } catch (cause) {
    throw new OutOfReachError(
      `no NATS server at ${settings.nats} (${messageOf(cause)}): \`tidemark start\` runs one, or name another by --nats`,
      { cause },
    );
  }
};
