/**
 * Exact sums beside a view file's doubles: the file's key-value metadata `exact_sums` (JSON).
 *
 * A double gives its millionths back only while its neighbours are nearer than a millionth of a percent: below 2^32
 * percent, that is 2^32 * 10^6 millionths (a little less than 2^52). Rows with a sum from there on are named here.
 */
import { groupBy } from './group-by.js';
import { formatMinute } from './time.js';
import { parseSum, type Sum } from './units.js';

export const exactSumsKey = 'exact_sums';

/** Sums below this come back exactly from the file's doubles: 429,496 readings of the largest value in a minute. */
export const exactBelow = 2 ** 32 * 1_000_000;

export interface ExactSums {
  readonly service: string;
  /** ms since 1970. */
  readonly minute: number;
  readonly cpu: Sum;
  readonly ram: Sum;
  readonly disk: Sum;
}

export const needsExactSums = (row: { cpu: Sum; ram: Sum; disk: Sum }): boolean =>
  row.cpu >= exactBelow || row.ram >= exactBelow || row.disk >= exactBelow;

/**
 * `{"<time_stamp>": ["<cpu>", "<ram>", "<disk>"]}` in a file of one service, `{"<service>": {"<time_stamp>": […]}}`
 * in one of several, in millionths.
 */
export const formatExactSums = (sums: readonly ExactSums[], singleService: boolean): string => {
  const entries = [...groupBy(sums, ({ service }) => service)].map(
    ([service, rows]) =>
      [
        service,
        Object.fromEntries(rows.map(({ minute, cpu, ram, disk }) => [formatMinute(minute), [cpu, ram, disk].map(String)])),
      ] as const,
  );
  return JSON.stringify(singleService ? (entries[0]?.[1] ?? {}) : Object.fromEntries(entries));
};

/** Both forms; `service` is that of the first form. */
export const parseExactSums = (text: string, service: string): ExactSums[] => {
  const entries = Object.entries(JSON.parse(text) as Record<string, string[] | Record<string, string[]>>);
  return entries.flatMap(([key, value]) =>
    Array.isArray(value) ? [exactOf(service, key, value)] : Object.entries(value).map(([time, sums]) => exactOf(key, time, sums)),
  );
};

const exactOf = (service: string, time: string, [cpu = '0', ram = '0', disk = '0']: string[]): ExactSums => ({
  service,
  minute: Date.parse(time),
  cpu: parseSum(cpu),
  ram: parseSum(ram),
  disk: parseSum(disk),
});
