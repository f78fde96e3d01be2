/**
 * The records of one partition, in the order of their offsets, each once.
 *
 * K2  Of an offset that is there more than once one record stays: the one in the newest file.
 *
 * Runs are merged: one is opened when its first offset is due and closed at its end, so what is held grows with how many
 * runs overlap, and for many of them the pieces get smaller.
 */
import type { Storage } from '../../infra/storage/storage.js';
import { type RawRecord, readRawLine } from './raw-line.js';
import type { RawRun } from './raw-runs.js';

export interface Dropped {
  /** Lines that say the same of an offset. */
  doubles: number;
  /** Lines that say something else of it. */
  conflicts: number;
}

const heldBytesMax = 32 * 2 ** 20;
const pieceBytesMin = 16 * 1024;
const pieceBytesMax = 512 * 1024;
const recordsAtOnceMax = 1_000;
const lf = 0x0a;

/** How many runs lie over one offset, at most. */
export const overlapOf = (runs: readonly RawRun[]): number => {
  const ends = runs.flatMap(({ first, last }) => [[first, 1] as const, [last + 1, -1] as const]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let open = 0;
  let most = 0;
  for (const [, step] of ends) {
    open += step;
    most = Math.max(most, open);
  }
  return most;
};

/** Batches of records, rising. */
export async function* mergeRuns(storage: Pick<Storage, 'read'>, all: readonly RawRun[], dropped: Dropped): AsyncGenerator<RawRecord[]> {
  const runs = [...all].sort((a, b) => a.first - b.first);
  const pieceBytes = Math.min(pieceBytesMax, Math.max(pieceBytesMin, Math.floor(heldBytesMax / Math.max(1, overlapOf(runs)))));
  const heap = new Heap();
  let next = 0;
  let batch: RawRecord[] = [];
  let kept: RawRecord | undefined;
  for (;;) {
    while (next < runs.length && (heap.top === undefined || (runs[next] as RawRun).first <= heap.top.record.offset)) {
      const cursor = new Cursor(storage, runs[next++] as RawRun, pieceBytes);
      if (cursor.advance() || (await cursor.refill())) heap.push(cursor);
    }
    const cursor = heap.top;
    if (cursor === undefined) break;
    const { record } = cursor;
    if (kept?.offset !== record.offset) {
      batch.push(record);
      kept = record;
    } else if (kept.content === record.content) dropped.doubles += 1;
    else dropped.conflicts += 1;
    if (cursor.advance() || (await cursor.refill())) heap.sink();
    else heap.pop();
    if (batch.length >= recordsAtOnceMax) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

/** A place in a run. */
class Cursor {
  /** Where it stands, once it has advanced. */
  record!: RawRecord;
  readonly begun: number;
  #lines: string[] = [];
  #at = 0;
  #carry: Buffer = Buffer.alloc(0);
  #byte: number;

  constructor(
    private readonly storage: Pick<Storage, 'read'>,
    private readonly run: RawRun,
    private readonly pieceBytes: number,
  ) {
    this.#byte = run.fromByte;
    this.begun = run.begun;
  }

  /** Goes to the next record that is here; false: there is none. */
  advance(): boolean {
    while (this.#at < this.#lines.length) {
      const record = readRawLine(this.#lines[this.#at++] as string);
      if (record === undefined) continue;
      this.record = record;
      return true;
    }
    return false;
  }

  /** Reads on until there is a record; false: the run is over. */
  async refill(): Promise<boolean> {
    while (this.#byte < this.run.toByte) {
      const to = Math.min(this.run.toByte, this.#byte + this.pieceBytes);
      const bytes = Buffer.concat([this.#carry, await this.storage.read(this.run.path, this.#byte, to)]);
      this.#byte = to;
      const end = to === this.run.toByte ? bytes.length : bytes.lastIndexOf(lf) + 1;
      this.#lines = bytes.toString('utf8', 0, end).split('\n');
      this.#at = 0;
      this.#carry = Buffer.from(bytes.subarray(end));
      if (this.advance()) return true;
    }
    return false;
  }
}

const isBefore = (a: Cursor, b: Cursor): boolean =>
  a.record.offset < b.record.offset || (a.record.offset === b.record.offset && a.begun > b.begun); // K2

class Heap {
  readonly #cursors: Cursor[] = [];

  get top(): Cursor | undefined {
    return this.#cursors[0];
  }

  push(cursor: Cursor): void {
    const cursors = this.#cursors;
    let at = cursors.push(cursor) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(cursor, cursors[above] as Cursor)) break;
      cursors[at] = cursors[above] as Cursor;
      at = above;
    }
    cursors[at] = cursor;
  }

  /** The top has moved on. */
  sink(): void {
    const cursors = this.#cursors;
    const cursor = cursors[0] as Cursor;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= cursors.length) break;
      if (below + 1 < cursors.length && isBefore(cursors[below + 1] as Cursor, cursors[below] as Cursor)) below += 1;
      if (!isBefore(cursors[below] as Cursor, cursor)) break;
      cursors[at] = cursors[below] as Cursor;
      at = below;
    }
    cursors[at] = cursor;
  }

  pop(): void {
    const last = this.#cursors.pop();
    if (last === undefined || this.#cursors.length === 0) return;
    this.#cursors[0] = last;
    this.sink();
  }
}
