/**
 * Follows the open part of one partition from realtime.updated: rule W1, as a pure transition.
 *
 * W1  An update is applied only if its `from` is the open part's and since <= its to <= to, or if from = since = its to:
 *     then the part is closed and the next one open. One that ends before is old; any other shows that something was missed.
 *
 * A closed part stays at the head of the chain until STORED names it: what an owner that was fenced has closed may never
 * be stored so, and the next owner goes on with it.
 */

import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';
import { fromTuple, type RowTuple } from '../../protocol/messages/row-tuple.js';
import type { KeyedRow } from '../../protocol/minute-row.js';
import { type MissingCounts, type RefusedCounts, raiseRefused, setMissing } from './counts.js';
import { RowTable } from './row-table.js';

/** Offsets [from, to) of a partition, from updates alone. */
export interface OpenPart {
  readonly from: number;
  to: number;
  readonly rows: RowTable;
  readonly refused: RefusedCounts;
  readonly missing: MissingCounts;
}

/** Parts next to each other; the last is open. Never empty. */
export type Chain = OpenPart[];

/** applied: it counts. ignored: nothing new in it. rebuild: an update before it was missed, or another owner cut otherwise. */
export type Outcome = 'applied' | 'ignored' | 'rebuild';

export const openPart = (from: number, lateBefore: number): OpenPart => ({
  from,
  to: from,
  rows: new RowTable(lateBefore),
  refused: new Map(),
  missing: new Map(),
});

export const lastOf = (chain: Chain): OpenPart => chain[chain.length - 1] as OpenPart;

/** What W1 says of an update, for a reader whose open part is [from, to). */
export const judge = (open: { from: number; to: number }, update: { from: number; since: number; to: number }): Outcome | 'next' => {
  if (update.to < open.to) return 'ignored';
  if (update.from === open.from && update.since <= open.to) return 'applied';
  if (update.from === open.to && update.since === update.from) return 'next';
  return update.to === open.to ? 'ignored' : 'rebuild';
};

/** The part that an update continues though another owner had closed it there: the next owner goes on with it. */
const reopened = (chain: Chain, update: RealtimeUpdated): number => {
  for (let i = chain.length - 2; i >= 0; i--) {
    const part = chain[i] as OpenPart;
    if (update.from === part.from) return update.since <= part.to && update.to > part.to ? i : -1;
  }
  return -1;
};

/** Records that the open part would hold with these rows in the place of its own. */
const messagesWith = (open: OpenPart, rows: readonly KeyedRow[]): number => {
  let messages = open.rows.messages;
  for (const { service, minute, row } of rows) messages += row.messages - open.rows.messagesOf(service, minute);
  return messages;
};

export interface Following {
  /** For parts that begin. */
  readonly lateBefore: number;
  /** A chain that nobody answers from may go back, to follow another owner. */
  readonly mayGoBack: boolean;
  /** Hears of every row that became another. */
  readonly changed: (service: string, minute: number) => void;
}

/**
 * Applies an update to a chain, whole or not at all: an update after which the records in the rows are not the offsets in
 * the range does not fit, whatever it says.
 */
export const followUpdate = (chain: Chain, update: RealtimeUpdated, { lateBefore, mayGoBack, changed }: Following): Outcome => {
  const again = reopened(chain, update);
  const takesPlace = again >= 0 && (mayGoBack || update.to >= lastOf(chain).to);
  const verdict = takesPlace ? 'applied' : judge(lastOf(chain), update);
  if (verdict === 'ignored' || verdict === 'rebuild') return verdict;
  const open = verdict === 'next' ? openPart(update.from, lateBefore) : takesPlace ? (chain[again] as OpenPart) : lastOf(chain);
  const rows = update.rows.map((tuple) => fromTuple(tuple as RowTuple));
  if (messagesWith(open, rows) !== update.to - update.from) return 'rebuild';
  if (takesPlace) chain.length = again + 1;
  for (const { service, minute, row } of rows) {
    if (row.messages !== open.rows.messagesOf(service, minute)) changed(service, minute);
    open.rows.set(service, minute, row);
  }
  open.to = update.to;
  raiseRefused(open.refused, update.refused);
  setMissing(open.missing, update.missing);
  if (verdict === 'next') chain.push(open);
  return 'applied';
};
