/**
 * JSON of rows that were written before: most rows of a day are the same from one question to the next. Rows are kept in
 * groups of some dozens with the doubles that they were made of, and used again only where those are equal to the bit.
 *
 * D8  What comes from here is the text that writing the rows anew would give.
 */
import { blockColumns, decodeRowBlocks, eachBlockRow } from '../../protocol/messages/row-blocks.js';
import type { Step } from '../../protocol/messages/view.js';
import { emptyRow, minuteMs } from '../../protocol/minute-row.js';
import { columnsWriter, type WriteRow } from '../merger/row-text.js';

interface Kept {
  /** Row by row. */
  readonly numbers: Float64Array;
  readonly text: Buffer;
}

const spanMsOf: Readonly<Record<Step, number>> = {
  minute: 60 * minuteMs,
  hour: 360 * minuteMs, // days that begin anywhere have all but their ends in common
  day: 86_400 * minuteMs,
  range: Number.MAX_SAFE_INTEGER,
};

const comma = Buffer.from(',');

/** A chunk's rows (row-blocks.ts) as text. @param writerOf is asked once for each service in a row */
export const chunkText = (chunk: Uint8Array, writerOf: (service: string) => WriteRow, between: string): Buffer => {
  const texts: string[] = [];
  let writing: string | undefined;
  let write: WriteRow = () => '';
  eachBlockRow(chunk, (service, minute, row) => {
    if (service !== writing) {
      writing = service;
      write = writerOf(service);
    }
    texts.push(write(minute, row));
  });
  return Buffer.from(texts.join(between));
};

const textOfChunk = (chunk: Uint8Array): Buffer => chunkText(chunk, columnsWriter, ',');

export class RowTexts {
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  /** For people and tests: how many groups were used again, and made. */
  readonly counts = { used: 0, made: 0 };

  constructor(readonly bytesMax: number) {}

  /** A chunk's rows (row-blocks.ts), with commas between. */
  textOf(chunk: Uint8Array, step: Step): Buffer {
    const { head, columns } = decodeRowBlocks(chunk);
    const rows = columns.length / blockColumns;
    if (head.wide.length > 0 || step === 'range') return textOfChunk(chunk);
    const spanMs = spanMsOf[step];
    const pieces: Buffer[] = [];
    let at = 0;
    for (const [service, count] of head.blocks) {
      for (const end = at + count; at < end; ) {
        const span = Math.floor((columns[at] as number) / spanMs);
        let next = at + 1;
        while (next < end && Math.floor((columns[next] as number) / spanMs) === span) next += 1;
        if (pieces.length > 0) pieces.push(comma);
        pieces.push(this.#group(service, `${step} ${span} ${service}`, columns, rows, at, next));
        at = next;
      }
    }
    return Buffer.concat(pieces);
  }

  #group(service: string, key: string, columns: Float64Array, rows: number, from: number, to: number): Buffer {
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      this.#kept.delete(key);
      if (isEqual(kept.numbers, columns, rows, from, to)) {
        this.#kept.set(key, kept); // the newest used stands last
        this.counts.used += 1;
        return kept.text;
      }
      this.#bytes -= sizeOf(kept);
    }
    const numbers = new Float64Array((to - from) * blockColumns);
    for (let column = 0; column < blockColumns; column++) {
      let at = column;
      for (let i = column * rows + from; i < column * rows + to; i++, at += blockColumns) numbers[at] = columns[i] as number;
    }
    const text = textOfNumbers(service, numbers);
    this.counts.made += 1;
    const made = { numbers, text };
    this.#kept.set(key, made);
    this.#bytes += sizeOf(made);
    for (const [oldest, one] of this.#kept) {
      if (this.#bytes <= this.bytesMax) break;
      this.#kept.delete(oldest);
      this.#bytes -= sizeOf(one);
    }
    return text;
  }
}

/** Rows of a service, row by row; none of them is wide. */
const textOfNumbers = (service: string, numbers: Float64Array): Buffer => {
  const write = columnsWriter(service);
  const row = emptyRow();
  const texts: string[] = [];
  for (let at = 0; at < numbers.length; at += blockColumns) {
    const value = (column: number): number => numbers[at + column] as number;
    row.cpu = value(1);
    row.ram = value(2);
    row.disk = value(3);
    row.maxCpu = value(4);
    row.maxCpuAt = value(5);
    row.maxRam = value(6);
    row.maxRamAt = value(7);
    row.maxDisk = value(8);
    row.maxDiskAt = value(9);
    row.messages = value(10);
    texts.push(write(value(0), row));
  }
  return Buffer.from(texts.join(','));
};

const sizeOf = ({ numbers, text }: Kept): number => numbers.byteLength + text.length + 200;

const isEqual = (numbers: Float64Array, columns: Float64Array, rows: number, from: number, to: number): boolean => {
  if (numbers.length !== (to - from) * blockColumns) return false;
  for (let column = 0; column < blockColumns; column++) {
    let at = column;
    for (let i = column * rows + from; i < column * rows + to; i++, at += blockColumns) {
      if (numbers[at] !== columns[i]) return false;
    }
  }
  return true;
};
