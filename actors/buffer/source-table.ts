/** The buffer's table: for each source the ranges of n that it took, and what is missing between them. */
import type { Missing } from '../../protocol/messages/fields.js';
import { decodeName, parseSubject } from '../../protocol/name-code.js';
import { addRange, countHoles, hasNumber, type Range, type Ranges } from '../../protocol/range.js';

/** What is missing by service has to fit into a segment, a part and an update: JSON's bytes. */
export const missingBytesMax = 64 * 1024;
/** Of services and sources that are made up there is no end: what has no more room counts to nobody, as a gateway's does. */
const nobody = '';
const countBytes = 20;

/** B6: a reading that would open one more is not taken. */
export const rangesMax = 64;
/**
 * The same where another source passes the reading on, under a number of its own (an import): a line that cannot be parsed
 * leaves a hole that nobody will ever fill or give up, and the passer would wait for ever.
 */
export const passedOnRangesMax = 4_096;

export interface SourceEntry {
  readonly subject: string;
  readonly agent: string;
  /** The service that its missing readings count to; '' for a gateway. */
  readonly service: string;
  taken: Ranges;
  /** Everything below is closed: taken, refused, or given up (Tidemark-Oldest). */
  closedBelow: number;
  holes: number;
  /** What its n = 1 was, for whoever comes with another one; undefined: not known (any more). */
  first: string | undefined;
  /** A recovered table may have had more ranges than B6 allows, for what was refused is not in raw files: one more may open then. */
  rangesAtBeginning: number;
  /** Receipt time of its last message, ms: a source that is silent for long is forgotten. */
  heardAt: number;
}

export interface SourceTable {
  readonly entries: Map<string, SourceEntry>;
  /** Each subject's source that was heard last: most have one, and need no key to be made. */
  readonly lastHeard: Map<string, SourceEntry>;
  /** Missing n by service. A service that is not in it when it has no more room never will be: it only grows. */
  readonly missing: Map<string, number>;
  missingBytes: number;
  /** Services whose count changed since the last segment. */
  readonly missingChanged: Set<string>;
}

export const emptyTable = (): SourceTable => ({
  entries: new Map(),
  lastHeard: new Map(),
  missing: new Map(),
  missingBytes: 2,
  missingChanged: new Set(),
});

/** A subject has no spaces, so this is unambiguous. */
const keyOf = (subject: string, agent: string): string => `${subject} ${agent}`;

const serviceOf = (subject: string): string => {
  const parsed = parseSubject(subject);
  return parsed?.kind === 'host' ? (decodeName(parsed.serviceCode) ?? parsed.serviceCode) : '';
};

export const entryOf = (table: SourceTable, subject: string, agent: string, heardAt: number): SourceEntry => {
  const last = table.lastHeard.get(subject);
  if (last?.agent === agent) {
    last.heardAt = heardAt;
    return last;
  }
  const key = keyOf(subject, agent);
  let entry = table.entries.get(key);
  if (entry === undefined) {
    entry = {
      subject,
      agent,
      service: serviceOf(subject),
      taken: [],
      closedBelow: 1,
      holes: 0,
      first: undefined,
      rangesAtBeginning: 0,
      heardAt,
    };
    table.entries.set(key, entry);
  }
  entry.heardAt = heardAt;
  table.lastHeard.set(subject, entry);
  return entry;
};

/** copy: it was taken before; full: it would open one range too many (B6); free: it may be taken. */
export const lookUp = (entry: SourceEntry, n: number, allowed = rangesMax): 'copy' | 'full' | 'free' => {
  const ranges = Math.max(allowed, entry.rangesAtBeginning + 1);
  const last = entry.taken.at(-1);
  if (last === undefined || n === last[1]) return 'free';
  if (n > last[1]) return entry.taken.length < ranges ? 'free' : 'full';
  if (hasNumber(entry.taken, n)) return 'copy';
  const touches = entry.taken.some(([from, to]) => from === n + 1 || to === n);
  return touches || entry.taken.length < ranges ? 'free' : 'full';
};

/** Takes [from, to) of a source; its holes count as missing until they are filled. */
export const take = (table: SourceTable, entry: SourceEntry, from: number, to: number): void => {
  const before = entry.holes;
  takeAgain(entry, from, to);
  if (entry.holes === before) return;
  const service = missingNameOf(table, entry.service);
  setMissing(table, service, (table.missing.get(service) ?? 0) + entry.holes - before);
  table.missingChanged.add(service);
};

/** The same where what is missing is known already: a segment's head says it. */
export const takeAgain = (entry: SourceEntry, from: number, to: number): void => {
  const last = entry.taken.at(-1) as [number, number] | undefined;
  if (last !== undefined && last[1] === from) {
    last[1] = to; // the next in order: the holes stay as they are
    return;
  }
  entry.taken = addRange(entry.taken, from, to).map(([start, end]): Range => [start, end]);
  entry.holes = countHoles(entry.taken, 1);
};

const missingBytesOf = (service: string): number => Buffer.byteLength(JSON.stringify(service)) + countBytes;

/** Which service's count a source's holes are in: its own, if that has room. */
const missingNameOf = (table: SourceTable, service: string): string =>
  table.missing.has(service) || table.missingBytes + missingBytesOf(service) <= missingBytesMax ? service : nobody;

export const setMissing = (table: SourceTable, service: string, count: number): void => {
  if (!table.missing.has(service)) table.missingBytes += missingBytesOf(service);
  table.missing.set(service, count);
};

/** Forgets sources that were last heard before `heardBefore`. What is missing of theirs stays missing. */
export const forgetSilent = (table: SourceTable, heardBefore: number): void => {
  for (const [key, entry] of table.entries) {
    if (entry.heardAt >= heardBefore) continue;
    table.entries.delete(key);
    if (table.lastHeard.get(entry.subject) === entry) table.lastHeard.delete(entry.subject);
  }
};

/** An n may be 2^53 - 1: what sources miss together may pass what a message can say. */
const toldCount = (count: number): number => Math.min(Math.max(count, 0), Number.MAX_SAFE_INTEGER);

/** Missing counts that changed since the last call. */
export const takeMissingChanges = (table: SourceTable): Missing => {
  const changes = Object.fromEntries([...table.missingChanged].map((service) => [service, toldCount(table.missing.get(service) ?? 0)]));
  table.missingChanged.clear();
  return changes;
};

/** A snapshot's content: [subject, agent, heardAt, closedBelow, ranges, what n = 1 was] for each source, and the missing counts. */
export interface TableSnapshot {
  readonly format: 1;
  readonly offset: number;
  readonly sources: readonly (readonly [string, string, number, number, Ranges, (string | null)?])[];
  readonly missing: readonly (readonly [string, number])[];
}

export const toSnapshot = (table: SourceTable, offset: number): string =>
  JSON.stringify({
    format: 1,
    offset,
    sources: [...table.entries.values()].map((e) => [e.subject, e.agent, e.heardAt, e.closedBelow, e.taken, e.first ?? null]),
    missing: [...table.missing].map(([service, count]) => [service, toldCount(count)] as const),
  } satisfies TableSnapshot);

export const fromSnapshot = (text: string): SourceTable => {
  const snapshot = JSON.parse(text) as TableSnapshot;
  const table = emptyTable();
  for (const [subject, agent, heardAt, closedBelow, taken, first] of snapshot.sources) {
    const entry = entryOf(table, subject, agent, heardAt);
    entry.taken = taken.map(([from, to]): Range => [from, to]);
    entry.closedBelow = closedBelow;
    entry.holes = countHoles(entry.taken, 1);
    entry.first = first ?? undefined;
    entry.rangesAtBeginning = taken.length > rangesMax ? taken.length : 0;
  }
  for (const [service, count] of snapshot.missing) setMissing(table, service, count);
  return table;
};
