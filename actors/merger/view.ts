/**
 * The merged view of one merger: the proved batch view, the stored parts from its cut on, and the open parts.
 *
 * All of it is state and transitions without I/O. A transition is one synchronous step, so no answer sees half of it; what
 * has to be read from files is read before and handed in.
 *
 * M1  The position never goes back: whatever does not continue what is here is built beside it (`Beside`), and taken over
 *     when it has got as far.
 * M2  A batch view is taken over in one step, when it is proved without a difference (or repaired) and everything from its
 *     cut on is here: `swapIfReady`.
 */
import { PromiseError } from '../../infra/errors.js';
import type { RowColumns } from '../../infra/sql/sql.js';
import type { Manifest, ViewProved } from '../../protocol/messages/batch.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';
import { minuteMs } from '../../protocol/minute-row.js';
import { type Position, reaches, zeroPosition } from '../../protocol/range.js';
import { type BatchView, toBatchView } from './batch-view.js';
import { Changes } from './changes.js';
import { addRefused, type MissingCounts, type RefusedCounts, setMissing } from './counts.js';
import { type Chain, followUpdate, lastOf, openPart, type Outcome } from './realtime-reader.js';
import { RowTable } from './row-table.js';

/** Stored parts from a cut on. */
export interface StoredRows {
  rows: RowTable;
  refused: RefusedCounts;
}

interface PendingPart { readonly part: PartStored; readonly rows: RowTable | RowColumns | null }

/** What is built beside a partition whose updates do not continue what is here. */
interface Beside { readonly pending: PendingPart[]; chain: Chain }

interface PartitionView {
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
interface UpperHalf extends StoredRows {
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
const lateBeforeOf = (batch: { requestedAt: number } | null): number =>
  batch === null ? Number.NEGATIVE_INFINITY : Math.floor(batch.requestedAt / minuteMs) * minuteMs;

const emptyRows = (lateBefore: number): StoredRows => ({ rows: new RowTable(lateBefore), refused: new Map() });

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

const partitionOf = (view: View, p: number): PartitionView => {
  const partition = view.partitions[p];
  if (partition === undefined) {
    throw new PromiseError(`partition ${p} is named, but this data has ${view.partitions.length}: partitions are fixed when the data is made`);
  }
  return partition;
};

/**
 * One whole realtime.updated (its chunks put together).
 * @returns rebuild: read realtime.updated of this partition again, from the first that is kept; it is said once until
 * something fits again.
 */
export const applyUpdate = (view: View, update: RealtimeUpdated): Outcome => {
  const partition = partitionOf(view, update.partition);
  if (update.from < partition.storedTo && update.to <= partition.storedTo) return 'ignored';
  const lateBefore = lateBeforeOf(view.batch);
  const toBefore = lastOf(partition.chain).to;
  const isNew = update.to > (view.published[update.partition] ?? 0);
  const outcome = followUpdate(partition.chain, update, {
    lateBefore, mayGoBack: false, changed: (service, minute) => { if (isNew) view.changes.add(service, minute); },
  });
  const besideOutcome = followBeside(partition, update, lateBefore);
  const besideTo = partition.beside === null ? 0 : lastOf(partition.beside.chain).to;
  if (besideOutcome === 'applied') overtake(view, partition);
  const isFollowing = lastOf(partition.chain).to > toBefore;
  if (isFollowing && partition.beside?.pending.length === 0) partition.beside = null;
  if (besideTo > partition.besideReached || (isFollowing && partition.beside === null)) partition.missed = false;
  partition.besideReached = Math.max(partition.besideReached, besideTo);
  // What is stored otherwise than it was followed must get on beside, however well the updates fit here.
  const decides = partition.beside !== null && partition.beside.pending.length > 0 ? besideOutcome : outcome;
  if (decides !== 'rebuild') return outcome === 'applied' ? 'applied' : decides;
  if (besideOutcome !== 'rebuild' || update.from < partition.storedTo || partition.missed) return outcome === 'applied' ? 'applied' : 'ignored';
  partition.beside ??= { pending: [], chain: [openPart(partition.storedTo, lateBefore)] };
  partition.missed = true;
  return 'rebuild';
};

const followBeside = ({ beside, storedTo }: PartitionView, update: RealtimeUpdated, lateBefore: number): Outcome => {
  if (beside === null) return 'rebuild';
  if (update.from < storedTo) return 'ignored';
  return followUpdate(beside.chain, update, { lateBefore, mayGoBack: true, changed: () => undefined });
};

/** M1: what was built beside takes the place of what is here once it has got as far. */
const overtake = (view: View, partition: PartitionView): void => {
  const { beside } = partition;
  if (beside === null || lastOf(beside.chain).to < lastOf(partition.chain).to) return;
  for (const { part, rows } of beside.pending) {
    addStored(view, partition, part, rows);
    if (rows instanceof RowTable) rows.each((service, minute) => view.changes.add(service, minute));
  }
  for (const { rows } of beside.chain) rows.each((service, minute) => view.changes.add(service, minute));
  partition.chain = beside.chain;
  partition.beside = null;
};

/** A stored part joins the rows that answers come from, and the upper half of a batch that is under way. */
const addStored = (view: View, partition: PartitionView, part: PartStored, rows: PendingPart['rows']): void => {
  if (rows !== null) mergeRows(view.live.rows, rows);
  const isNew = part.to > (view.published[part.partition] ?? 0);
  if (isNew && rows !== null && !(rows instanceof RowTable)) markAll(view.changes, rows);
  addRefused(view.live.refused, part.refused);
  setMissing(partition.missing, part.missing);
  partition.parts.push(part);
  if (view.upper !== null && part.from >= (view.upper.cut[part.partition] ?? 0)) {
    if (rows !== null) mergeRows(view.upper.rows, rows);
    addRefused(view.upper.refused, part.refused);
  }
};

const mergeRows = (into: RowTable, rows: RowTable | RowColumns): void => {
  if (rows instanceof RowTable) into.mergeTable(rows);
  else into.mergeColumns(rows);
};

const markAll = (changes: Changes, columns: RowColumns): void => {
  for (let i = 0; i < columns.length; i++) changes.add(columns.services?.[i] as string, columns.minute[i] as number);
};

/**
 * One part.stored, in the order of STORED. Its rows are asked for only where the updates did not give them:
 * @returns file: call again with the rows of its file (loadPart). rebuild: applied, and updates behind it were missed: read
 * realtime.updated of its partition again.
 */
export const applyPart = (view: View, part: PartStored, rows?: RowColumns | null): Outcome | 'file' => {
  const partition = partitionOf(view, part.partition);
  if (part.to <= partition.storedTo && part.from < partition.storedTo) return 'ignored';
  if (part.to <= (cutOf(view)[part.partition] as number)) return 'ignored';
  if (part.from !== partition.storedTo) {
    throw new PromiseError(`part.stored.${part.partition} names [${part.from}, ${part.to}), but the parts before it end at ${partition.storedTo}`);
  }
  if (part.from === part.to) {
    addStored(view, partition, part, null); // refused readings alone: no row changes
    return 'applied';
  }
  const lateBefore = lateBeforeOf(view.batch);
  const { beside } = partition;
  const inPlace = beside === null || beside.pending.length === 0 ? takeFirst(partition.chain, part, lateBefore) : undefined;
  if (inPlace !== undefined) {
    partition.storedTo = part.to;
    partition.beside = null;
    addStored(view, partition, part, inPlace);
    return missedBehind(partition);
  }
  const besideRows = beside === null ? undefined : takeFirst(beside.chain, part, lateBefore);
  if (besideRows === undefined && rows === undefined) return 'file';
  partition.storedTo = part.to;
  partition.beside = {
    pending: [...(beside?.pending ?? []), { part, rows: besideRows ?? rows ?? null }],
    chain: beside === null || besideRows === undefined ? [openPart(part.to, lateBefore)] : beside.chain,
  };
  overtake(view, partition);
  if (partition.beside === null) return missedBehind(partition);
  partition.missed = true; // the updates behind it were read before, and went into what it takes the place of
  return 'rebuild';
};

/** The rows of a part, if updates gave exactly them: the head of the chain, which then is what comes behind it. */
const takeFirst = (chain: Chain, part: PartStored, lateBefore: number): RowTable | undefined => {
  const [first] = chain;
  if (first === undefined || first.from !== part.from || first.to !== part.to) return undefined;
  chain.shift();
  if (chain.length === 0) chain.push(openPart(part.to, lateBefore));
  return first.rows;
};

const missedBehind = (partition: PartitionView): Outcome => {
  if (!partition.missed) return 'applied';
  partition.missed = false;
  return 'rebuild';
};

/**
 * Begins the upper half of a batch (batch.requested, or view.proved of one whose request was not seen).
 * @returns the parts above its cut that are stored already: read each (loadPart) and hand it to `addToUpper`. Parts that
 * come later join by themselves.
 */
export const beginUpper = (view: View, batch: string, cut: Position): PartStored[] => {
  const above = view.partitions.flatMap(({ parts }, p) => parts.filter((part) => part.from >= (cut[p] ?? 0)));
  view.upper = { ...emptyRows(lateBeforeOf(view.batch)), batch, cut, awaited: above.length };
  return above;
};

/** Does nothing when that batch is not under way any more. */
export const addToUpper = (view: View, batch: string, part: PartStored, rows: RowColumns | null): void => {
  if (view.upper?.batch !== batch) return;
  if (rows !== null) view.upper.rows.mergeColumns(rows);
  addRefused(view.upper.refused, part.refused);
  view.upper.awaited -= 1;
};

/** batch.abandoned. */
export const dropUpper = (view: View, batch: string): void => {
  if (view.upper?.batch === batch && view.proved?.batch !== batch) view.upper = null;
};

/**
 * view.proved, with the manifest that it names. One with differences changes nothing, unless it was repaired.
 * @returns whether it is to be taken over: then, if its request was not seen (`view.upper?.batch` is another), `beginUpper`.
 */
export const applyProved = (view: View, proved: ViewProved, manifest: Manifest): boolean => {
  if (proved.differences > 0 && proved.repaired !== true) return false;
  if (view.batch !== null && Number(proved.batch) <= Number(view.batch.batch)) return false;
  view.proved = { batch: proved.batch, manifest };
  return true;
};

/** Whether every stored part up to a cut is in the view: before that nothing can be compared or taken over. */
export const hasStored = (view: View, cut: Position): boolean => reaches(storedPosition(view), cut);

/** How far the stored parts go that answers come from. */
export const storedPosition = (view: View): Position => view.partitions.map(({ chain }) => (chain[0] as { from: number }).from);

/** The stored parts between the view's cut and `cut`: the lower half. */
export const lowerParts = (view: View, cut: Position): PartStored[] =>
  view.partitions.flatMap(({ parts }, p) => parts.filter((part) => part.to <= (cut[p] ?? 0)));

/**
 * M2: takes over a proved batch view in one step, if all is here. Call it after every step.
 * @returns whether it did; then parts below the new cut are in no answer any more.
 */
export const swapIfReady = (view: View): boolean => {
  const { proved, upper } = view;
  if (proved === null || upper === null || upper.batch !== proved.batch || upper.awaited > 0) return false;
  const { cut } = proved.manifest;
  if (!hasStored(view, cut)) return false;
  view.batch = toBatchView(proved.manifest);
  const lateBefore = lateBeforeOf(view.batch);
  view.live = { rows: upper.rows, refused: upper.refused };
  view.live.rows.countLateBefore(lateBefore);
  view.partitions.forEach((partition, p) => {
    partition.parts = partition.parts.filter((part) => part.from >= (cut[p] as number));
    for (const { rows } of [...partition.chain, ...(partition.beside?.chain ?? [])]) rows.countLateBefore(lateBefore);
  });
  view.upper = null;
  view.proved = null;
  return true;
};
