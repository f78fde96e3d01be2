/** What a stand-in for the merger answers. */
import { toColumns } from '../../../actors/merger/columns.js';
import { blockColumns, encodeRowBlocks } from '../../../protocol/messages/row-blocks.js';
import type { Terms } from '../../../protocol/messages/view.js';
import { addRecord, emptyRow, type KeyedRow } from '../../../protocol/minute-row.js';

export const minute = Date.UTC(2026, 10, 23, 10, 15);

/** A service's row of one record at that minute. */
export const oneRow = (service: string): KeyedRow => {
  const row = emptyRow();
  addRecord(row, minute + 1, 12_345_678, 2, 3);
  return { service, minute, row };
};

/** One chunk. */
export const blocksOf = (rows: readonly KeyedRow[], terms: Terms): Uint8Array => {
  const c = toColumns(rows);
  const numbers = new Float64Array(rows.length * blockColumns);
  const columns = [c.minute, c.cpu, c.ram, c.disk, c.maxCpu, c.maxCpuAt, c.maxRam, c.maxRamAt, c.maxDisk, c.maxDiskAt, c.messages];
  for (const [i, column] of columns.entries()) numbers.set(column, i * rows.length);
  return encodeRowBlocks({ terms, blocks: rows.map(({ service }) => [service, 1]), wide: [] }, numbers);
};
