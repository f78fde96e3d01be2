/** The system that runs: where a command finds it, and a client of it. */
import type { Command } from 'commander';
import { findRunning, hasOwnServer } from '../infra/bus/nats-server.js';
import { credentialsFor } from '../infra/bus/users.js';
import { connect, type Tidemark } from '../infra/client/index.js';
import type { Origins, Settings } from '../infra/config.js';
import { OutOfReachError } from '../infra/errors.js';
import { settingsOf } from './settings-options.js';

export type RunningSettings = Settings & { readonly nats: string };

/** `status` answers within 2 s, whatever state the server is in. */
const lookMsMax = 500;

/**
 * The settings with the server's address: as somebody wrote it (`nats`, else `nats-port`), else that of the server which
 * `start` runs on the data folder, else the default port of this machine.
 * @throws OutOfReachError when the data folder has a server of its own that does not run: another one that happens to have
 * the default port is another system, and its answers would be about something else. The credentials are those that were
 * named, else the data folder's operator, where this account may read them.
 */
export const findSystem = async (given: { settings: Settings; origins: Origins }): Promise<RunningSettings> => {
  const { origins } = given;
  const settings = { ...given.settings, natsCreds: credentialsFor(given.settings, 'operator') };
  if (settings.nats !== undefined) return { ...settings, nats: settings.nats };
  const onPort = { ...settings, nats: `nats://127.0.0.1:${settings.natsPort}` };
  if (origins.natsPort !== 'default') return onPort;
  const running = await findRunning(settings.data, lookMsMax);
  if (running !== undefined) {
    return {
      ...settings,
      nats: running.url,
      natsPort: running.port,
      natsHttpPort: running.httpPort,
    };
  }
  if (!hasOwnServer(settings.data)) return onPort;
  throw new OutOfReachError(
    `no nats-server answers for ${settings.data}: \`tidemark start --data ${settings.data}\` runs it, ` +
      'or name another data folder by --data, or another server by --nats',
  );
};

/** @throws OutOfReachError, SettingsError */
export const systemOf = (command: Command): Promise<RunningSettings> => findSystem(settingsOf(command));

/** @throws OutOfReachError, SettingsError */
export const connectClient = async (command: Command): Promise<Tidemark> => {
  const { nats, natsCreds, natsCa } = await systemOf(command);
  return connect({
    nats,
    ...(natsCreds === undefined ? {} : { creds: natsCreds }),
    ...(natsCa === undefined ? {} : { ca: natsCa }),
    name: `tidemark ${command.name()}`,
  });
};
