/**
 * Rows of month files, which never change: kept as they were read, with a bound on their bytes, least recently used out
 * first. Sums by hour are a sixtieth of the rows and are kept apart, so that a year by day stays in memory. Small files, of
 * which there may be a hundred thousand, are read many at a time.
 */

import type { RowColumns } from '../../infra/sql/sql.js';
import type { MonthFile } from '../../protocol/messages/batch.js';
import { columnBytesPerRow, type PackedColumns, packColumns, sumHours, unpackColumns } from './columns.js';

/** Reads the files of some months, each checked against its length, hash and counts (view-files.ts). */
export type ReadMonths = (files: readonly MonthFile[]) => Promise<RowColumns[]>;

export type Grain = 'minute' | 'hour';

/** A file of so few rows has no hours of its own: its minutes are summed as fast. */
const fewRows = 60;

const isSmall = (file: MonthFile): boolean => file.rows <= fewRows;

/** Of a larger file its rows cost more than its opening: it is read alone. */
export const togetherRowsMax = 2_000;

/** What is read together: so many rows are in memory besides what is kept. */
const groupRowsMax = 20_000;
const groupFilesMax = 256;

/** Things that have files into groups whose files may be read together, in order. */
export function* groupsOfFiles<T>(things: Iterable<T>, filesOf: (thing: T) => readonly MonthFile[]): Generator<T[]> {
  let group: T[] = [];
  let rows = 0;
  let count = 0;
  for (const thing of things) {
    const files = filesOf(thing);
    const rowsMore = files.reduce((sum, file) => sum + file.rows, 0);
    if (group.length > 0 && (rows + rowsMore > groupRowsMax || count + files.length > groupFilesMax)) {
      yield group;
      [group, rows, count] = [[], 0, 0];
    }
    group.push(thing);
    rows += rowsMore;
    count += files.length;
  }
  if (group.length > 0) yield group;
}

/** What a file takes besides its rows: the entry, its key, the array itself. */
const fileBytes = 600;

/** What a file of so many rows takes in memory. */
export const keptBytesOf = (rows: number): number => fileBytes + rows * columnBytesPerRow;

/** Columns by path, with a bound; the one used last stands last. */
class Kept {
  readonly #columns = new Map<string, PackedColumns>();
  #bytes = 0;

  constructor(readonly bytesMax: number) {}

  has(path: string): boolean {
    return this.#columns.has(path);
  }

  /** Whether a file of so many rows more lets nothing go. */
  hasRoomFor(rows: number): boolean {
    return this.#bytes + keptBytesOf(rows) <= this.bytesMax;
  }

  get(path: string): RowColumns | undefined {
    const packed = this.#columns.get(path);
    if (packed === undefined) return undefined;
    this.#columns.delete(path);
    this.#columns.set(path, packed);
    return unpackColumns(packed);
  }

  put(path: string, columns: RowColumns): void {
    if (this.#columns.has(path)) return;
    this.#columns.set(path, packColumns(columns));
    this.#bytes += keptBytesOf(columns.length);
    for (const [oldest, { length }] of this.#columns) {
      if (this.#bytes <= this.bytesMax || oldest === path) break;
      this.#columns.delete(oldest);
      this.#bytes -= keptBytesOf(length);
    }
  }
}

/** Rows that `warm` reads at most: some seconds of one core. */
const warmRowsMax = 4_000_000;

/** How many files' newest minutes are remembered; two numbers each. */
const newestMax = 200_000;

export class MonthCache {
  readonly #read: ReadMonths;
  readonly #minutes: Kept;
  readonly #hours: Kept;
  readonly #newest = new Map<string, number>();
  readonly #reading = new Map<string, Promise<RowColumns>>();
  #warming: readonly MonthFile[] = [];

  /** @param minuteBytesMax bound on minutes kept; hours have a quarter of it besides. */
  constructor(read: ReadMonths, minuteBytesMax: number) {
    this.#read = read;
    this.#minutes = new Kept(minuteBytesMax);
    this.#hours = new Kept(minuteBytesMax / 4);
  }

  has(file: MonthFile, grain: Grain = 'minute'): boolean {
    return this.#keptBy(file, grain).has(file.path);
  }

  /** What is here already: no reading, no waiting. */
  peek(file: MonthFile, grain: Grain = 'minute'): RowColumns | undefined {
    return this.#keptBy(file, grain).get(file.path);
  }

  async load(file: MonthFile, grain: Grain = 'minute'): Promise<RowColumns> {
    const here = this.peek(file, grain);
    if (here !== undefined) return here;
    const minutes = this.#minutes.get(file.path) ?? (await this.#readOnce(file));
    if (grain === 'minute' || isSmall(file)) return minutes;
    const hours = this.#hours.get(file.path) ?? sumHours(minutes);
    this.#hours.put(file.path, hours);
    return hours;
  }

  /**
   * Reads the small ones of a group of files (groupsOfFiles) at once, so that `load` finds them. Of one that cannot be read,
   * `load` says why.
   */
  async prefetch(files: readonly MonthFile[]): Promise<void> {
    const missing = files.filter(({ path, rows }) => rows <= togetherRowsMax && !this.#minutes.has(path));
    if (missing.length < 2) return;
    const read = await this.#read(missing).catch(() => []);
    for (const [i, columns] of read.entries()) this.#keep(missing[i] as MonthFile, columns);
  }

  /** The rows of a group of files, in order, without keeping them: for who goes through whole views. */
  async loadOnce(files: readonly MonthFile[]): Promise<RowColumns[]> {
    const here = files.map(({ path }) => this.#minutes.get(path));
    const missing = files.filter((_, i) => here[i] === undefined);
    const read = missing.length === 0 ? [] : await this.#read(missing);
    let next = 0;
    return files.map((file, i) => {
      const columns = here[i] ?? (read[next++] as RowColumns);
      this.#noteNewest(file, columns);
      return columns;
    });
  }

  /** A file takes the place of another: kept if that one is, so that no question waits for a new batch. */
  succeed(before: MonthFile, file: MonthFile, columns: RowColumns): void {
    if (this.#minutes.has(before.path)) this.#minutes.put(file.path, columns);
    if (this.#hours.has(before.path)) this.#hours.put(file.path, sumHours(columns));
  }

  /**
   * Reads what questions are likely to need, the newest months first, beside everything else: minutes while there is room
   * for them, then hours. Whoever calls again takes the place of the call before.
   */
  async warm(files: readonly MonthFile[]): Promise<void> {
    this.#warming = files;
    let rows = 0;
    const newestFirst = [...files].sort((a, b) => (a.month < b.month ? 1 : a.month > b.month ? -1 : 0));
    for (const group of groupsOfFiles(newestFirst, (file) => (this.#isWarm(file) ? [] : [file]))) {
      const cold = group.filter((file) => !this.#isWarm(file));
      if (cold.length === 0) continue;
      rows += cold.reduce((sum, file) => sum + file.rows, 0);
      const hoursMore = cold.reduce((sum, file) => sum + (isSmall(file) ? 0 : file.rows / 60), 0);
      if (this.#warming !== files || rows > warmRowsMax || !this.#hours.hasRoomFor(hoursMore)) return;
      for (const [i, columns] of (await this.loadOnce(cold)).entries()) {
        const file = cold[i] as MonthFile;
        if (this.#minutes.hasRoomFor(file.rows)) this.#minutes.put(file.path, columns);
        if (!isSmall(file)) this.#hours.put(file.path, sumHours(columns));
      }
      await new Promise(setImmediate);
    }
  }

  /** The newest minute in a file, ms, if its manifest says it or it was ever read here. */
  newest(file: MonthFile): number | undefined {
    return file.newest ?? this.#newest.get(file.path);
  }

  #keptBy(file: MonthFile, grain: Grain): Kept {
    return grain === 'minute' || isSmall(file) ? this.#minutes : this.#hours;
  }

  /** Whether nothing of it is left to be read beforehand. */
  #isWarm(file: MonthFile): boolean {
    const { path, rows } = file;
    return (isSmall(file) || this.#hours.has(path)) && (this.#minutes.has(path) || !this.#minutes.hasRoomFor(rows));
  }

  #readOnce(file: MonthFile): Promise<RowColumns> {
    let reading = this.#reading.get(file.path);
    if (reading === undefined) {
      reading = this.#read([file])
        .then(([columns]) => {
          this.#keep(file, columns as RowColumns);
          return columns as RowColumns;
        })
        .finally(() => this.#reading.delete(file.path));
      this.#reading.set(file.path, reading);
    }
    return reading;
  }

  #keep(file: MonthFile, columns: RowColumns): void {
    this.#minutes.put(file.path, columns);
    this.#noteNewest(file, columns);
  }

  #noteNewest(file: MonthFile, columns: RowColumns): void {
    if (file.newest !== undefined) return;
    if (this.#newest.size >= newestMax) this.#newest.clear();
    this.#newest.set(file.path, columns.minute[columns.length - 1] ?? Number.NEGATIVE_INFINITY);
  }
}
