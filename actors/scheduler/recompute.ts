/** Which dates are made anew from all their raw data: those that got records since, then those proved longest ago. */
import type { Manifest } from '../../protocol/messages/batch.js';
import { dateOfRawPath, type RawFile } from './plan.js';

/** What a machine like ours maps, bytes a second; a tenth of the period is spent at most. */
const bytesPerSecond = 20_000_000;
const share = 0.1;

interface DateState {
  readonly date: string;
  bytes: number;
  newestBatch: string;
}

/** @param files raw files below the base's cut. @returns dates in order, as many as the time allows, at least one. */
export const chooseDates = (files: Iterable<RawFile>, recomputed: Manifest['recomputed'], everyMs: number): string[] => {
  const dates = new Map<string, DateState>();
  for (const file of files) {
    const date = dateOfRawPath(file.path);
    const known = dates.get(date) ?? { date, bytes: 0, newestBatch: '' };
    known.bytes += file.bytes;
    const batch = /(\d+)\.commits/.exec(file.index ?? '')?.[1] ?? '';
    if (Number(batch) > Number(known.newestBatch)) known.newestBatch = batch;
    dates.set(date, known);
  }
  const got = ({ date, newestBatch }: DateState): boolean => Number(newestBatch) > Number(recomputed[date]?.batch ?? 0);
  const at = ({ date }: DateState): number => recomputed[date]?.at ?? 0;
  const order = [...dates.values()].sort((a, b) => Number(got(b)) - Number(got(a)) || at(a) - at(b) || (a.date < b.date ? -1 : 1));
  const bytesMax = (everyMs / 1_000) * share * bytesPerSecond;
  const chosen: string[] = [];
  let bytes = 0;
  for (const one of order) {
    if (chosen.length > 0 && bytes + one.bytes > bytesMax) break;
    chosen.push(one.date);
    bytes += one.bytes;
  }
  return chosen;
};
