/**
 * Times: what is accepted, and how they are written. Inside, a time is whole milliseconds since 1970, UTC.
 *
 * A text is read by its characters, not by `Date.parse`, which takes 30 February and 24:00 and is slower.
 */

export { isZone, stepStart } from './zone.js';

const secondMs = 1_000;
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;

/** The years 0000 to 9999: what four digits can write. */
const lowestMs = -62_167_219_200_000;
const highestMs = 253_402_300_799_999;

/** Numbers from here on are milliseconds, below it seconds. */
const millisecondsFrom = 1e11;

const padded = (length: number, width: number, end = ''): readonly string[] =>
  Array.from({ length }, (_, i) => String(i).padStart(width, '0') + end);
const twoDigits = padded(60, 2);
// The ends of texts, ready: three times are written for each row of an answer, and joining is what they cost.
const lastSeconds = padded(60, 2, 'Z');
const secondsBefore = padded(60, 2, '.');
const lastMs = padded(1000, 3, 'Z');

// The day that was written last: rows and records come by the thousand for the same day.
let writtenDay = Number.NaN;
let writtenDate = '';

const dateOfDay = (day: number): string => {
  if (day !== writtenDay) {
    writtenDate = new Date(day * dayMs).toISOString().slice(0, -14);
    writtenDay = day;
  }
  return writtenDate;
};

/** The UTC date: '2026-11-23'. */
export const dateOf = (ms: number): string => dateOfDay(Math.floor(ms / dayMs));

/** The UTC month: '2026-11'. */
export const monthOf = (ms: number): string => dateOf(ms).slice(0, -3);

// Likewise the minute: a row's peaks lie in the row's own minute.
let writtenMinute = Number.NaN;
let writtenTime = '';

const timeOfMinute = (minute: number): string => {
  if (minute !== writtenMinute) {
    const day = Math.floor((minute * minuteMs) / dayMs);
    const minutes = minute - (day * dayMs) / minuteMs;
    writtenTime = `${dateOfDay(day)}T${twoDigits[Math.floor(minutes / 60)]}:${twoDigits[minutes % 60]}:`;
    writtenMinute = minute;
  }
  return writtenTime;
};

/** '2026-11-23T10:15:00Z'. */
export const formatMinute = (ms: number): string => {
  const minute = Math.floor(ms / minuteMs);
  return timeOfMinute(minute) + lastSeconds[Math.floor((ms - minute * minuteMs) / secondMs)];
};

/** '2026-11-23T10:15:00.123Z'. */
export const formatInstant = (ms: number): string => {
  const minute = Math.floor(ms / minuteMs);
  const inMinute = ms - minute * minuteMs;
  const second = Math.floor(inMinute / secondMs);
  return timeOfMinute(minute) + secondsBefore[second] + lastMs[inMinute - second * secondMs];
};

/** The number that two characters write, or -1. */
const digitsAt = (text: string, i: number): number => {
  const tens = text.charCodeAt(i) - 48;
  const ones = text.charCodeAt(i + 1) - 48;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1;
};

const isDigitAt = (text: string, i: number): boolean => {
  const code = text.charCodeAt(i);
  return code >= 48 && code <= 57;
};

const daysBeforeMonth = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

/** Days from 1970-01-01, or undefined when there is no such date. */
const dayOfDate = (year: number, month: number, date: number): number | undefined => {
  if (month < 1 || month > 12 || date < 1) return undefined;
  const leap = isLeap(year);
  const before = daysBeforeMonth[month - 1] as number;
  const length = (daysBeforeMonth[month] as number) - before + (leap && month === 2 ? 1 : 0);
  if (date > length) return undefined;
  const y = year - 1;
  const daysBeforeYear = y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) - 719_162;
  return daysBeforeYear + before + (leap && month > 2 ? 1 : 0) + date - 1;
};

// The date that was read last, as yyyymmdd, and its day.
let readDate = -1;
let readDay = 0;

/** The day of the date in the first ten characters, or undefined. */
const dayOfText = (text: string): number | undefined => {
  const century = digitsAt(text, 0);
  const yearInCentury = digitsAt(text, 2);
  const month = digitsAt(text, 5);
  const date = digitsAt(text, 8);
  if (century < 0 || yearInCentury < 0 || month < 0 || date < 0) return undefined;
  if (text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return undefined; // -
  const year = century * 100 + yearInCentury;
  const key = year * 10_000 + month * 100 + date;
  if (key === readDate) return readDay;
  const day = dayOfDate(year, month, date);
  if (day === undefined) return undefined;
  readDate = key;
  readDay = day;
  return day;
};

/** What stands behind the time of day, from `i` on: nothing, Z, ±hh, ±hhmm or ±hh:mm, in ms; undefined: something else. */
const offsetMsAt = (text: string, i: number): number | undefined => {
  const rest = text.length - i;
  if (rest === 0) return 0;
  const sign = text.charCodeAt(i);
  if (rest === 1) return sign === 90 || sign === 122 ? 0 : undefined; // Z z
  if (sign !== 43 && sign !== 45) return undefined; // + -
  const hours = digitsAt(text, i + 1);
  let minutes = 0;
  if (rest === 5) minutes = digitsAt(text, i + 3);
  else if (rest === 6 && text.charCodeAt(i + 3) === 58)
    minutes = digitsAt(text, i + 4); // :
  else if (rest !== 3) return undefined;
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return undefined;
  return (hours * hourMs + minutes * minuteMs) * (sign === 45 ? -1 : 1);
};

const parseText = (text: string): number | undefined => {
  const day = dayOfText(text);
  if (day === undefined) return undefined;
  const separator = text.charCodeAt(10);
  if (separator !== 84 && separator !== 116 && separator !== 32) return undefined; // T t space
  const hour = digitsAt(text, 11);
  const minute = digitsAt(text, 14);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || text.charCodeAt(13) !== 58) return undefined;
  let i = 16;
  let second = 0;
  let millisecond = 0;
  if (text.charCodeAt(i) === 58) {
    second = digitsAt(text, i + 1);
    if (second < 0 || second > 59) return undefined;
    i += 3;
    const point = text.charCodeAt(i);
    if (point === 46 || point === 44) {
      // . ,
      i += 1;
      if (!isDigitAt(text, i)) return undefined;
      for (let weight = 100; isDigitAt(text, i); i++, weight = Math.floor(weight / 10)) {
        millisecond += (text.charCodeAt(i) - 48) * weight;
      }
    }
  }
  const offsetMs = offsetMsAt(text, i);
  if (offsetMs === undefined) return undefined;
  return inRange(day * dayMs + hour * hourMs + minute * minuteMs + second * secondMs + millisecond - offsetMs);
};

const inRange = (ms: number): number | undefined => (ms >= lowestMs && ms <= highestMs ? ms + 0 : undefined);

const parseNumber = (value: number): number | undefined =>
  inRange(value >= millisecondsFrom ? Math.trunc(value) : Math.round(value * secondMs));

/**
 * The time that a reading's `timestamp` says, in ms, or undefined when it says none.
 *
 * A text: `2026-11-23T10:15:00.123Z`, with `T`, `t` or a space, seconds and a fraction (after `.` or `,`) if there are
 * any, offset `Z`, `z`, `±hh`, `±hhmm`, `±hh:mm` or none (UTC), cut to whole milliseconds. A number: from 1e11 on
 * milliseconds since 1970, below it seconds. Nothing else, and no number in a text.
 */
export const parseTimestamp = (value: unknown): number | undefined => {
  if (typeof value === 'string') return parseText(value);
  return typeof value === 'number' ? parseNumber(value) : undefined;
};

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: secondMs,
  m: minuteMs,
  h: hourMs,
  d: dayMs,
  w: 7 * dayMs,
};

/** '100ms', '30s', '5m', '1h', '7d', '2w' in ms, or undefined. */
export const parseDurationMs = (text: string): number | undefined => {
  const match = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d|w)$/.exec(text);
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (unitMs[match[2] as string] as number));
};

/**
 * The time that a person asks for, in ms, or undefined: what readings take, and a number in a text (as a command line
 * gives it), a date alone (its beginning, UTC), `now`, `now-6h`.
 */
export const parseAsked = (value: string | number, now: number): number | undefined => {
  if (typeof value === 'number') return parseNumber(value);
  if (value.startsWith('now')) {
    if (value.length === 3) return now;
    const durationMs = parseDurationMs(value.slice(4));
    if (durationMs === undefined) return undefined;
    if (value[3] === '-') return inRange(now - durationMs);
    return value[3] === '+' ? inRange(now + durationMs) : undefined;
  }
  if (/^-?\d{1,15}(\.\d{1,9})?$/.test(value)) return parseNumber(Number(value));
  return parseText(value.length === 10 ? `${value}T00:00` : value);
};
