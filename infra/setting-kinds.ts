/** Kinds of settings: how a text that a person wrote becomes a value, and back. */
import path from 'node:path';
import { UsageError } from './errors.js';

/** Where a value was written, for relative paths and for what an error says. */
export interface Place {
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

export interface Kind<T> {
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

export const whole = (min: number, max: number): Kind<number> => ({
  placeholder: 'N',
  parse: (text) => parseWhole(text, min, max),
});

export const port = (min: number): Kind<number> => ({
  placeholder: 'PORT',
  parse: (text) => parseWhole(text, min, 65_535),
});

export const duration = (minMs: number, maxMs: number): Kind<number> => ({
  placeholder: 'TIME',
  parse: (text) => {
    const ms = parseDuration(text);
    if (ms < minMs || ms > maxMs) throw wrong(text, `between ${formatDuration(minMs)} and ${formatDuration(maxMs)}`);
    return ms;
  },
});

export const bytes = (min: number, max: number, unit = 1): Kind<number> => ({
  placeholder: 'SIZE',
  parse: (text) => {
    const value = parseBytes(text);
    if (value < min || value > max) throw wrong(text, `between ${formatBytes(min)} and ${formatBytes(max)}`);
    return Math.floor(value / unit);
  },
});

export const filePath = (placeholder: string): Kind<string> => ({
  placeholder,
  parse: (text, place) => {
    if (text.trim() === '') throw wrong(text, 'a path');
    return path.resolve(place.folder, text);
  },
});

export const oneOf = <const T extends string>(...choices: T[]): Kind<T> => ({
  placeholder: choices.join('|'),
  parse: (text) => {
    const choice = choices.find((one) => one === text.trim());
    if (choice === undefined) throw wrong(text, `one of ${choices.join(', ')}`);
    return choice;
  },
});

export const address = (placeholder: string, fits: RegExp, example: string): Kind<string> => ({
  placeholder,
  parse: (text) => {
    if (!fits.test(text.trim())) throw wrong(text, example);
    return text.trim();
  },
});

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
