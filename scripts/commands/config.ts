/** `tidemark config`: every setting, its value, and where it came from. */
import {
  environmentName,
  formatBytes,
  formatDuration,
  type SettingName,
  type Settings,
  settingNames,
  settingsTable,
} from '../../infra/config.js';
import type { RegisterCommand } from '../command.js';
import { addSettings, settingsOf } from '../settings-options.js';
import { columns } from '../table.js';

/** As one would write it; what stands before the @ of an address is nobody's business. */
export const shown = (name: SettingName, settings: Settings): string | undefined => {
  const value = settings[name];
  if (value === undefined) return undefined;
  if (name === 'token') return '***';
  const { placeholder } = settingsTable[name];
  if (name === 'memoryMiB') return `${value}MiB`;
  if (placeholder === 'TIME') return formatDuration(value as number);
  if (placeholder === 'SIZE') return formatBytes(value as number);
  return String(value).replace(/(\/\/|,|^)[^/@,]+@/g, '$1***@');
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('config')
    .description('settings, and where each came from: flag, environment, file or default')
    .option('--json', 'as JSON');
  addSettings(command, settingNames)
    .addHelpText('after', '\nExample:\n  $ TIDEMARK_PARTITIONS=8 tidemark config --part-every 10s')
    .action((options: { json?: boolean }) => {
      const { settings, origins } = settingsOf(command);
      if (options.json === true) {
        const all = settingNames.map((name) => {
          const { flag, meaning } = settingsTable[name];
          return [flag, { value: shown(name, settings) ?? null, from: origins[name], environment: environmentName(flag), meaning }];
        });
        process.stdout.write(`${JSON.stringify(Object.fromEntries(all))}\n`);
        return;
      }
      const rows = settingNames.map((name) => [
        settingsTable[name].flag,
        shown(name, settings) ?? '-',
        origins[name],
        settingsTable[name].meaning,
      ]);
      process.stdout.write(columns([['setting', 'value', 'from', 'meaning'], ...rows]));
    });
};
