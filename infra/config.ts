/**
 * Settings: flag, then environment (`TIDEMARK_` and the flag's name in capitals), then tidemark.config.json, then default.
 * Every setting is in `settingsTable`, with its unit in its name; `--help`, `tidemark config` and the README show the same
 * table. Checked once at the start, frozen, and passed down. Nothing else reads the environment.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf, SettingsError, UsageError } from './errors.js';

/** Where a value was written, for relative paths and for what an error says. */
interface Place {
  /** "--part-every", "TIDEMARK_PART_EVERY", or "part-every in FILE". */
  readonly name: string;
  /** Relative paths start here. */
  readonly folder: string;
}

export interface Setting<T> {
  /** Without the dashes; also the key in the file, and with `TIDEMARK_`, in capitals, the name in the environment. */
  readonly flag: string;
  /** What stands for the value in the help. */
  readonly placeholder: string;
  /** As a person would write it; undefined: none. */
  readonly default: string | undefined;
  readonly meaning: string;
  /** @throws UsageError with what was wrong and what would be right. */
  readonly parse: (text: string, place: Place) => T;
}

interface Kind<T> {
  readonly placeholder: string;
  readonly parse: (text: string, place: Place) => T;
}

const wrong = (text: string, expected: string): UsageError => new UsageError(`${JSON.stringify(text)} is not ${expected}`);

const durationUnits: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** "100ms", "30s", "1.5h", "7d" to milliseconds. @throws UsageError */
export const parseDuration = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)$/.exec(text.trim());
  if (match === null) throw wrong(text, 'a duration with its unit, such as 100ms, 30s, 5m, 1h or 7d');
  return Math.round(Number(match[1]) * (durationUnits[match[2] as string] as number));
};

const byteUnits: Record<string, number> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** "64MiB", "1GB" to bytes. @throws UsageError */
export const parseBytes = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)\s*([kKMGT]i?B|B)$/.exec(text.trim());
  const unit = byteUnits[match?.[2] ?? ''];
  if (match === null || unit === undefined) throw wrong(text, 'a size with its unit, such as 64MiB, 1GiB or 500MB');
  return Math.round(Number(match[1]) * unit);
};

const parseWhole = (text: string, min: number, max: number): number => {
  const value = /^\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw wrong(text, `a whole number from ${min} to ${max}`);
  return value;
};

const whole = (min: number, max: number): Kind<number> => ({
  placeholder: 'N',
  parse: (text) => parseWhole(text, min, max),
});

const port = (min: number): Kind<number> => ({
  placeholder: 'PORT',
  parse: (text) => parseWhole(text, min, 65_535),
});

const duration = (minMs: number, maxMs: number): Kind<number> => ({
  placeholder: 'TIME',
  parse: (text) => {
    const ms = parseDuration(text);
    if (ms < minMs || ms > maxMs) throw wrong(text, `between ${formatDuration(minMs)} and ${formatDuration(maxMs)}`);
    return ms;
  },
});

const bytes = (min: number, max: number, unit = 1): Kind<number> => ({
  placeholder: 'SIZE',
  parse: (text) => {
    const value = parseBytes(text);
    if (value < min || value > max) throw wrong(text, `between ${formatBytes(min)} and ${formatBytes(max)}`);
    return Math.floor(value / unit);
  },
});

const filePath = (placeholder: string): Kind<string> => ({
  placeholder,
  parse: (text, place) => {
    if (text.trim() === '') throw wrong(text, 'a path');
    return path.resolve(place.folder, text);
  },
});

const oneOf = <const T extends string>(...choices: T[]): Kind<T> => ({
  placeholder: choices.join('|'),
  parse: (text) => {
    const choice = choices.find((one) => one === text.trim());
    if (choice === undefined) throw wrong(text, `one of ${choices.join(', ')}`);
    return choice;
  },
});

const address = (placeholder: string, fits: RegExp, example: string): Kind<string> => ({
  placeholder,
  parse: (text) => {
    if (!fits.test(text.trim())) throw wrong(text, example);
    return text.trim();
  },
});

const setting = <T>(flag: string, kind: Kind<T>, byDefault: string, meaning: string): Setting<T> => ({
  flag,
  ...kind,
  default: byDefault,
  meaning,
});

const optional = <T>(flag: string, kind: Kind<T>, meaning: string): Setting<T | undefined> => ({
  flag,
  ...kind,
  default: undefined,
  meaning,
});

const dayMs = 86_400_000;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** Every setting there is, in the order in which help shows them. */
export const settingsTable = {
  data: setting('data', filePath('DIR'), './data', "folder of this system: the server's store, raw files, views"),
  nats: optional(
    'nats',
    address('URL', /^(?:(?:nats|tls):\/\/)?[^\s/]+$/, 'an address such as nats://127.0.0.1:4222'),
    'NATS server to join (default: the one that `start` runs on the data folder)',
  ),
  natsCreds: optional('nats-creds', filePath('FILE'), 'credentials file for that server'),
  natsCa: optional('nats-ca', filePath('FILE'), "certificate (PEM) of the authority that signed that server's"),
  natsServer: optional('nats-server', filePath('FILE'), 'nats-server program to run; without it one is found or installed'),
  natsPort: setting('nats-port', port(1), '4222', 'port of the server that `start` runs'),
  natsHttpPort: setting('nats-http-port', port(1), '8222', 'monitoring port of that server'),
  httpPort: setting('http-port', port(0), '8080', 'port of the pages (they come in a later version)'),
  opsPort: setting('ops-port', port(0), '0', 'port of health and metrics (they come in a later version)'),
  partitions: setting('partitions', whole(1, 64), '4', 'independent logs; fixed when the data is made'),
  instances: setting('instances', whole(1, 64), '1', 'how many of each actor to run'),
  storage: setting(
    'storage',
    address('local|URL', /^(?:local|hdfs:\/\/\S+)$/, 'local or an address such as hdfs://namenode:9870/tidemark'),
    'local',
    'where files live: the data folder (HDFS comes in a later version)',
  ),
  coordinator: setting(
    'coordinator',
    address('nats|URL', /^(?:nats|zookeeper:\/\/\S+)$/, 'nats or an address such as zookeeper://host:2181'),
    'nats',
    'who keeps the leases: NATS (ZooKeeper comes in a later version)',
  ),
  bufferCapacity: setting('buffer-capacity', whole(1, 10_000), '50', 'records after which a buffer is sealed'),
  sealAfterMs: setting('seal-after', duration(1, 60_000), '100ms', 'time after which a buffer is sealed anyway'),
  snapshotEveryMs: setting('snapshot-every', duration(100, dayMs), '60s', 'how often a buffer stores its table of sources'),
  snapshotRecords: setting('snapshot-records', whole(1, 1_000_000_000), '250000', 'records after which it does so anyway'),
  uploadEveryMs: setting('upload-every', duration(10, 600_000), '1s', 'how long segments are gathered before an upload'),
  uploadBytesMax: setting('upload-bytes-max', bytes(1 * MiB, 256 * MiB), '8MiB', 'size at which an upload does not wait'),
  rawFileBytesMax: setting('raw-file-bytes-max', bytes(1 * MiB, 64 * GiB), '64MiB', 'size at which a new raw file is begun'),
  updateEveryMs: setting('update-every', duration(5, 10_000), '50ms', 'how often changed rows are published'),
  purgeEveryMs: setting('purge-every', duration(50, dayMs), '5s', 'how often METRICS and SEGMENTS are purged of what is done with'),
  segmentsKeepMs: setting('segments-keep', duration(0, 31 * dayMs), '60s', 'how long SEGMENTS keeps what is committed and in a part'),
  partEveryMs: setting('part-every', duration(100, dayMs), '30s', 'how often the real-time view grows by a part'),
  batchEveryMs: setting('batch-every', duration(1000, 31 * dayMs), '1h', 'how often the batch view is made anew'),
  recomputeEveryMs: setting('recompute-every', duration(1000, 366 * dayMs), '24h', 'how often dates are recomputed from raw data'),
  leaseTtlMs: setting('lease-ttl', duration(500, 60_000), '1.5s', 'time after which a silent owner loses its partition'),
  memoryMiB: setting('memory', bytes(128 * MiB, 1024 * GiB, MiB), '256MiB', 'memory that DuckDB may use in one process'),
  mapThreads: setting('map-threads', whole(1, 256), '2', 'threads that DuckDB may use in one process'),
  metricsBytesMax: setting('metrics-bytes-max', bytes(1 * MiB, 1024 * GiB), '1GiB', 'size at which METRICS refuses new messages'),
  segmentsBytesMax: setting('segments-bytes-max', bytes(2 * MiB, 1024 * GiB), '1GiB', "size at which a partition's SEGMENTS does"),
  logLevel: setting('log-level', oneOf('debug', 'info', 'warn', 'error', 'silent'), 'info', 'least important log line that is written'),
} as const;

export type SettingName = keyof typeof settingsTable;

/** Checked values, frozen. Times are milliseconds and sizes bytes unless the name says otherwise. */
export type Settings = { readonly [Name in SettingName]: ReturnType<(typeof settingsTable)[Name]['parse']> };

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
  for (const [name, only] of [
    ['storage', 'local'],
    ['coordinator', 'nats'],
  ] as const) {
    if (settings[name] !== only) {
      throw new SettingsError(`${name} ${settings[name]} (${origins[name]}) comes in a later version: this one has ${only} alone`);
    }
  }
  if (settings.partEveryMs > settings.batchEveryMs) {
    throw new SettingsError(
      `part-every (${origins.partEveryMs}) is longer than batch-every (${origins.batchEveryMs}): ` +
        'a batch takes what is in parts, so make parts at least as often',
    );
  }
};

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
  const settings = Object.freeze(values) as Settings;
  checkTogether(settings, origins as Origins);
  return { settings, origins: Object.freeze(origins) as Origins };
};

/** This process's environment with some names added, for a program that is started with them. */
export const environmentWith = (added: Readonly<Record<string, string>>): NodeJS.ProcessEnv => ({ ...process.env, ...added });

/** Milliseconds in the largest unit that gives a whole number: 90000 is "90s". */
export const formatDuration = (ms: number): string => {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const unitMs = durationUnits[unit] as number;
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
};

/** Bytes in the largest binary unit that gives a whole number: 67108864 is "64MiB". */
export const formatBytes = (count: number): string => {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB'] as const) {
    const unitBytes = byteUnits[unit] as number;
    if (count >= unitBytes && count % unitBytes === 0) return `${count / unitBytes}${unit}`;
  }
  return `${count}B`;
};

/** Whether npm started this process as a script: then it ends when npm does, by whatever signal. */
export const isNpmScript = (): boolean => process.env.npm_lifecycle_event !== undefined;

/** TIDEMARK_CRASH_AT=NAME or NAME:COUNT, for tests alone: where this process kills itself. No setting, so no flag. */
export const crashAt = (): { readonly name: string; readonly count: number } | undefined => {
  const [name = '', count = '1'] = (process.env.TIDEMARK_CRASH_AT ?? '').split(':');
  return name === '' ? undefined : { name, count: Number(count) };
};
