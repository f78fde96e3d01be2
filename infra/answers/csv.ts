/** Rows of the view as CSV. */
import type { ViewRow } from '../../protocol/minute-row.js';

/** The twelve columns, in their order. */
export const viewColumns = [
  'service',
  'time_stamp',
  'cpu',
  'ram',
  'disk',
  'max_cpu_time',
  'max_cpu',
  'max_ram_time',
  'max_ram',
  'max_disk_time',
  'max_disk',
  'msg_num',
] as const satisfies readonly (keyof ViewRow)[];

/** A spreadsheet takes a text that begins so for a formula. */
const formulaStart = /^[=+\-@\t\r]/;

export const csvCell = (value: string | number): string => {
  if (typeof value === 'number') return String(value);
  const text = formulaStart.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** RFC 4180, with a head line; a text that a spreadsheet would run as a formula gets an apostrophe before it. */
export const formatCsv = (rows: readonly ViewRow[]): string =>
  [viewColumns, ...rows.map((row) => viewColumns.map((name) => csvCell(row[name])))].map((cells) => `${cells.join(',')}\r\n`).join('');
