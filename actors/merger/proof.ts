/**
 * The proof: the old batch view and the lower half, merged, against the new batch view, row by row, to the bit.
 *
 * A few months at a time, so memory stays bounded by two large month files or some hundred small ones. A file that both
 * manifests name needs no comparison, for files never change; but then the lower half must hold nothing of that month.
 */
import type { RowColumns } from '../../infra/sql/sql.js';
import type { Manifest, MonthFile } from '../../protocol/messages/batch.js';
import { emptyRow, equalRows, type MinuteRow, mergeInto } from '../../protocol/minute-row.js';
import { sumPosition } from '../../protocol/range.js';
import { formatMinute, monthOf } from '../../protocol/time.js';
import { type BatchView, monthSpan, toBatchView } from './batch-view.js';
import { readColumnsRow } from './columns.js';
import { groupsOfFiles, type MonthCache } from './month-cache.js';
import type { RowTable } from './row-table.js';
import { tuplesWriter } from './row-text.js';

export interface Comparison {
  /** Of the whole new batch view. */
  readonly records: number;
  readonly rows: number;
  /** Rows that differ, 1 more for each file with another newest minute than its manifest says, and 1 if the records are not as many as the offsets below the cut. */
  readonly differences: number;
  /** Where the first ones are, for people. */
  readonly examples: string[];
}

export const examplesMax = 10;

/** @throws PromiseError when a file is not what its manifest names; FileMissingError */
export const compareViews = async (old: BatchView | null, lower: RowTable, manifest: Manifest, months: MonthCache): Promise<Comparison> => {
  const fresh = toBatchView(manifest);
  const found = new Found();
  for (const group of groupsOfFiles(monthsToCompare(old, lower, fresh), filesOf)) {
    const files = group.flatMap(filesOf);
    const read = await months.loadOnce(files);
    const byFile = new Map(files.map((file, i) => [file, read[i]]));
    const rowsOf = (file: MonthFile | undefined) => (file === undefined ? undefined : byFile.get(file));
    for (const month of group) {
      const newRows = rowsOf(month.after);
      compareMonth(month, rowsOf(month.before), newRows, found);
      if (month.before && month.after && newRows) months.succeed(month.before, month.after, newRows);
    }
    await new Promise(setImmediate); // answers go on meanwhile
  }
  const records = manifest.files.reduce((sum, file) => sum + file.msg_num, 0);
  const rows = manifest.files.reduce((sum, file) => sum + file.rows, 0);
  const belowCut = sumPosition(manifest.cut);
  if (records !== belowCut) found.add(`the rows hold ${records} records, but ${belowCut} are below the cut`);
  return { records, rows, differences: found.differences, examples: found.examples };
};

/** One service's month, of which something changed, or should have. */
interface ComparedMonth {
  readonly service: string;
  readonly before: MonthFile | undefined;
  /** Of the lower half, in order of time. */
  readonly added: readonly [number, MinuteRow][];
  readonly after: MonthFile | undefined;
}

const filesOf = ({ before, after }: ComparedMonth): MonthFile[] => [before, after].filter((file) => file !== undefined);

function* monthsToCompare(old: BatchView | null, lower: RowTable, fresh: BatchView): Generator<ComparedMonth> {
  for (const [service, names] of monthsOfAll(old, lower, fresh)) {
    for (const month of [...names].sort()) {
      const before = fileOf(old, service, month);
      const after = fileOf(fresh, service, month);
      const [from, to] = monthSpan(month);
      const added: [number, MinuteRow][] = [];
      lower.eachBetween(service, from, to, (minute, row) => added.push([minute, { ...row }]));
      if (added.length === 0 && before !== undefined && before.path === after?.path && before.sha256 === after.sha256) continue;
      yield { service, before, added, after };
    }
  }
}

class Found {
  differences = 0;
  readonly examples: string[] = [];

  add(example: string): void {
    this.differences += 1;
    if (this.examples.length < examplesMax) this.examples.push(example);
  }
}

const fileOf = (view: BatchView | null, service: string, month: string): MonthFile | undefined =>
  view?.months.get(service)?.find((file) => file.month === month);

/** Every service with every month in which any of the three has a row. */
const monthsOfAll = (old: BatchView | null, lower: RowTable, fresh: BatchView): Map<string, Set<string>> => {
  const all = new Map<string, Set<string>>();
  const add = (service: string, month: string): void => {
    let months = all.get(service);
    if (months === undefined) {
      months = new Set();
      all.set(service, months);
    }
    months.add(month);
  };
  for (const view of [old, fresh]) {
    for (const [service, files] of view?.months ?? []) for (const { month } of files) add(service, month);
  }
  lower.each((service, minute) => add(service, monthOf(minute)));
  return all;
};

const lastTime = Number.POSITIVE_INFINITY;

const compareMonth = (
  { service, added, after }: ComparedMonth,
  oldRows: RowColumns | undefined,
  newRows: RowColumns | undefined,
  found: Found,
): void => {
  const newest = newRows?.minute.at(-1);
  if (after?.newest !== undefined && after.newest !== newest) {
    const is = newest === undefined ? 'none' : formatMinute(newest);
    found.add(`${after.path}: the manifest says that its newest minute is ${formatMinute(after.newest)}, it is ${is}`);
  }
  const expected = emptyRow();
  const scratch = emptyRow();
  const actual = emptyRow();
  const minuteAt = (columns: RowColumns | undefined, i: number): number => columns?.minute[i] ?? lastTime;
  for (let o = 0, a = 0, n = 0; ; ) {
    const minute = Math.min(minuteAt(oldRows, o), added[a]?.[0] ?? lastTime, minuteAt(newRows, n));
    if (minute === lastTime) return;
    Object.assign(expected, emptyRow());
    Object.assign(actual, emptyRow());
    if (minuteAt(oldRows, o) === minute) mergeInto(expected, readColumnsRow(oldRows as RowColumns, o++, scratch));
    if (added[a]?.[0] === minute) mergeInto(expected, (added[a++] as [number, MinuteRow])[1]);
    if (minuteAt(newRows, n) === minute) readColumnsRow(newRows as RowColumns, n++, actual);
    if (!equalRows(expected, actual)) found.add(describe(service, minute, expected, actual));
  }
};

const describe = (service: string, minute: number, expected: MinuteRow, actual: MinuteRow): string => {
  const write = tuplesWriter(service);
  const text = (row: MinuteRow): string => (row.messages === 0 ? 'no row' : write(minute, row));
  return `${JSON.stringify(service)} ${formatMinute(minute)}: the old view and the real-time rows give ${text(expected)}, the new batch view ${text(actual)}`;
};
