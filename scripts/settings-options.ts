/** Settings as options of a command: from the one table, so that help, check and README agree. */
import type { Command } from 'commander';
import { loadSettings, type Origins, type SettingName, type Settings, settingsTable } from '../infra/config.js';

/** Adds these settings, and --config, to a command. */
export const addSettings = (command: Command, names: readonly SettingName[]): Command => {
  for (const name of names) {
    const { flag, placeholder, meaning, default: byDefault } = settingsTable[name];
    command.option(`--${flag} <${placeholder}>`, byDefault === undefined ? meaning : `${meaning} (default: ${byDefault})`);
  }
  return command.option('--config <FILE>', 'settings file (default: ./tidemark.config.json, if there is one)');
};

/** The settings of a command that was called. @throws SettingsError */
export const settingsOf = (command: Command): { settings: Settings; origins: Origins } => loadSettings(command.optsWithGlobals());

/** What a command needs that talks to a running system. */
export const connectionSettings: readonly SettingName[] = ['data', 'nats', 'natsCreds', 'natsCa', 'natsPort'];
