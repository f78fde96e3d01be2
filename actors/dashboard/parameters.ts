/**
 * What the API is asked, checked: every wrong parameter is named, with what would be right. Pure; the time is given.
 */
import { parsePosition } from '../../infra/answers/position-text.js';
import { messageOf, UsageError } from '../../infra/errors.js';
import { type Step, steps } from '../../protocol/messages/view.js';
import { minuteMs } from '../../protocol/minute-row.js';
import type { Position } from '../../protocol/range.js';
import { parseAsked, parseDurationMs } from '../../protocol/time.js';
import { isZone } from '../../protocol/zone.js';
import type { Question } from '../merger/question.js';

/** A parameter that cannot be: answered with 400 and its name. */
export class ParameterError extends UsageError {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

/** As the HTTP server gives it: a name that comes twice has a list. */
export type Parameters = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What view.asked takes, but for the shape of its answer: rows of [from, to), once the view has got as far as `after`. Services are sorted. */
export type ViewQuestion = Omit<Question, 'shape' | 'progress'>;

export const formats = ['json', 'csv', 'parquet'] as const;
export type Format = (typeof formats)[number];

const servicesMax = 1_000;
const nameBytesMax = 200;
const waitMsDefault = 10_000;
const waitMsMax = 60_000;
const partitionsMax = 64;

/** @throws ParameterError for a name that is not among them */
export const onlyKnown = (given: Parameters, known: readonly string[]): void => {
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) {
      throw new ParameterError(
        name.slice(0, 100),
        `${JSON.stringify(name.slice(0, 100))} is no parameter here: ${known.length === 0 ? 'there are none' : `there are ${known.join(', ')}`}`,
      );
    }
  }
};

/** @throws ParameterError when it comes twice */
export const single = (given: Parameters, name: string): string | undefined => {
  const value = given[name];
  if (value === undefined || typeof value === 'string') return value === '' ? undefined : value;
  throw new ParameterError(name, `${name} comes ${value.length} times: once is enough`);
};

const required = (given: Parameters, name: string): string => {
  const value = single(given, name);
  if (value === undefined) throw new ParameterError(name, `${name} is missing: write ${name}=… (see /docs)`);
  return value;
};

const readTime = (given: Parameters, name: string, now: number): number => {
  const value = required(given, name);
  const at = parseAsked(value, now) ?? parseAsked(value.replace(/ (?=\d\d:?\d\d$)/, '+'), now); // a + in a URL is a space
  if (at !== undefined) return at;
  const shown = JSON.stringify(value.slice(0, 100));
  throw new ParameterError(
    name,
    `${name} (${shown}) is no time: write 2026-11-23T10:15:00Z, 2026-11-23, a number of seconds or milliseconds, now, or now-6h`,
  );
};

export const oneOf = <T extends string>(given: Parameters, name: string, choices: readonly T[], byDefault: T): T => {
  const value = single(given, name) ?? byDefault;
  const choice = choices.find((one) => one === value);
  if (choice === undefined)
    throw new ParameterError(name, `${name} (${JSON.stringify(value.slice(0, 100))}) is not one of ${choices.join(', ')}`);
  return choice;
};

export const readWhole = (given: Parameters, name: string, min: number, max: number, byDefault: number): number => {
  const text = single(given, name);
  if (text === undefined) return byDefault;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new ParameterError(name, `${name} (${JSON.stringify(text.slice(0, 100))}) is no whole number from ${min} to ${max}`);
};

const readName = (text: string): string => {
  if (text === '') throw new ParameterError('service', 'service is empty: write a name, or leave it out for every service');
  if (Buffer.byteLength(text) > nameBytesMax)
    throw new ParameterError('service', `service is longer than ${nameBytesMax} bytes: no service is called so`);
  return text;
};

/** Sorted, each once; undefined when none is named. */
export const readServices = (given: Parameters): readonly string[] | undefined => {
  const value = given.service;
  if (value === undefined) return undefined;
  const names = typeof value === 'string' ? [value] : value;
  if (names.length > servicesMax)
    throw new ParameterError('service', `${names.length} services: ask for ${servicesMax} at most, or for all by naming none`);
  return [...new Set(names.map(readName))].sort();
};

export const readOneService = (given: Parameters): string => readName(required(given, 'service'));

export const readPosition = (given: Parameters, name: string): Position => {
  const text = single(given, name);
  if (text === undefined) return [];
  return readPositionText(name, text);
};

/** @throws ParameterError */
export const readPositionText = (name: string, text: string): Position => {
  try {
    const position = parsePosition(text.slice(0, 2_000));
    if (position.length <= partitionsMax) return position;
  } catch (error) {
    throw new ParameterError(name, `${name}: ${messageOf(error)}`);
  }
  throw new ParameterError(name, `${name} has more than ${partitionsMax} parts: write it as an answer gave it`);
};

export const readZone = (given: Parameters): string => {
  const zone = single(given, 'zone') ?? 'UTC';
  if (isZone(zone)) return zone;
  throw new ParameterError(
    'zone',
    `zone (${JSON.stringify(zone.slice(0, 100))}) is no time zone that is known here: write a name such as Europe/Berlin`,
  );
};

const readWait = (given: Parameters): number => {
  const text = single(given, 'wait');
  if (text === undefined) return waitMsDefault;
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms <= waitMsMax) return ms;
  throw new ParameterError('wait', `wait (${JSON.stringify(text.slice(0, 100))}) is no time up to 60s: write 500ms or 10s`);
};

/** @throws ParameterError */
export const readRange = (given: Parameters, now: number): { from: number; to: number } => {
  const from = readTime(given, 'from', now);
  const to = readTime(given, 'to', now);
  if (from >= to) throw new ParameterError('from', `from (${single(given, 'from')}) is not before to (${single(given, 'to')})`);
  return { from, to };
};

const upToMinute = (at: number): number => Math.ceil(at / minuteMs) * minuteMs;

/** Bounds at whole minutes choose the same minutes, and make equal questions equal. */
const alignRange = ({ from, to }: { from: number; to: number }): { from: number; to: number } => {
  const aligned = { from: upToMinute(from), to: upToMinute(to) };
  return aligned.from < aligned.to ? aligned : { from, to };
};

/** @throws ParameterError */
export const readViewQuestion = (given: Parameters, now: number, fixedStep?: Step): ViewQuestion => {
  const step = fixedStep ?? oneOf(given, 'step', steps, 'minute');
  const range = readRange(given, now);
  const zone = readZone(given);
  return {
    ...(step === 'range' ? range : alignRange(range)), // a range's row shows its own from
    services: readServices(given),
    step,
    zone: step === 'hour' || step === 'day' ? zone : 'UTC',
    after: readPosition(given, 'after'),
    waitMs: readWait(given),
  };
};

/** One minute, as a row's time_stamp or any time in it. @throws ParameterError */
export const readMinute = (given: Parameters, now: number): number => Math.floor(readTime(given, 'minute', now) / minuteMs) * minuteMs;
