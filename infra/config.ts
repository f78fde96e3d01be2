/**
 * Settings: flag, then environment (`TIDEMARK_` and the flag's name in capitals), then tidemark.config.json, then default.
 * Every setting is in `settingsTable`, with its unit in its name; `--help`, `tidemark config` and the README show the same
 * table. Checked once at the start, frozen, and passed down. Nothing else reads the environment.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf, SettingsError } from './errors.js';
import type { Place, Setting } from './setting-kinds.js';
import { type SettingName, type Settings, settingsTable } from './settings-table.js';

export { formatBytes, formatDuration, parseBytes, parseDuration, type Setting } from './setting-kinds.js';
export { type SettingName, type Settings, settingsTable } from './settings-table.js';

/** Where each value came from: "--part-every", "TIDEMARK_PART_EVERY", "part-every in FILE" or "default". */
export type Origins = { readonly [Name in SettingName]: string };

export const settingNames = Object.keys(settingsTable) as SettingName[];

/** The name by which commander knows a flag: part-every is partEvery. */
export const optionName = (flag: string): string => flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

export const environmentName = (flag: string): string => `TIDEMARK_${flag.replaceAll('-', '_').toUpperCase()}`;

export const settingsFileName = 'tidemark.config.json';

const readSettingsFile = (file: string, named: boolean): Record<string, unknown> => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (!named && (error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new SettingsError(`${file} cannot be read (${messageOf(error)}): name another file with --config`, { cause: error });
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new SettingsError(`${file} is not JSON (${messageOf(error)}): mend it, or move it away`, { cause: error });
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new SettingsError(`${file} is not a JSON object: write { "part-every": "30s" } and so on`);
  }
  const known = new Set<string>(settingNames.map((name) => settingsTable[name].flag));
  for (const [key, value] of Object.entries(content)) {
    if (!known.has(key)) throw new SettingsError(`${key} in ${file} is no setting: \`tidemark config\` lists them`);
    if (typeof value !== 'string' && typeof value !== 'number') {
      throw new SettingsError(`${key} in ${file} is ${JSON.stringify(value)}: write a text or a number`);
    }
  }
  return content as Record<string, unknown>;
};

const checkTogether = (settings: Settings, origins: Origins): void => {
  const ports = new Map<number, SettingName>();
  for (const name of ['natsPort', 'natsHttpPort', 'httpPort', 'opsPort'] as const) {
    const other = ports.get(settings[name]);
    if (other !== undefined && settings[name] !== 0) {
      throw new SettingsError(
        `${settingsTable[name].flag} (${origins[name]}) and ${settingsTable[other].flag} (${origins[other]}) ` +
          `are both ${settings[name]}: give one of them another port`,
      );
    }
    ports.set(settings[name], name);
  }
  if (settings.host !== undefined && settings.token === undefined && settings.tokenFile === undefined) {
    throw new SettingsError(
      `host ${settings.host} (${origins.host}) lets other machines ask: add a token by --token-file FILE or TIDEMARK_TOKEN, ` +
        'or leave --host out',
    );
  }
  if (settings.partEveryMs > settings.batchEveryMs) {
    throw new SettingsError(
      `part-every (${origins.partEveryMs}) is longer than batch-every (${origins.batchEveryMs}): ` +
        'a batch takes what is in parts, so make parts at least as often',
    );
  }
};

/** An append to HDFS costs 30 to 100 ms whatever its size. */
const uploadEveryMsHdfs = 5_000;

/**
 * @param flags as commander gives them (`partEvery: "30s"`); what is no setting is passed over. `config` names the file.
 * @throws SettingsError that says what is wrong, where it was written, and what to do
 */
export const loadSettings = (
  flags: Readonly<Record<string, unknown>> = {},
  { env = process.env, cwd = process.cwd() }: { env?: Readonly<Record<string, string | undefined>>; cwd?: string } = {},
): { settings: Settings; origins: Origins } => {
  const named = flags.config ?? (env.TIDEMARK_CONFIG || undefined);
  const file = path.resolve(cwd, named === undefined ? settingsFileName : String(named));
  const written = readSettingsFile(file, named !== undefined);
  const values: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  for (const name of settingNames) {
    const one: Setting<unknown> = settingsTable[name];
    const inEnvironment = env[environmentName(one.flag)];
    const candidates: [unknown, Place][] = [
      [flags[optionName(one.flag)], { name: `--${one.flag}`, folder: cwd }],
      [inEnvironment === '' ? undefined : inEnvironment, { name: environmentName(one.flag), folder: cwd }],
      [written[one.flag], { name: `${one.flag} in ${file}`, folder: path.dirname(file) }],
      [one.default, { name: 'default', folder: cwd }],
    ];
    const [value, place] = candidates.find(([candidate]) => candidate !== undefined) ?? [undefined, { name: 'default', folder: cwd }];
    origins[name] = place.name;
    try {
      values[name] = value === undefined ? undefined : one.parse(String(value), place);
    } catch (error) {
      throw new SettingsError(`${place.name}: ${messageOf(error)}`, { cause: error });
    }
  }
  if (values.storage !== 'local' && origins.uploadEveryMs === 'default') {
    values.uploadEveryMs = uploadEveryMsHdfs;
    origins.uploadEveryMs = 'default with HDFS';
  }
  const settings = Object.freeze(values) as Settings;
  checkTogether(settings, origins as Origins);
  return { settings, origins: Object.freeze(origins) as Origins };
};

/** This process's environment with some names added, for a program that is started with them. */
export const environmentWith = (added: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({ ...process.env, ...added });

/** Whether npm started this process as a script: then it ends when npm does, by whatever signal. */
export const isNpmScript = (): boolean => process.env.npm_lifecycle_event !== undefined;

/** TIDEMARK_CRASH_AT=NAME or NAME:COUNT, for tests alone: where this process kills itself. No setting, so no flag. */
export const crashAt = (): { readonly name: string; readonly count: number } | undefined => {
  const [name = '', count = '1'] = (process.env.TIDEMARK_CRASH_AT ?? '').split(':');
  return name === '' ? undefined : { name, count: Number(count) };
};

/** TIDEMARK_SLOW_STORAGE=MS, for tests alone: how long every operation of the storage waits before it begins. */
export const slowStorageMs = (): number => Number(process.env.TIDEMARK_SLOW_STORAGE ?? 0);
