/**
 * Rows of month files, which never change: kept as they were read, with a bound on their bytes, least recently used out
 * first. Sums by hour are a sixtieth of the rows and are kept apart, so that a year by day stays in memory.
 */

import type { RowColumns } from '../../infra/sql/sql.js';
import type { MonthFile } from '../../protocol/messages/batch.js';
import { columnBytesPerRow, sumHours } from './columns.js';

/** Reads a month's file, checked against its length, hash and counts (part-files.ts). */
export type ReadMonth = (file: MonthFile) => Promise<RowColumns>;

export type Grain = 'minute' | 'hour';

/** Columns by path, with a bound; the one used last stands last. */
class Kept {
  readonly #columns = new Map<string, RowColumns>();
  #bytes = 0;

  constructor(readonly bytesMax: number) {}

  has(path: string): boolean {
    return this.#columns.has(path);
  }

  /** Whether so many rows more let nothing go. */
  hasRoomFor(rows: number): boolean {
    return this.#bytes + rows * columnBytesPerRow <= this.bytesMax;
  }

  get(path: string): RowColumns | undefined {
    const columns = this.#columns.get(path);
    if (columns === undefined) return undefined;
    this.#columns.delete(path);
    this.#columns.set(path, columns);
    return columns;
  }

  put(path: string, columns: RowColumns): void {
    if (this.#columns.has(path)) return;
    this.#columns.set(path, columns);
    this.#bytes += columns.length * columnBytesPerRow;
    for (const [oldest, { length }] of this.#columns) {
      if (this.#bytes <= this.bytesMax || oldest === path) break;
      this.#columns.delete(oldest);
      this.#bytes -= length * columnBytesPerRow;
    }
  }
}

/** Rows that `warm` reads at most: some seconds of one core. */
const warmRowsMax = 4_000_000;

/** How many files' newest minutes are remembered; two numbers each. */
const newestMax = 200_000;

export class MonthCache {
  readonly #read: ReadMonth;
  readonly #minutes: Kept;
  readonly #hours: Kept;
  readonly #newest = new Map<string, number>();
  readonly #reading = new Map<string, Promise<RowColumns>>();
  #warming: readonly MonthFile[] = [];

  /** @param minuteBytesMax bound on minutes kept; hours have a quarter of it besides. */
  constructor(read: ReadMonth, minuteBytesMax: number) {
    this.#read = read;
    this.#minutes = new Kept(minuteBytesMax);
    this.#hours = new Kept(minuteBytesMax / 4);
  }

  /** What is here already: no reading, no waiting. */
  peek(file: MonthFile, grain: Grain = 'minute'): RowColumns | undefined {
    return grain === 'minute' ? this.#minutes.get(file.path) : this.#hours.get(file.path);
  }

  async load(file: MonthFile, grain: Grain = 'minute'): Promise<RowColumns> {
    const here = this.peek(file, grain);
    if (here !== undefined) return here;
    const minutes = this.#minutes.get(file.path) ?? (await this.#readOnce(file));
    if (grain === 'minute') return minutes;
    const hours = this.#hours.get(file.path) ?? sumHours(minutes);
    this.#hours.put(file.path, hours);
    return hours;
  }

  /** The rows, without keeping them: for who goes through whole views. Remembers the newest minute all the same. */
  async loadOnce(file: MonthFile): Promise<RowColumns> {
    const columns = this.peek(file) ?? (await this.#read(file));
    this.#noteNewest(file, columns);
    return columns;
  }

  /** The rows of a file that takes the place of another: kept if that one's are, so that no question waits for a new batch. */
  async loadSuccessor(before: MonthFile | undefined, file: MonthFile): Promise<RowColumns> {
    const columns = await this.loadOnce(file);
    if (before !== undefined && this.#minutes.has(before.path)) this.#minutes.put(file.path, columns);
    if (before !== undefined && this.#hours.has(before.path)) this.#hours.put(file.path, sumHours(columns));
    return columns;
  }

  /**
   * Reads what questions are likely to need, the newest months first, beside everything else: minutes while there is room
   * for them, then hours. Whoever calls again takes the place of the call before.
   */
  async warm(files: readonly MonthFile[]): Promise<void> {
    this.#warming = files;
    let rows = 0;
    for (const file of [...files].sort((a, b) => (a.month < b.month ? 1 : a.month > b.month ? -1 : 0))) {
      const keepsMinutes = this.#minutes.hasRoomFor(file.rows);
      if (this.#hours.has(file.path) && (this.#minutes.has(file.path) || !keepsMinutes)) continue;
      rows += file.rows;
      if (this.#warming !== files || rows > warmRowsMax || !this.#hours.hasRoomFor(file.rows / 60)) return;
      const columns = await (keepsMinutes ? this.#readOnce(file) : this.loadOnce(file));
      this.#hours.put(file.path, sumHours(columns));
      await new Promise(setImmediate);
    }
  }

  /** The newest minute in a file, ms, if it was ever read here. */
  newest(file: MonthFile): number | undefined {
    return this.#newest.get(file.path);
  }

  #readOnce(file: MonthFile): Promise<RowColumns> {
    let reading = this.#reading.get(file.path);
    if (reading === undefined) {
      reading = this.#read(file)
        .then((columns) => {
          this.#minutes.put(file.path, columns);
          this.#noteNewest(file, columns);
          return columns;
        })
        .finally(() => this.#reading.delete(file.path));
      this.#reading.set(file.path, reading);
    }
    return reading;
  }

  #noteNewest(file: MonthFile, columns: RowColumns): void {
    if (this.#newest.size >= newestMax) this.#newest.clear();
    this.#newest.set(file.path, columns.minute[columns.length - 1] ?? Number.NEGATIVE_INFINITY);
  }
}
