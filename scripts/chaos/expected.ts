/** What the view must hold: the acknowledged readings counted by code of its own, and the comparison, to the bit. */
import type { PublishedReading } from './load.js';

type Row = [
  cpu: bigint,
  ram: bigint,
  disk: bigint,
  maxCpu: bigint,
  cpuAt: bigint,
  maxRam: bigint,
  ramAt: bigint,
  maxDisk: bigint,
  diskAt: bigint,
  n: bigint,
];

export const countReadings = (readings: readonly PublishedReading[]): Map<string, Row> => {
  const rows = new Map<string, Row>();
  for (const { service, timestamp, cpu, ram, disk } of readings) {
    const key = `${timestamp - (timestamp % 60_000)} ${service}`;
    const at = BigInt(timestamp);
    const row = rows.get(key) ?? [0n, 0n, 0n, -1n, 0n, -1n, 0n, -1n, 0n, 0n];
    rows.set(key, row);
    [cpu, ram, disk].forEach((percent, i) => {
      const value = BigInt(Math.round(percent * 1e6));
      row[i] = (row[i] as bigint) + value;
      const peak = 3 + i * 2;
      if (value > (row[peak] as bigint) || (value === row[peak] && at < (row[peak + 1] as bigint))) {
        row[peak] = value;
        row[peak + 1] = at;
      }
    });
    row[9] += 1n;
  }
  return rows;
};

export interface Comparison {
  readonly rows: number;
  readonly missing: number;
  readonly extra: number;
  readonly examples: string[];
}

/** missing, extra: records too few and too many, by row; a row that differs in anything else counts as one of each. */
export const compareView = (
  view: readonly (readonly (string | number | bigint)[])[],
  readings: readonly PublishedReading[],
): Comparison => {
  const expected = countReadings(readings);
  const examples: string[] = [];
  let missing = 0;
  let extra = 0;
  const differ = (key: string, found: number, wanted: number, text: string): void => {
    missing += Math.max(0, wanted - found) || (found === wanted ? 1 : 0);
    extra += Math.max(0, found - wanted) || (found === wanted ? 1 : 0);
    if (examples.length < 10) examples.push(`${key}: ${text}`);
  };
  for (const [service, minute, ...numbers] of view) {
    const key = `${minute} ${service}`;
    const row = expected.get(key);
    expected.delete(key);
    if (row === undefined) differ(key, Number(numbers.at(-1)), 0, `the view has ${numbers.join(' ')}`);
    else if (row.join(' ') !== numbers.join(' '))
      differ(key, Number(numbers.at(-1)), Number(row[9]), `${numbers.join(' ')}, counted ${row.join(' ')}`);
  }
  for (const [key, row] of expected) differ(key, 0, Number(row[9]), 'the view has no row');
  return { rows: view.length, missing, extra, examples };
};
