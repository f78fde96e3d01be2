/** A client of the system that runs: where the settings of a command say that it is. */
import type { Command } from 'commander';
import { connect, type Tidemark } from '../infra/client/index.js';
import { settingsOf } from './settings-options.js';

/** @throws OutOfReachError, SettingsError */
export const connectClient = async (command: Command): Promise<Tidemark> => {
  const { settings } = settingsOf(command);
  return connect({
    nats: settings.nats ?? `nats://127.0.0.1:${settings.natsPort}`,
    ...(settings.natsCreds === undefined ? {} : { creds: settings.natsCreds }),
    ...(settings.natsCa === undefined ? {} : { ca: settings.natsCa }),
    name: `tidemark ${command.name()}`,
  });
};
