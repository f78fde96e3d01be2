/**
 * An answer's rows as they came, in blocks of doubles; text is made of them when it is sent.
 *
 * D2  An answer's ETag is of the question's meaning and of the rows: it stays while they do, also over a new batch.
 * D9  Each answer has its terms in headers too, and a 304 those of now.
 */
import { createHash } from 'node:crypto';
import { csvCell, viewColumns } from '../../infra/answers/csv.js';
import { decodeRowBlocks, eachBlockRow } from '../../protocol/messages/row-blocks.js';
import { type RowTuple, toTuple } from '../../protocol/messages/row-tuple.js';
import type { Terms } from '../../protocol/messages/view.js';
import { toViewRow } from '../../protocol/minute-row.js';
import type { WriteRow } from '../merger/row-text.js';
import { type Format, ParameterError, type ViewQuestion } from './parameters.js';
import { chunkText } from './row-texts.js';
import type { ViewReader } from './view-reader.js';

export interface ViewAnswer {
  readonly chunks: readonly Uint8Array[];
  readonly rows: number;
  readonly terms: Terms;
  /** Of the rows alone. */
  readonly rowsHash: string;
}

/** What one answer may hold here; a row is 88 bytes. */
export const rowsMax = 1_000_000;

/** @throws ParameterError when there are more rows than one answer may have; what the reader throws */
export const readAnswer = async (reader: ViewReader, question: ViewQuestion): Promise<ViewAnswer> => {
  const chunks: Uint8Array[] = [];
  const hash = createHash('sha256');
  let rows = 0;
  const terms = await reader.ask(question, (chunk) => {
    const { head, columns } = decodeRowBlocks(chunk);
    for (const [, count] of head.blocks) rows += count;
    if (rows > rowsMax)
      throw new ParameterError('from', `more than ${rowsMax} rows: ask for fewer services, a shorter time or a larger step`);
    hash.update(JSON.stringify([head.blocks, head.wide]));
    hash.update(new Uint8Array(columns.buffer, columns.byteOffset, columns.byteLength));
    chunks.push(chunk);
    return head.terms;
  });
  return { chunks, rows, terms, rowsHash: hash.digest('hex') };
};

export const etagOf = (kind: string, { from, to, services, step, zone }: ViewQuestion, contentHash: string): string => {
  const meaning = JSON.stringify([kind, from, to, services ?? null, step, zone]);
  return `"${createHash('sha256').update(meaning).update(contentHash).digest('base64url').slice(0, 27)}"`;
};

/** Whether what the asker has is what would be answered. */
export const isSame = (ifNoneMatch: string | undefined, etag: string): boolean =>
  ifNoneMatch?.split(',').some((one) => one.trim().replace(/^W\//, '') === etag || one.trim() === '*') === true;

const csvWriter = (service: string): WriteRow => {
  const name = csvCell(service);
  const columns = viewColumns.slice(1);
  return (minute, row) => {
    const view = toViewRow(service, minute, row);
    return `${name},${columns.map((column) => csvCell(view[column])).join(',')}\r\n`;
  };
};

const csvText = (chunk: Uint8Array): Buffer => chunkText(chunk, csvWriter, '');

/** The answer in pieces, each made when it is asked for. */
export function* jsonPieces(
  { chunks, terms }: ViewAnswer,
  etag: string,
  piecesOf: (chunk: Uint8Array) => readonly Buffer[],
): Generator<Buffer> {
  let before = '{"rows":[';
  for (const chunk of chunks) {
    const pieces = piecesOf(chunk);
    if (pieces.length === 0) continue;
    yield Buffer.from(before);
    yield* pieces;
    before = ',';
  }
  yield Buffer.from(`${before === ',' ? '' : before}],"terms":${JSON.stringify(terms)},"etag":${JSON.stringify(etag)}}`);
}

export function* csvPieces({ chunks }: ViewAnswer): Generator<Buffer> {
  yield Buffer.from(`${viewColumns.join(',')}\r\n`);
  for (const chunk of chunks) yield csvText(chunk);
}

/** Exact rows, for a Parquet file. */
export const exactRows = ({ chunks }: ViewAnswer): RowTuple[] => {
  const rows: RowTuple[] = [];
  for (const chunk of chunks) eachBlockRow(chunk, (service, minute, row) => rows.push(toTuple(service, minute, row)));
  return rows;
};

/** A file name of times alone: no name of a service can do harm in it. */
export const fileNameOf = ({ from, to }: ViewQuestion, format: Format): string => {
  const compact = (at: number): string => new Date(at).toISOString().slice(0, 16).replaceAll(/[-:]/g, '');
  return `tidemark-${compact(from)}-${compact(to)}.${format}`;
};

/** The terms, where the body has no place for them: of CSV, Parquet, and of what has not changed. */
export const termsHeaders = (terms: Terms): Record<string, string> => ({
  'Tidemark-Batch': terms.batch ?? '',
  'Tidemark-Cut': terms.cut.join(','),
  'Tidemark-Position': terms.position.join(','),
  'Tidemark-Newest': terms.newest ?? '',
  'Tidemark-Missing': String(terms.missing),
  'Tidemark-Refused': String(terms.refused),
  'Tidemark-Late': String(terms.late),
});
