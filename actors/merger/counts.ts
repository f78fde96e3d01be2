/** Counts of refused readings by service and reason, and of missing ones by service. */
import type { Missing, Refused } from '../../protocol/messages/fields.js';

export type RefusedCounts = Map<string, Map<string, number>>;
export type MissingCounts = Map<string, number>;

const combine = (into: RefusedCounts, more: Refused, combined: (was: number, count: number) => number): void => {
  for (const service of Object.keys(more)) {
    let reasons = into.get(service);
    if (reasons === undefined) {
      reasons = new Map();
      into.set(service, reasons);
    }
    const counts = more[service] as Record<string, number>;
    for (const reason of Object.keys(counts)) {
      reasons.set(reason, combined(reasons.get(reason) ?? 0, counts[reason] as number));
    }
  }
};

/** Adds the counts of another range. */
export const addRefused = (into: RefusedCounts, more: Refused): void => combine(into, more, (was, count) => was + count);

/** Counts over the same beginning, seen again: they only grow, so the higher one is the later one. */
export const raiseRefused = (into: RefusedCounts, more: Refused): void => combine(into, more, Math.max);

export const setMissing = (into: MissingCounts, now: Missing): void => {
  for (const service of Object.keys(now)) into.set(service, now[service] as number);
};

/** How many were refused, of these services, or of all and of none. */
export const sumRefused = (counts: RefusedCounts, services?: Iterable<string>): number => {
  let sum = 0;
  for (const service of services ?? counts.keys()) {
    for (const count of counts.get(service)?.values() ?? []) sum += count;
  }
  return sum;
};
