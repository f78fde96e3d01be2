/**
 * The merged view of one merger: the proved batch view, the stored parts from its cut on, and the open parts.
 *
 * This is the state; view.ts and swap.ts hold its transitions, without I/O. A transition is one synchronous step, so no
 * answer sees half of it; what has to be read from files is read before and handed in.
 */
import type { RowColumns } from '../../infra/sql/sql.js';
import type { Manifest } from '../../protocol/messages/batch.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import { minuteMs } from '../../protocol/minute-row.js';
import { type Position, zeroPosition } from '../../protocol/range.js';
import { type BatchView, toBatchView } from './batch-view.js';
import { Changes } from './changes.js';
import type { MissingCounts, RefusedCounts } from './counts.js';
import { type Chain, lastOf, openPart } from './realtime-reader.js';
import { RowTable } from './row-table.js';

/** Stored parts from a cut on. */
export interface StoredRows {
  rows: RowTable;
  refused: RefusedCounts;
}

export interface PendingPart {
  readonly part: PartStored;
  readonly rows: RowTable | RowColumns | null;
}

/** What is built beside a partition whose updates do not continue what is here. */
export interface Beside {
  readonly pending: PendingPart[];
  chain: Chain;
}

export interface PartitionView {
  /** End of the newest part that came from STORED. */
  storedTo: number;
  /** From the end of what is in `live` on. */
  chain: Chain;
  beside: Beside | null;
  /** How far it ever got beside: going back and forth between two owners is not getting on. */
  besideReached: number;
  /** An update was missed: those behind it wait for a replay, or for the part. */
  missed: boolean;
  /** Parts in `live`, for the halves of the next batch. */
  parts: PartStored[];
  /** Missing n by service at the end of the stored parts. */
  missing: MissingCounts;
}

/** The upper half of a batch that is under way: stored parts from its cut on. */
export interface UpperHalf extends StoredRows {
  readonly batch: string;
  readonly cut: Position;
  /** Parts whose files are still being read. */
  awaited: number;
}

export interface View {
  readonly partitions: readonly PartitionView[];
  batch: BatchView | null;
  live: StoredRows;
  upper: UpperHalf | null;
  /** Proved, and not taken over yet. */
  proved: { readonly batch: string; readonly manifest: Manifest } | null;
  readonly changes: Changes;
  /**
   * At the start: a position of a view.updated that is some seconds older than the newest (whoever published that may have
   * died between two services). What changed below it was published then.
   */
  readonly published: Position;
}

/** A record of a minute that begins before this was late: its minute was over when the batch was asked for. */
export const lateBeforeOf = (batch: { requestedAt: number } | null): number =>
  batch === null ? Number.NEGATIVE_INFINITY : Math.floor(batch.requestedAt / minuteMs) * minuteMs;

export const emptyRows = (lateBefore: number): StoredRows => ({ rows: new RowTable(lateBefore), refused: new Map() });

/** Begins at the newest proved batch (S5), or at nothing. */
export const createView = (partitions: number, manifest: Manifest | null, published: Position = []): View => {
  const batch = manifest === null ? null : toBatchView(manifest);
  const lateBefore = lateBeforeOf(batch);
  return {
    batch,
    live: emptyRows(lateBefore),
    upper: null,
    proved: null,
    changes: new Changes(),
    published,
    partitions: (batch?.cut ?? zeroPosition(partitions)).map((from, p) => ({
      storedTo: from,
      chain: [openPart(from, lateBefore)],
      beside: null,
      besideReached: from,
      missed: false,
      parts: [],
      missing: new Map(Object.entries(batch?.manifest.missing[p] ?? {})),
    })),
  };
};

export const cutOf = (view: View): Position => view.batch?.cut ?? zeroPosition(view.partitions.length);

/** How far the view has got: what answers show is what is below. */
export const positionOf = (view: View): Position => view.partitions.map(({ chain }) => lastOf(chain).to);

/** How far the stored parts go that answers come from. */
export const storedPosition = (view: View): Position => view.partitions.map(({ chain }) => (chain[0] as { from: number }).from);
