/** The connection of a command that publishes readings: where its settings say that the system is. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Command } from 'commander';
import { connectSource } from '../infra/client/connect.js';
import { settingsOf } from './settings-options.js';

/** @throws OutOfReachError, SettingsError */
export const connectSourceOf = (command: Command): Promise<NatsConnection> => {
  const { settings } = settingsOf(command);
  return connectSource(
    { ...settings, nats: settings.nats ?? `nats://127.0.0.1:${settings.natsPort}` },
    `tidemark ${command.name()}`,
  );
};
