/** A raw file's line, read again: the record as it was accepted. Whatever is no whole record is none. */
import type { Reading } from '../../protocol/reading.js';
import { toMillionths } from '../../protocol/units.js';

export interface RawRecord {
  readonly offset: number;
  readonly reading: Reading;
  /** When METRICS received its message, ms. */
  readonly received: number;
  /** The published subject, where the source gave agent and n. */
  readonly subject: string | undefined;
  /** The line without its offset: what two lines of one record share. */
  readonly content: string;
}

const percentMax = 10_000;

const isPercent = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= percentMax;

const isText = (value: unknown): value is string => typeof value === 'string';

const isWhole = (value: unknown, min: number): value is number => Number.isSafeInteger(value) && (value as number) >= min;

/** The offset that a line begins with; -1: it is none of ours. For who only needs that. */
export const offsetOf = (line: string): number => {
  if (!line.startsWith('{"offset":') || !line.endsWith('}')) return -1;
  const comma = line.indexOf(',', 10);
  const digits = line.slice(10, comma);
  return comma > 10 && /^\d{1,16}$/.test(digits) ? Number(digits) : -1;
};

/** The line behind its offset. */
export const contentOf = (line: string): string => line.slice(line.indexOf(',') + 1);

export const readRawLine = (line: string): RawRecord | undefined => {
  const offset = offsetOf(line);
  if (offset < 0) return undefined;
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined; // torn
  }
  const { service, host, timestamp, cpu, ram, disk, received, subject, agent, n } = fields;
  if (!isText(service) || service === '' || !isText(host)) return undefined;
  if (!isWhole(timestamp, 0) || !isWhole(received, 0)) return undefined;
  if (!isPercent(cpu) || !isPercent(ram) || !isPercent(disk)) return undefined;
  const reading: Reading = {
    service,
    host,
    at: timestamp,
    cpu: toMillionths(cpu),
    ram: toMillionths(ram),
    disk: toMillionths(disk),
  };
  const content = contentOf(line);
  if (subject === undefined) return { offset, reading, received, subject: undefined, content };
  if (!isText(subject) || !isText(agent) || !isWhole(n, 1)) return undefined;
  reading.agent = agent;
  reading.n = n;
  return { offset, reading, received, subject, content };
};
