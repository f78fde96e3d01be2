/**
 * Minute rows that change, of many services, compactly: the real-time side of a view, up to a million rows.
 *
 * The numbers of a row stand side by side in pages of doubles (80 bytes a row); each service has an index from minute to
 * row. Sums past 2^53 stand beside them, exactly. Late records are counted as they come in.
 */

import type { RowColumns } from '../../infra/sql/sql.js';
import { emptyRow, type KeyedRow, type MinuteRow, mergeInto, minuteMs } from '../../protocol/minute-row.js';
import type { Sum } from '../../protocol/units.js';
import { readColumnsRow } from './columns.js';

const rowsPerPage = 4096;
const width = 10;

interface WideSums {
  cpu: Sum;
  ram: Sum;
  disk: Sum;
}

interface ServiceRows {
  /** Minute number (minutes since 1970) to the row's place. */
  readonly index: Map<number, number>;
  /** Minute numbers, in order unless `isSorted` is false. */
  readonly minutes: number[];
  isSorted: boolean;
  /** Records whose minute was over when the batch was asked for. */
  late: number;
}

const isWide = (row: WideSums): boolean => typeof row.cpu === 'bigint' || typeof row.ram === 'bigint' || typeof row.disk === 'bigint';

export class RowTable {
  readonly #pages: Float64Array[] = [];
  readonly #services = new Map<string, ServiceRows>();
  readonly #wide = new Map<number, WideSums>();
  readonly #scratch = emptyRow();
  readonly #other = emptyRow();
  #length = 0;
  #messages = 0;
  #lateBefore: number;

  /** @param lateBefore a record of a minute (ms) before this one is late; -Infinity: none is. */
  constructor(lateBefore = Number.NEGATIVE_INFINITY) {
    this.#lateBefore = lateBefore;
  }

  /** Rows. */
  get length(): number {
    return this.#length;
  }

  /** Records: the sum of msg_num. */
  get messages(): number {
    return this.#messages;
  }

  get services(): IterableIterator<string> {
    return this.#services.keys();
  }

  has(service: string): boolean {
    return this.#services.has(service);
  }

  /** Newest minute of a service, ms. */
  newest(service: string): number | undefined {
    const rows = this.#services.get(service);
    if (rows === undefined) return undefined;
    sortMinutes(rows);
    const last = rows.minutes.at(-1);
    return last === undefined ? undefined : last * minuteMs;
  }

  late(service: string): number {
    return this.#services.get(service)?.late ?? 0;
  }

  /** Another batch is the one from which lateness counts. */
  countLateBefore(lateBefore: number): void {
    if (lateBefore === this.#lateBefore) return;
    this.#lateBefore = lateBefore;
    for (const rows of this.#services.values()) {
      rows.late = 0;
      for (const [minute, at] of rows.index) {
        if (minute * minuteMs < lateBefore) rows.late += this.#page(at)[offsetOf(at) + 9] as number;
      }
    }
  }

  /** Records of a row, 0 if there is none. */
  messagesOf(service: string, minute: number): number {
    const at = this.#services.get(service)?.index.get(minute / minuteMs);
    return at === undefined ? 0 : (this.#page(at)[offsetOf(at) + 9] as number);
  }

  /** Puts a whole row in the place of what was there. */
  set(service: string, minute: number, row: MinuteRow): void {
    const rows = this.#rowsOf(service);
    const at = this.#place(rows, minute);
    const before = this.#page(at)[offsetOf(at) + 9] as number;
    this.#write(at, row);
    this.#count(rows, minute, row.messages - before);
  }

  /** Merges a row into what is there. */
  merge(service: string, minute: number, row: MinuteRow): void {
    const rows = this.#rowsOf(service);
    const known = rows.index.get(minute / minuteMs);
    if (known === undefined) {
      this.#write(this.#place(rows, minute), row);
    } else {
      const merged = this.#read(known, this.#scratch);
      mergeInto(merged, row);
      this.#write(known, merged);
    }
    this.#count(rows, minute, row.messages);
  }

  mergeTable(other: RowTable): void {
    other.each((service, minute, row) => this.merge(service, minute, row));
  }

  /** Rows of a part's file. */
  mergeColumns(columns: RowColumns): void {
    const services = columns.services ?? [];
    for (let i = 0; i < columns.length; i++) {
      this.merge(services[i] as string, columns.minute[i] as number, readColumnsRow(columns, i, this.#other));
    }
  }

  /** Merges a row into `target`, if there is one. @returns whether there was. */
  mergeOnto(service: string, minute: number, target: MinuteRow): boolean {
    const at = this.#services.get(service)?.index.get(minute / minuteMs);
    if (at === undefined) return false;
    mergeInto(target, this.#read(at, this.#scratch));
    return true;
  }

  /** Every row, in no order. `row` is only valid during the call. */
  each(visit: (service: string, minute: number, row: MinuteRow) => void): void {
    const row = emptyRow();
    for (const [service, { index }] of this.#services) {
      for (const [minute, at] of index) visit(service, minute * minuteMs, this.#read(at, row));
    }
  }

  /** A service's rows with from <= minute < to, in order of time. `row` is only valid during the call. */
  eachBetween(service: string, from: number, to: number, visit: (minute: number, row: MinuteRow) => void): void {
    const rows = this.#services.get(service);
    if (rows === undefined) return;
    sortMinutes(rows);
    const { minutes, index } = rows;
    const end = to / minuteMs;
    const row = emptyRow();
    for (let i = lowerBoundOf(minutes, from / minuteMs); i < minutes.length; i++) {
      const minute = minutes[i] as number;
      if (minute >= end) return;
      visit(minute * minuteMs, this.#read(index.get(minute) as number, row));
    }
  }

  /** For tests and small tables: the rows, sorted by service and minute. */
  toRows(): KeyedRow[] {
    const all: KeyedRow[] = [];
    for (const service of [...this.#services.keys()].sort()) {
      this.eachBetween(service, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, (minute, row) =>
        all.push({ service, minute, row: { ...row } }),
      );
    }
    return all;
  }

  #page(at: number): Float64Array {
    return this.#pages[Math.floor(at / rowsPerPage)] as Float64Array;
  }

  #rowsOf(service: string): ServiceRows {
    let rows = this.#services.get(service);
    if (rows === undefined) {
      rows = { index: new Map(), minutes: [], isSorted: true, late: 0 };
      this.#services.set(service, rows);
    }
    return rows;
  }

  #place(rows: ServiceRows, minute: number): number {
    const number = minute / minuteMs;
    const known = rows.index.get(number);
    if (known !== undefined) return known;
    const at = this.#length++;
    if (at % rowsPerPage === 0) this.#pages.push(new Float64Array(rowsPerPage * width));
    const last = rows.minutes.at(-1);
    if (last !== undefined && number < last) rows.isSorted = false;
    rows.index.set(number, at);
    rows.minutes.push(number);
    return at;
  }

  #count(rows: ServiceRows, minute: number, messages: number): void {
    this.#messages += messages;
    if (minute < this.#lateBefore) rows.late += messages;
  }

  #write(at: number, row: MinuteRow): void {
    const page = this.#page(at);
    const o = offsetOf(at);
    if (isWide(row)) this.#wide.set(at, { cpu: row.cpu, ram: row.ram, disk: row.disk });
    else if (this.#wide.size > 0) this.#wide.delete(at);
    page[o] = Number(row.cpu);
    page[o + 1] = Number(row.ram);
    page[o + 2] = Number(row.disk);
    page[o + 3] = row.maxCpu;
    page[o + 4] = row.maxCpuAt;
    page[o + 5] = row.maxRam;
    page[o + 6] = row.maxRamAt;
    page[o + 7] = row.maxDisk;
    page[o + 8] = row.maxDiskAt;
    page[o + 9] = row.messages;
  }

  #read(at: number, row: MinuteRow): MinuteRow {
    const page = this.#page(at);
    const o = offsetOf(at);
    row.cpu = page[o] as number;
    row.ram = page[o + 1] as number;
    row.disk = page[o + 2] as number;
    row.maxCpu = page[o + 3] as number;
    row.maxCpuAt = page[o + 4] as number;
    row.maxRam = page[o + 5] as number;
    row.maxRamAt = page[o + 6] as number;
    row.maxDisk = page[o + 7] as number;
    row.maxDiskAt = page[o + 8] as number;
    row.messages = page[o + 9] as number;
    const wide = this.#wide.size > 0 ? this.#wide.get(at) : undefined;
    if (wide !== undefined) Object.assign(row, wide);
    return row;
  }
}

const offsetOf = (at: number): number => (at % rowsPerPage) * width;

const sortMinutes = (rows: ServiceRows): void => {
  if (rows.isSorted) return;
  rows.minutes.sort((a, b) => a - b);
  rows.isSorted = true;
};

/** The first index whose value is not below `value`. */
const lowerBoundOf = (sorted: readonly number[], value: number): number => {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
};
