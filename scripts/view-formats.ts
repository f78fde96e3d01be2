/** Rows of the view as a table for people. */
import { viewColumns } from '../infra/answers/csv.js';
import { formatPosition } from '../infra/answers/position-text.js';
import type { Terms } from '../protocol/messages/view.js';
import type { ViewRow } from '../protocol/minute-row.js';
import { columns } from './table.js';

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
