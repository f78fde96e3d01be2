/** The connection of sources: unlike an owner's, it is opened again when it is lost, for they keep what is not sealed. */
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { connectionOptions, type NatsSettings } from '../bus/nats.js';
import { messageOf, OutOfReachError } from '../errors.js';

/** @throws OutOfReachError when nobody is there at the beginning */
export const openSourceConnection = async (settings: NatsSettings, name: string): Promise<NatsConnection> => {
  try {
    const options = connectionOptions(settings, name);
    return await connect({ ...options, maxReconnectAttempts: -1, reconnectTimeWait: 250, pingInterval: 5_000, maxPingOut: 2 });
  } catch (cause) {
    throw new OutOfReachError(`no NATS server at ${settings.nats} (${messageOf(cause)}): start one, or name another by --nats`, { cause });
  }
};
