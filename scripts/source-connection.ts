/** The connection of a command that publishes readings. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Command } from 'commander';
import { connectSource } from '../infra/client/connect.js';
import { systemOf } from './running-system.js';

/** @throws OutOfReachError, SettingsError */
export const connectSourceOf = async (command: Command): Promise<NatsConnection> =>
  connectSource(await systemOf(command), `tidemark ${command.name()}`);
