/** Counting by brute force, with code of its own: what the rows of some readings have to be, to the bit. */
import type { RowTuple } from '../../protocol/messages/row-tuple.js';
import type { Reading } from './system.js';

/** service, minute (ms), then sums and peaks as in a row's tuple, all whole: percent times a million, ms. */
export type BruteRow = readonly [service: string, ...numbers: bigint[]];

const millionths = (percent: number): bigint => {
  const [whole = '0', fraction = ''] = percent.toFixed(6).split('.');
  return BigInt(whole) * 1_000_000n + BigInt(fraction);
};

/** The earliest time of the highest value. */
const peakOf = (readings: readonly Reading[], millionthsOf: (reading: Reading) => bigint): [bigint, bigint] => {
  let highest = -1n;
  for (const reading of readings) if (millionthsOf(reading) > highest) highest = millionthsOf(reading);
  const times = readings.filter((reading) => millionthsOf(reading) === highest).map(({ timestamp }) => timestamp);
  return [highest, BigInt(Math.min(...times))];
};

/** Rows of the readings, in no order. Readings have at most six decimals. */
export const bruteForce = (readings: readonly Reading[]): BruteRow[] => {
  const groups = new Map<string, Reading[]>();
  for (const reading of readings) {
    const key = `${new Date(reading.timestamp).toISOString().slice(0, 16)} ${reading.service}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [reading]);
    else group.push(reading);
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [Reading];
    const minute = Date.parse(`${new Date(first.timestamp).toISOString().slice(0, 16)}:00Z`);
    const values = [({ cpu }: Reading) => cpu, ({ ram }: Reading) => ram, ({ disk }: Reading) => disk].map(
      (percentOf) => (reading: Reading) => millionths(percentOf(reading)),
    );
    const sums = values.map((millionthsOf) => group.reduce((sum, reading) => sum + millionthsOf(reading), 0n));
    const peaks = values.flatMap((millionthsOf) => peakOf(group, millionthsOf));
    return [first.service, BigInt(minute), ...sums, ...peaks, BigInt(group.length)];
  });
};

const keyOf = (row: readonly (string | number | bigint)[]): string => `${row[1]} ${row[0]}`;
const textOf = (row: readonly (string | number | bigint)[]): string => row.slice(2).join(' ');

/** What differs between an answer's tuples and the brute-force rows; nothing when they are equal to the bit. */
export const compareRows = (answerRows: readonly RowTuple[], bruteForceRows: readonly BruteRow[]): string[] => {
  const expected = new Map(bruteForceRows.map((row) => [keyOf(row), textOf(row)]));
  const found: string[] = [];
  for (const row of answerRows) {
    const key = keyOf(row);
    const text = expected.get(key);
    expected.delete(key);
    if (text !== textOf(row)) found.push(`${key}: ${textOf(row)}, counted ${text ?? 'nothing'}`);
  }
  for (const [key, text] of expected) found.push(`${key}: no row, counted ${text}`);
  return found;
};
