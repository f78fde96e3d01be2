/**
 * Follows the open part of one partition from realtime.updated: rule W1, as a pure transition.
 *
 * W1  An update is applied only if its `from` is the open part's and since <= its to <= to, or if from = since = its to:
 *     then the part is closed and the next one open. One that ends before is old; any other shows that something was missed.
 *
 * A closed part stays at the head of the chain until STORED names it: what an owner that was fenced has closed may never
 * be stored so.
 */
import { fromTuple, type RowTuple } from '../../protocol/messages/row-tuple.js';
import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';
import type { KeyedRow } from '../../protocol/minute-row.js';
import { type MissingCounts, raiseRefused, type RefusedCounts, setMissing } from './counts.js';
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

export const openPart = (from: number, lateBefore: number): OpenPart =>
  ({ from, to: from, rows: new RowTable(lateBefore), refused: new Map(), missing: new Map() });

export const lastOf = (chain: Chain): OpenPart => chain[chain.length - 1] as OpenPart;

/** What W1 says of an update, for a reader whose open part is [from, to). */
export const judge = (open: { from: number; to: number }, update: { from: number; since: number; to: number }): Outcome | 'next' => {
  if (update.to < open.to) return 'ignored';
  if (update.from === open.from && update.since <= open.to) return 'applied';
  if (update.from === open.to && update.since === update.from) return 'next';
  return update.to === open.to ? 'ignored' : 'rebuild';
};

/** Records that the open part would hold with these rows in the place of its own. */
const messagesWith = (open: OpenPart, rows: readonly KeyedRow[]): number => {
  let messages = open.rows.messages;
  for (const { service, minute, row } of rows) messages += row.messages - open.rows.messagesOf(service, minute);
  return messages;
};

/**
 * Applies an update to a chain, whole or not at all: an update after which the records in the rows are not the offsets in
 * the range does not fit, whatever it says. `changed` hears of every row that became another.
 */
export const followUpdate = (
  chain: Chain, update: RealtimeUpdated, lateBefore: number, changed: (service: string, minute: number) => void,
): Outcome => {
  const verdict = judge(lastOf(chain), update);
  if (verdict === 'ignored' || verdict === 'rebuild') return verdict;
  const open = verdict === 'next' ? openPart(update.from, lateBefore) : lastOf(chain);
  const rows = update.rows.map((tuple) => fromTuple(tuple as RowTuple));
  if (messagesWith(open, rows) !== update.to - update.from) return 'rebuild';
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
