/** How a minute row travels: one flat array, sums past 2^53 as strings, so that JSON loses nothing. */
import type { KeyedRow, MinuteRow } from '../minute-row.js';
import { parseSum, type Sum } from '../units.js';

/** [service, minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages]. */
export type RowTuple = (string | number)[];

const plain = (sum: Sum): string | number => (typeof sum === 'number' ? sum : String(sum));

export const toTuple = (service: string, minute: number, row: MinuteRow): RowTuple => [
  service,
  minute,
  plain(row.cpu),
  plain(row.ram),
  plain(row.disk),
  row.maxCpu,
  row.maxCpuAt,
  row.maxRam,
  row.maxRamAt,
  row.maxDisk,
  row.maxDiskAt,
  row.messages,
];

const sum = (value: string | number | undefined): Sum => (typeof value === 'number' ? value : parseSum(value as string));

export const fromTuple = (tuple: RowTuple): KeyedRow => {
  const numbers = tuple as number[];
  return {
    service: tuple[0] as string,
    minute: numbers[1] as number,
    row: {
      cpu: sum(tuple[2]),
      ram: sum(tuple[3]),
      disk: sum(tuple[4]),
      maxCpu: numbers[5] as number,
      maxCpuAt: numbers[6] as number,
      maxRam: numbers[7] as number,
      maxRamAt: numbers[8] as number,
      maxDisk: numbers[9] as number,
      maxDiskAt: numbers[10] as number,
      messages: numbers[11] as number,
    },
  };
};
