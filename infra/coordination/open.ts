/** The coordinator that the settings name. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Bus } from '../bus/bus.js';
import type { Settings } from '../config.js';
import { messageOf, SettingsError } from '../errors.js';
import type { Coordinator } from './coordinator.js';
import { natsCoordinator } from './nats-kv.js';
import { parseZookeeperAddress } from './zookeeper-address.js';

/** How much of a lease's life may pass before it is renewed. */
const renewAfter = 0.27;

const readAuth = (file: string): string => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new SettingsError(`zookeeper-auth ${file} cannot be read (${messageOf(error)}): write user:password into it`, { cause: error });
  }
  if (!/^[^:\s]+:\S+$/.test(text)) throw new SettingsError(`zookeeper-auth ${file} does not hold user:password in one line`);
  return text;
};

/**
 * One for a process; whoever opens it closes it.
 * @param openBus gives a new connection for leases in NATS
 * @throws SettingsError when the address or the rights are wrong
 */
export const openCoordinator = async (
  settings: Pick<Settings, 'coordinator' | 'leaseTtlMs' | 'zookeeperSessionMs' | 'zookeeperAuth'>,
  openBus: () => Promise<Bus>,
  log: Logger,
): Promise<Coordinator> => {
  const { coordinator, leaseTtlMs, zookeeperAuth } = settings;
  if (coordinator === 'nats') return natsCoordinator(openBus, { ttlMs: leaseTtlMs, renewMs: Math.round(leaseTtlMs * renewAfter) }, log);
  const { openZookeeper } = await import('./zookeeper.js'); // its client is loaded only where it is used
  const auth = zookeeperAuth === undefined ? undefined : readAuth(zookeeperAuth);
  return openZookeeper({ ...parseZookeeperAddress(coordinator), sessionMs: settings.zookeeperSessionMs, auth }, log);
};
