/** JSON of rows, written directly: an answer of 30,000 rows makes no objects. The same text that JSON.stringify gives. */

import { toTuple } from '../../protocol/messages/row-tuple.js';
import type { MinuteRow } from '../../protocol/minute-row.js';
import { formatInstant, formatMinute } from '../../protocol/time.js';
import { millionthsPerUnit, type Sum, toPercent } from '../../protocol/units.js';

const three = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, '0'));
const threeWithoutZeros = three.map((digits) => digits.replace(/0+$/, ''));

/** Up to here a decimal with six places has at most 15 digits, so it is the shortest text of its double. */
const exactBelow = 1e15;

/** The text of a percentage. */
export const percentText = (millionths: Sum): string => {
  if (typeof millionths === 'bigint' || millionths >= exactBelow || millionths < 0) return String(toPercent(millionths));
  const whole = Math.floor(millionths / millionthsPerUnit);
  const rest = millionths - whole * millionthsPerUnit;
  if (rest === 0) return `${whole}`;
  const high = Math.floor(rest / 1000);
  const low = rest - high * 1000;
  return low === 0 ? `${whole}.${threeWithoutZeros[high]}` : `${whole}.${three[high]}${threeWithoutZeros[low]}`;
};

export type WriteRow = (minute: number, row: MinuteRow) => string;

/** Writes a service's rows with the twelve columns. */
export const columnsWriter = (service: string): WriteRow => {
  const prefix = `{"service":${JSON.stringify(service)},"time_stamp":"`;
  return (minute, row) =>
    prefix +
    formatMinute(minute) +
    '","cpu":' +
    percentText(row.cpu) +
    ',"ram":' +
    percentText(row.ram) +
    ',"disk":' +
    percentText(row.disk) +
    ',"max_cpu_time":"' +
    formatInstant(row.maxCpuAt) +
    '","max_cpu":' +
    percentText(row.maxCpu) +
    ',"max_ram_time":"' +
    formatInstant(row.maxRamAt) +
    '","max_ram":' +
    percentText(row.maxRam) +
    ',"max_disk_time":"' +
    formatInstant(row.maxDiskAt) +
    '","max_disk":' +
    percentText(row.maxDisk) +
    ',"msg_num":' +
    row.messages +
    '}';
};

/** Writes a service's rows as exact tuples (row-tuple.ts). */
export const tuplesWriter =
  (service: string): WriteRow =>
  (minute, row) =>
    JSON.stringify(toTuple(service, minute, row));
