/** A proved batch view, as its manifest names it: which file holds a service's month. Files never change. */
import type { Manifest, MonthFile } from '../../protocol/messages/batch.js';
import type { Position } from '../../protocol/range.js';

export interface BatchView {
  readonly batch: string;
  readonly cut: Position;
  /** ms: a record at or after the cut, of a minute that was over by then, is late. */
  readonly requestedAt: number;
  /** By service, its months in order. */
  readonly months: ReadonlyMap<string, readonly MonthFile[]>;
  readonly manifest: Manifest;
}

export const toBatchView = (manifest: Manifest): BatchView => {
  const months = new Map<string, MonthFile[]>();
  for (const file of manifest.files) {
    const files = months.get(file.service);
    if (files === undefined) months.set(file.service, [file]);
    else files.push(file);
  }
  for (const files of months.values()) files.sort((a, b) => (a.month < b.month ? -1 : 1));
  return { batch: manifest.batch, cut: manifest.cut, requestedAt: manifest.requestedAt, months, manifest };
};

/** [from, to) in ms of a month YYYY-MM, UTC. */
export const monthSpan = (month: string): readonly [from: number, to: number] => {
  const year = Number(month.slice(0, -3));
  const index = Number(month.slice(-2)) - 1;
  return [Date.UTC(year, index), Date.UTC(year, index + 1)];
};

/** A service's files that may hold minutes of [from, to). */
export const monthsBetween = (view: BatchView | null, service: string, from: number, to: number): MonthFile[] =>
  (view?.months.get(service) ?? []).filter(({ month }) => {
    const [start, end] = monthSpan(month);
    return start < to && end > from;
  });
