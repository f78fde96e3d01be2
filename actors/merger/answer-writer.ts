/** Rows of an answer into the bodies of its chunks: JSON for everybody, blocks for the client library. */

import { chunkBytesMax } from '../../protocol/messages/chunks.js';
import { blockBytesPerRow, blockColumns, encodeRowBlocks, type RowBlocksHead } from '../../protocol/messages/row-blocks.js';
import type { Terms } from '../../protocol/messages/view.js';
import type { MinuteRow } from '../../protocol/minute-row.js';
import type { Question } from './question.js';
import { columnsWriter, tuplesWriter, type WriteRow } from './row-text.js';

export interface AnswerWriter {
  /** Rows so far. */
  readonly rows: number;
  /** What comes next is this service's. */
  service(name: string): void;
  row(minute: number, row: MinuteRow): void;
  /** The bodies of all chunks, in order; each below the bound. */
  bodies(terms: Terms): (string | Uint8Array)[];
}

/** What a chunk's terms and braces may take. */
const roomForTerms = 16_384;

export const answerWriter = (shape: Question['shape']): AnswerWriter =>
  shape === 'blocks' ? new BlocksWriter() : new JsonWriter(shape === 'tuples' ? tuplesWriter : columnsWriter);

class JsonWriter implements AnswerWriter {
  rows = 0;
  readonly #writerOf: (service: string) => WriteRow;
  #write: WriteRow = () => '';
  /** A character of a name may take more bytes than one; all others of a row take one. */
  #moreBytes = 0;
  readonly #groups: string[] = [];
  #texts: string[] = [];
  #bytes = 0;

  constructor(writerOf: (service: string) => WriteRow) {
    this.#writerOf = writerOf;
  }

  service(name: string): void {
    this.#write = this.#writerOf(name);
    this.#moreBytes = Buffer.byteLength(name) - name.length;
  }

  row(minute: number, row: MinuteRow): void {
    const text = this.#write(minute, row);
    const bytes = text.length + this.#moreBytes + 1;
    if (this.#bytes + bytes > chunkBytesMax - roomForTerms && this.#bytes > 0) this.#endGroup();
    this.#texts.push(text);
    this.#bytes += bytes;
    this.rows += 1;
  }

  bodies(terms: Terms): string[] {
    this.#endGroup();
    const end = `],"terms":${JSON.stringify(terms)}}`;
    return this.#groups.map((rows) => `{"rows":[${rows}${end}`);
  }

  #endGroup(): void {
    this.#groups.push(this.#texts.join(','));
    this.#texts = [];
    this.#bytes = 0;
  }
}

/** One chunk's rows, column by column, each column with room for a full chunk. */
interface Block {
  readonly head: Omit<RowBlocksHead, 'terms'>;
  readonly numbers: Float64Array;
  rows: number;
  headBytes: number;
}

const rowsPerBlock = Math.floor((chunkBytesMax - roomForTerms) / blockBytesPerRow);

class BlocksWriter implements AnswerWriter {
  rows = 0;
  #service = '';
  #isNamed = false;
  #block = newBlock();
  readonly #full: Block[] = [];

  service(name: string): void {
    this.#service = name;
    this.#isNamed = false;
  }

  row(minute: number, row: MinuteRow): void {
    const isWide = typeof row.cpu === 'bigint' || typeof row.ram === 'bigint' || typeof row.disk === 'bigint';
    const headBytes = (this.#isNamed ? 0 : Buffer.byteLength(JSON.stringify(this.#service)) + 16) + (isWide ? 120 : 0);
    if ((this.#block.rows + 1) * blockBytesPerRow + this.#block.headBytes + headBytes > chunkBytesMax - roomForTerms) {
      this.#full.push(this.#block);
      this.#block = newBlock();
      this.#isNamed = false;
    }
    const block = this.#block;
    block.headBytes += headBytes;
    if (!this.#isNamed) block.head.blocks.push([this.#service, 0]);
    this.#isNamed = true;
    (block.head.blocks.at(-1) as [string, number])[1] += 1;
    if (isWide) block.head.wide.push([block.rows, String(row.cpu), String(row.ram), String(row.disk)]);
    writeRow(block.numbers, block.rows, minute, row);
    block.rows += 1;
    this.rows += 1;
  }

  bodies(terms: Terms): Uint8Array[] {
    return [...this.#full, this.#block].map(({ head, numbers, rows }) => {
      const columns = new Float64Array(rows * blockColumns);
      for (let column = 0; column < blockColumns; column++) {
        columns.set(numbers.subarray(column * rowsPerBlock, column * rowsPerBlock + rows), column * rows);
      }
      return encodeRowBlocks({ terms, ...head }, columns);
    });
  }
}

const newBlock = (): Block => ({
  head: { blocks: [], wide: [] },
  numbers: new Float64Array(rowsPerBlock * blockColumns),
  rows: 0,
  headBytes: 0,
});

const writeRow = (numbers: Float64Array, i: number, minute: number, row: MinuteRow): void => {
  numbers[i] = minute;
  numbers[rowsPerBlock + i] = Number(row.cpu);
  numbers[2 * rowsPerBlock + i] = Number(row.ram);
  numbers[3 * rowsPerBlock + i] = Number(row.disk);
  numbers[4 * rowsPerBlock + i] = row.maxCpu;
  numbers[5 * rowsPerBlock + i] = row.maxCpuAt;
  numbers[6 * rowsPerBlock + i] = row.maxRam;
  numbers[7 * rowsPerBlock + i] = row.maxRamAt;
  numbers[8 * rowsPerBlock + i] = row.maxDisk;
  numbers[9 * rowsPerBlock + i] = row.maxDiskAt;
  numbers[10 * rowsPerBlock + i] = row.messages;
};
