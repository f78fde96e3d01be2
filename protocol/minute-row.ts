/**
 * The minute row: the aggregate of some records of one service and minute, and its algebra in TypeScript.
 * Its SQL stands beside it in minute-row-sql.ts; a property test holds the two against a count by brute force.
 *
 * Sums are whole millionths, so merging is associative and commutative to the bit. A peak is the highest reading and
 * its time; of equal readings the earliest. All times are milliseconds since 1970, UTC.
 */

import { formatInstant, formatMinute } from './time.js';
import { addSums, type Sum, toPercent } from './units.js';

export const minuteMs = 60_000;

export interface MinuteRow {
  /** Totals over the records, in millionths of a percent. */
  cpu: Sum;
  ram: Sum;
  disk: Sum;
  /** The highest reading in millionths, and the earliest time at which it was read. */
  maxCpu: number;
  maxCpuAt: number;
  maxRam: number;
  maxRamAt: number;
  maxDisk: number;
  maxDiskAt: number;
  /** The number of records. */
  messages: number;
}

/** One row of a view and what it is about. `minute` is the minute's (or hour's, day's, range's) beginning. */
export interface KeyedRow {
  readonly service: string;
  readonly minute: number;
  readonly row: MinuteRow;
}

/** The twelve public columns, in this order: the original's schema. */
export interface ViewRow {
  service: string;
  time_stamp: string;
  cpu: number;
  ram: number;
  disk: number;
  max_cpu_time: string;
  max_cpu: number;
  max_ram_time: string;
  max_ram: number;
  max_disk_time: string;
  max_disk: number;
  msg_num: number;
}

/** The row of no records: the algebra's neutral element. */
export const emptyRow = (): MinuteRow => ({
  cpu: 0,
  ram: 0,
  disk: 0,
  maxCpu: -1,
  maxCpuAt: 0,
  maxRam: -1,
  maxRamAt: 0,
  maxDisk: -1,
  maxDiskAt: 0,
  messages: 0,
});

export const minuteOf = (at: number): number => Math.floor(at / minuteMs) * minuteMs;

/** Adds one record to `row`, in place: `at` in ms, the readings in millionths. */
export const addRecord = (row: MinuteRow, at: number, cpu: number, ram: number, disk: number): void => {
  row.cpu = addSums(row.cpu, cpu);
  row.ram = addSums(row.ram, ram);
  row.disk = addSums(row.disk, disk);
  if (cpu > row.maxCpu || (cpu === row.maxCpu && at < row.maxCpuAt)) {
    row.maxCpu = cpu;
    row.maxCpuAt = at;
  }
  if (ram > row.maxRam || (ram === row.maxRam && at < row.maxRamAt)) {
    row.maxRam = ram;
    row.maxRamAt = at;
  }
  if (disk > row.maxDisk || (disk === row.maxDisk && at < row.maxDiskAt)) {
    row.maxDisk = disk;
    row.maxDiskAt = at;
  }
  row.messages += 1;
};

/** Merges `other` into `row`, in place. */
export const mergeInto = (row: MinuteRow, other: MinuteRow): void => {
  row.cpu = addSums(row.cpu, other.cpu);
  row.ram = addSums(row.ram, other.ram);
  row.disk = addSums(row.disk, other.disk);
  if (other.maxCpu > row.maxCpu || (other.maxCpu === row.maxCpu && other.maxCpuAt < row.maxCpuAt)) {
    row.maxCpu = other.maxCpu;
    row.maxCpuAt = other.maxCpuAt;
  }
  if (other.maxRam > row.maxRam || (other.maxRam === row.maxRam && other.maxRamAt < row.maxRamAt)) {
    row.maxRam = other.maxRam;
    row.maxRamAt = other.maxRamAt;
  }
  if (other.maxDisk > row.maxDisk || (other.maxDisk === row.maxDisk && other.maxDiskAt < row.maxDiskAt)) {
    row.maxDisk = other.maxDisk;
    row.maxDiskAt = other.maxDiskAt;
  }
  row.messages += other.messages;
};

export const copyRow = (row: MinuteRow): MinuteRow => ({ ...row });

/** Equal to the bit. */
export const equalRows = (a: MinuteRow, b: MinuteRow): boolean =>
  a.cpu === b.cpu &&
  a.ram === b.ram &&
  a.disk === b.disk &&
  a.maxCpu === b.maxCpu &&
  a.maxCpuAt === b.maxCpuAt &&
  a.maxRam === b.maxRam &&
  a.maxRamAt === b.maxRamAt &&
  a.maxDisk === b.maxDisk &&
  a.maxDiskAt === b.maxDiskAt &&
  a.messages === b.messages;

/** The twelve columns of a row that holds at least one record. */
export const toViewRow = (service: string, minute: number, row: MinuteRow): ViewRow => ({
  service,
  time_stamp: formatMinute(minute),
  cpu: toPercent(row.cpu),
  ram: toPercent(row.ram),
  disk: toPercent(row.disk),
  max_cpu_time: formatInstant(row.maxCpuAt),
  max_cpu: toPercent(row.maxCpu),
  max_ram_time: formatInstant(row.maxRamAt),
  max_ram: toPercent(row.maxRam),
  max_disk_time: formatInstant(row.maxDiskAt),
  max_disk: toPercent(row.maxDisk),
  msg_num: row.messages,
});
