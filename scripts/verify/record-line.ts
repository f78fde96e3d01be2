/** A record's line, read by code of its own: what the numbers are, and whether it is a record at all. */
export interface CountedRecord {
  readonly offset: number;
  readonly service: string;
  /** ms since 1970. */
  readonly at: number;
  /** Whole millionths of a percent. */
  readonly cpu: number;
  readonly ram: number;
  readonly disk: number;
}

const readingMax = 10_000;

/** Whole millionths, if it is a reading with at most six decimals. */
const millionthsOf = (value: unknown): number | undefined => {
  if (typeof value !== 'number' || !(value >= 0 && value <= readingMax)) return undefined;
  const whole = Math.round(value * 1_000_000);
  return whole / 1_000_000 === value ? whole : undefined;
};

/** @returns what is wrong with it, as text, if it is no record. */
export const readRecord = (line: string): CountedRecord | string => {
  let value: Record<string, unknown> | null;
  try {
    value = JSON.parse(line) as Record<string, unknown> | null;
  } catch {
    return `is not JSON: ${line.slice(0, 60)}`;
  }
  if (typeof value !== 'object' || value === null) return `is no object: ${line.slice(0, 60)}`;
  const { offset, service, timestamp } = value;
  if (typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0) return `has no offset: ${line.slice(0, 60)}`;
  if (typeof service !== 'string' || service === '') return `(offset ${offset}) has no service`;
  if (typeof timestamp !== 'number' || !Number.isSafeInteger(timestamp)) return `(offset ${offset}) has no timestamp`;
  const cpu = millionthsOf(value.cpu);
  const ram = millionthsOf(value.ram);
  const disk = millionthsOf(value.disk);
  if (cpu === undefined || ram === undefined || disk === undefined) return `(offset ${offset}) has a reading that is none`;
  return { offset, service, at: timestamp, cpu, ram, disk };
};
