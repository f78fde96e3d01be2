/**
 * JSON of rows that were written before: most rows of a day are the same from one question to the next. Rows are kept in
 * groups of some dozens with the doubles that they were made of, and used again only where those are equal to the bit.
 *
 * D8  What comes from here is the text that writing the rows anew would give.
 */
import { blockColumns, decodeRowBlocks, eachBlockRow } from '../../protocol/messages/row-blocks.js';
import type { Step } from '../../protocol/messages/view.js';
import { emptyRow, type MinuteRow, minuteMs } from '../../protocol/minute-row.js';
import { columnsWriter, type WriteRow } from '../merger/row-text.js';

interface Kept {
  /** Row by row. */
  readonly numbers: Float64Array;
  /** The rows' texts, with commas between. */
  readonly text: Buffer;
  /** Where in it each row's ends. */
  readonly ends: Uint32Array;
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

  /** A chunk's rows (row-blocks.ts), with commas between: put together where the whole body is. */
  piecesOf(chunk: Uint8Array, step: Step): Buffer[] {
    const { head, columns } = decodeRowBlocks(chunk);
    const rows = columns.length / blockColumns;
    if (head.wide.length > 0 || step === 'range') return rows === 0 ? [] : [textOfChunk(chunk)];
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
    return pieces;
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
    const made = writeRows(service, numbers, kept);
    this.counts.made += 1;
    this.#kept.set(key, made);
    this.#bytes += sizeOf(made);
    for (const [oldest, one] of this.#kept) {
      if (this.#bytes <= this.bytesMax) break;
      this.#kept.delete(oldest);
      this.#bytes -= sizeOf(one);
    }
    return made.text;
  }
}

/** Row by row, none of them wide. A row that is equal to one that was written before is taken from there: mostly one has changed. */
const writeRows = (service: string, numbers: Float64Array, before: Kept | undefined): Kept => {
  const ends = new Uint32Array(numbers.length / blockColumns);
  const pieces: Buffer[] = [];
  const row = emptyRow();
  let write: WriteRow | undefined;
  let end = 0;
  let next = 0;
  for (let r = 0; r < ends.length; r++) {
    const at = r * blockColumns;
    const minute = numbers[at] as number;
    while (before !== undefined && next < before.ends.length && (before.numbers[next * blockColumns] as number) < minute) next += 1;
    let text = before === undefined ? undefined : textBefore(before, next, numbers, at);
    if (text === undefined) {
      write ??= columnsWriter(service);
      text = Buffer.from(write(minute, readRow(numbers, at, row)));
    }
    if (r > 0) pieces.push(comma);
    pieces.push(text);
    end += text.length + (r > 0 ? 1 : 0);
    ends[r] = end;
  }
  return { numbers, text: Buffer.concat(pieces, end), ends };
};

/** The text of row `r` of what was written before, if its numbers are those at `at`. */
const textBefore = ({ numbers, text, ends }: Kept, r: number, others: Float64Array, at: number): Buffer | undefined => {
  if (r >= ends.length) return undefined;
  for (let column = 0; column < blockColumns; column++) {
    if (numbers[r * blockColumns + column] !== others[at + column]) return undefined;
  }
  return text.subarray(r === 0 ? 0 : (ends[r - 1] as number) + 1, ends[r]);
};

/** @returns `row` */
const readRow = (numbers: Float64Array, at: number, row: MinuteRow): MinuteRow => {
  row.cpu = numbers[at + 1] as number;
  row.ram = numbers[at + 2] as number;
  row.disk = numbers[at + 3] as number;
  row.maxCpu = numbers[at + 4] as number;
  row.maxCpuAt = numbers[at + 5] as number;
  row.maxRam = numbers[at + 6] as number;
  row.maxRamAt = numbers[at + 7] as number;
  row.maxDisk = numbers[at + 8] as number;
  row.maxDiskAt = numbers[at + 9] as number;
  row.messages = numbers[at + 10] as number;
  return row;
};

const sizeOf = ({ numbers, text, ends }: Kept): number => numbers.byteLength + text.length + ends.byteLength + 300;

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
