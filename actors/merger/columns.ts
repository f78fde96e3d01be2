/** Rows of a view file, which never change: found, read and summed without an object per row. */

import type { RowColumns } from '../../infra/sql/sql.js';
import { emptyRow, type MinuteRow, mergeInto } from '../../protocol/minute-row.js';

/** Bytes of a row in columns. */
export const columnBytesPerRow = 11 * 8;

/** Columns in one array, one behind the other: eleven arrays of a few rows take more than what is in them. */
export interface PackedColumns {
  readonly length: number;
  readonly numbers: Float64Array;
  readonly wide: RowColumns['wide'] | undefined;
}

export const packColumns = (columns: RowColumns): PackedColumns => {
  const { length, minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages, wide } = columns;
  const all = [minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages];
  const numbers = new Float64Array(all.length * length);
  for (const [i, column] of all.entries()) numbers.set(column, i * length);
  return { length, numbers, wide: wide.size > 0 ? wide : undefined };
};

const noneWide: RowColumns['wide'] = new Map();

/** Nothing is copied. */
export const unpackColumns = ({ length, numbers, wide }: PackedColumns): RowColumns => {
  const column = (i: number): Float64Array => numbers.subarray(i * length, (i + 1) * length);
  return {
    length,
    minute: column(0),
    cpu: column(1),
    ram: column(2),
    disk: column(3),
    maxCpu: column(4),
    maxCpuAt: column(5),
    maxRam: column(6),
    maxRamAt: column(7),
    maxDisk: column(8),
    maxDiskAt: column(9),
    messages: column(10),
    wide: wide ?? noneWide,
  };
};

/** Reads row `i` into `row`. @returns it */
export const readColumnsRow = (columns: RowColumns, i: number, row: MinuteRow): MinuteRow => {
  row.cpu = columns.cpu[i] as number;
  row.ram = columns.ram[i] as number;
  row.disk = columns.disk[i] as number;
  row.maxCpu = columns.maxCpu[i] as number;
  row.maxCpuAt = columns.maxCpuAt[i] as number;
  row.maxRam = columns.maxRam[i] as number;
  row.maxRamAt = columns.maxRamAt[i] as number;
  row.maxDisk = columns.maxDisk[i] as number;
  row.maxDiskAt = columns.maxDiskAt[i] as number;
  row.messages = columns.messages[i] as number;
  const wide = columns.wide.size > 0 ? columns.wide.get(i) : undefined;
  if (wide !== undefined) Object.assign(row, wide);
  return row;
};

/** The first row whose minute is not before `minute`; a file of one service is sorted by it. */
export const lowerBound = (columns: RowColumns, minute: number): number => {
  let low = 0;
  let high = columns.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((columns.minute[middle] as number) < minute) low = middle + 1;
    else high = middle;
  }
  return low;
};

export const sumMessages = (columns: RowColumns): number => {
  let sum = 0;
  for (let i = 0; i < columns.length; i++) sum += columns.messages[i] as number;
  return sum;
};

/** Rows, sorted by time, as columns. */
export const toColumns = (rows: readonly { readonly minute: number; readonly row: MinuteRow }[]): RowColumns => {
  const column = (value: (row: MinuteRow) => number): Float64Array => Float64Array.from(rows, ({ row }) => value(row));
  const wide = new Map<number, MinuteRow>();
  rows.forEach(({ row }, i) => {
    if (typeof row.cpu === 'bigint' || typeof row.ram === 'bigint' || typeof row.disk === 'bigint') wide.set(i, { ...row });
  });
  return {
    length: rows.length,
    minute: Float64Array.from(rows, ({ minute }) => minute),
    cpu: column((row) => Number(row.cpu)),
    ram: column((row) => Number(row.ram)),
    disk: column((row) => Number(row.disk)),
    maxCpu: column((row) => row.maxCpu),
    maxCpuAt: column((row) => row.maxCpuAt),
    maxRam: column((row) => row.maxRam),
    maxRamAt: column((row) => row.maxRamAt),
    maxDisk: column((row) => row.maxDisk),
    maxDiskAt: column((row) => row.maxDiskAt),
    messages: column((row) => row.messages),
    wide,
  };
};

const hourMs = 3_600_000;

/** The sums of a month's minutes by UTC hour: sixty times fewer rows, for questions by hour, day or range. */
export const sumHours = (columns: RowColumns): RowColumns => {
  const hours: { minute: number; row: MinuteRow }[] = [];
  const scratch = emptyRow();
  let current: { minute: number; row: MinuteRow } | undefined;
  for (let i = 0; i < columns.length; i++) {
    const hour = Math.floor((columns.minute[i] as number) / hourMs) * hourMs;
    if (current?.minute !== hour) {
      current = { minute: hour, row: emptyRow() };
      hours.push(current);
    }
    mergeInto(current.row, readColumnsRow(columns, i, scratch));
  }
  return toColumns(hours);
};
