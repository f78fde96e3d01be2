/**
 * How many rows travel fast: the answer to view.asked with shape "blocks", as the client library asks for it.
 *
 * body = one JSON line (RowBlocksHead), LF, then for all rows of the chunk together, column by column in the order of
 * `blockColumns`, little-endian doubles. Sums are exact up to 2^53; rows past that are in `wide` as well, exactly.
 */
import { emptyRow, type MinuteRow } from '../minute-row.js';
import { parseSum } from '../units.js';
import type { Terms } from './view.js';

export const blockColumns = 11; // minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages
export const blockBytesPerRow = blockColumns * 8;

export interface RowBlocksHead {
  terms: Terms;
  /** Whose the rows are, in order: so many of this service, then of the next. */
  blocks: [service: string, rows: number][];
  /** Index of the row in this chunk, and its sums in millionths. */
  wide: [row: number, cpu: string, ram: string, disk: string][];
}

const lineFeed = 10;

/** @param columns the chunk's rows, column by column */
export const encodeRowBlocks = (head: RowBlocksHead, columns: Float64Array): Uint8Array => {
  const line = Buffer.from(`${JSON.stringify(head)}\n`);
  return Buffer.concat([line, Buffer.from(columns.buffer, columns.byteOffset, columns.byteLength)]);
};

/** @throws SyntaxError, RangeError when the body is not such a chunk */
export const decodeRowBlocks = (body: Uint8Array): { head: RowBlocksHead; columns: Float64Array } => {
  const end = body.indexOf(lineFeed);
  const head = JSON.parse(Buffer.from(body.buffer, body.byteOffset, end).toString('utf8')) as RowBlocksHead;
  const bytes = Uint8Array.prototype.slice.call(body, end + 1); // a copy: doubles begin at a multiple of 8
  return { head, columns: new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8) };
};

/** Each row of a chunk, in order. `row` is only valid during the call. */
export const eachBlockRow = (body: Uint8Array, visit: (service: string, minute: number, row: MinuteRow) => void): RowBlocksHead => {
  const { head, columns } = decodeRowBlocks(body);
  const rows = columns.length / blockColumns;
  const [minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages] = Array.from(
    { length: blockColumns },
    (_, i) => columns.subarray(i * rows, (i + 1) * rows),
  ) as ElevenColumns;
  const wide = new Map(head.wide.map((one) => [one[0], one]));
  const row = emptyRow();
  let i = 0;
  for (const [service, count] of head.blocks) {
    for (const end = i + count; i < end; i++) {
      const exact = wide.size > 0 ? wide.get(i) : undefined;
      row.cpu = exact === undefined ? (cpu[i] as number) : parseSum(exact[1]);
      row.ram = exact === undefined ? (ram[i] as number) : parseSum(exact[2]);
      row.disk = exact === undefined ? (disk[i] as number) : parseSum(exact[3]);
      row.maxCpu = maxCpu[i] as number;
      row.maxCpuAt = maxCpuAt[i] as number;
      row.maxRam = maxRam[i] as number;
      row.maxRamAt = maxRamAt[i] as number;
      row.maxDisk = maxDisk[i] as number;
      row.maxDiskAt = maxDiskAt[i] as number;
      row.messages = messages[i] as number;
      visit(service, minute[i] as number, row);
    }
  }
  return head;
};

type C = Float64Array;
type ElevenColumns = [C, C, C, C, C, C, C, C, C, C, C];
