/** The terms of an answer: what it is an answer of, and what is known to be missing from it. */
import type { Terms } from '../../protocol/messages/view.js';
import { sumRefused } from './counts.js';
import { cutOf, positionOf, type View } from './view.js';

/** Without `newest`, which takes files. Missing and refused count since the data was made. */
export const termsOf = (view: View, services: readonly string[] | undefined): Omit<Terms, 'newest'> => {
  let refused = sumRefused(view.live.refused, services);
  for (const service of services ?? Object.keys(view.batch?.manifest.refused ?? {})) {
    const reasons = ownValue(view.batch?.manifest.refused, service) ?? {};
    for (const reason of Object.keys(reasons)) refused += reasons[reason] as number;
  }
  let missing = 0;
  let late = sumLate(view.live.rows, services);
  for (const partition of view.partitions) {
    for (const open of partition.chain) {
      refused += sumRefused(open.refused, services);
      late += sumLate(open.rows, services);
    }
    missing += sumMissing(partition, services);
  }
  return {
    batch: view.batch?.batch ?? null,
    cut: [...cutOf(view)],
    position: [...positionOf(view)],
    missing: Math.min(missing, Number.MAX_SAFE_INTEGER), // an n may be 2^53 - 1
    refused,
    late,
  };
};

/** A service may be named `__proto__`. */
const ownValue = <T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined =>
  record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;

const sumLate = (rows: View['live']['rows'], services: readonly string[] | undefined): number => {
  let late = 0;
  for (const service of services ?? rows.services) late += rows.late(service);
  return late;
};

/** The newest count of each service counts: that of the open part before that of the stored ones. */
const sumMissing = (partition: View['partitions'][number], services: readonly string[] | undefined): number => {
  const newestFirst = [...partition.chain.map(({ missing }) => missing).reverse(), partition.missing];
  const names = new Set(services ?? newestFirst.flatMap((counts) => [...counts.keys()]));
  let missing = 0;
  for (const service of names) {
    missing += newestFirst.find((counts) => counts.has(service))?.get(service) ?? 0;
  }
  return missing;
};
