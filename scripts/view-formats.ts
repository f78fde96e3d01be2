/** Rows of the view as text: a table for people, CSV for other programs. */
import type { Terms } from '../protocol/messages/view.js';
import type { ViewRow } from '../protocol/minute-row.js';
import { formatPosition } from './position-option.js';
import { columns } from './table.js';

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

/** Control characters, and those that turn the direction of writing. */
const moves = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e]/gu;

/** What would move a terminal's cursor, or more, is written as an escape. */
const printable = (text: string): string => text.replace(moves, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

export const formatTable = (rows: readonly ViewRow[]): string =>
  columns([viewColumns, ...rows.map((row) => viewColumns.map((name) => printable(String(row[name]))))]);

/** One line: what the rows are an answer of. */
export const formatTerms = (terms: Terms): string =>
  [
    terms.batch === null ? 'no batch yet' : `batch ${terms.batch}, cut ${formatPosition(terms.cut)}`,
    `position ${formatPosition(terms.position)}`,
    `newest ${terms.newest ?? 'none'}`,
    `missing ${terms.missing}`,
    `refused ${terms.refused}`,
    `late ${terms.late}`,
  ].join(', ');

/** A spreadsheet takes a text that begins so for a formula. */
const formulaStart = /^[=+\-@\t\r]/;

const csvCell = (value: string | number): string => {
  if (typeof value === 'number') return String(value);
  const text = formulaStart.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** RFC 4180, with a head line; a text that a spreadsheet would run as a formula gets an apostrophe before it. */
export const formatCsv = (rows: readonly ViewRow[]): string =>
  [viewColumns, ...rows.map((row) => viewColumns.map((name) => csvCell(row[name])))].map((cells) => `${cells.join(',')}\r\n`).join('');
