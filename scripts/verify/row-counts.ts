/**
 * Minute rows, counted by code of its own: neither the actors' algebra nor their SQL.
 *
 * A row is thirteen doubles in a slab: for each reading its sum in two limbs (high * 2^52 + low, so it is exact whatever
 * comes), its peak and the earliest time of it; then the number of records.
 */
import type { RowTuple } from '../../protocol/messages/row-tuple.js';
import { formatMinute } from '../../protocol/time.js';
import type { CountedRecord } from './record-line.js';

const width = 13;
const messagesAt = 12;
const slabRows = 4_096;
const limb = 2 ** 52;
const minuteMs = 60_000;

export class RowCounts {
  rows = 0;
  records = 0;
  readonly #slabs: Float64Array[] = [];
  /** Service to minute (ms) to number of the row. */
  readonly #index = new Map<string, Map<number, number>>();

  add({ service, at, cpu, ram, disk }: CountedRecord): void {
    const minute = Math.floor(at / minuteMs) * minuteMs;
    const row = this.#rowOf(service, minute);
    const slab = this.#slabs[Math.floor(row / slabRows)] as Float64Array;
    const start = (row % slabRows) * width;
    addReading(slab, start, cpu, at);
    addReading(slab, start + 4, ram, at);
    addReading(slab, start + 8, disk, at);
    slab[start + messagesAt] = (slab[start + messagesAt] as number) + 1;
    this.records += 1;
  }

  /**
   * Compares a row of an answer with what was counted, and lets go of that. @returns what differs.
   */
  compare(tuple: RowTuple): string | undefined {
    const [service, minute, ...numbers] = tuple as [string, number, ...(string | number)[]];
    const minutes = this.#index.get(service);
    const row = minutes?.get(minute);
    if (minutes === undefined || row === undefined) return 'the view has a row, no record was counted (or the view has it twice)';
    minutes.delete(minute);
    const counted = this.#numbersOf(row);
    const isEqual = counted.every((number, i) => String(number) === String(numbers[i]));
    return isEqual ? undefined : `the view has ${numbers.join(' ')}, counted were ${counted.join(' ')}`;
  }

  /** The rows that no answer had. */
  *left(): Iterable<{ service: string; time: string; records: number }> {
    for (const [service, minutes] of this.#index) {
      for (const [minute, row] of minutes) {
        yield { service, time: formatMinute(minute), records: Number(this.#numbersOf(row).at(-1)) };
      }
    }
  }

  #rowOf(service: string, minute: number): number {
    let minutes = this.#index.get(service);
    if (minutes === undefined) {
      minutes = new Map();
      this.#index.set(service, minutes);
    }
    let row = minutes.get(minute);
    if (row === undefined) {
      row = this.rows++;
      minutes.set(minute, row);
      if (row % slabRows === 0) this.#slabs.push(new Float64Array(slabRows * width));
      const slab = this.#slabs.at(-1) as Float64Array;
      const start = (row % slabRows) * width;
      for (const peak of [2, 6, 10]) slab[start + peak] = -1;
    }
    return row;
  }

  /** In the order of a tuple: three sums, three times a peak and its time, the number of records. */
  #numbersOf(row: number): (number | bigint)[] {
    const slab = this.#slabs[Math.floor(row / slabRows)] as Float64Array;
    const start = (row % slabRows) * width;
    const number = (i: number): number => slab[start + i] as number;
    return [
      ...[0, 4, 8].map((i) => BigInt(number(i)) + BigInt(number(i + 1)) * BigInt(limb)),
      ...[2, 3, 6, 7, 10, 11, messagesAt].map(number),
    ];
  }
}

const addReading = (slab: Float64Array, at: number, value: number, time: number): void => {
  let low = (slab[at] as number) + value;
  if (low >= limb) {
    low -= limb;
    slab[at + 1] = (slab[at + 1] as number) + 1;
  }
  slab[at] = low;
  const peak = slab[at + 2] as number;
  if (value > peak) {
    slab[at + 2] = value;
    slab[at + 3] = time;
  } else if (value === peak && time < (slab[at + 3] as number)) slab[at + 3] = time;
};
