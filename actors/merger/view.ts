/**
 * What realtime.updated and part.stored do to the merged view: transitions without I/O, each one synchronous step.
 *
 * M1  The position never goes back: whatever does not continue what is here is built beside it (`Beside`), and taken over
 *     when it has got as far.
 */
import { PromiseError } from '../../infra/errors.js';
import type { RowColumns } from '../../infra/sql/sql.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';
import type { Changes } from './changes.js';
import { addRefused, setMissing } from './counts.js';
import { type Chain, followUpdate, lastOf, type Outcome, openPart } from './realtime-reader.js';
import { RowTable } from './row-table.js';
import { cutOf, lateBeforeOf, type PartitionView, type PendingPart, type View } from './view-state.js';

export { addToUpper, applyProved, beginUpper, dropUpper, hasStored, lowerParts, swapIfReady } from './swap.js';
export { createView, cutOf, positionOf, storedPosition, type View } from './view-state.js';

const partitionOf = (view: View, p: number): PartitionView => {
  const partition = view.partitions[p];
  if (partition === undefined) {
    throw new PromiseError(
      `partition ${p} is named, but this data has ${view.partitions.length}: partitions are fixed when the data is made`,
    );
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
    lateBefore,
    mayGoBack: false,
    changed: (service, minute) => {
      if (isNew) view.changes.add(service, minute);
    },
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
  if (besideOutcome !== 'rebuild' || update.from < partition.storedTo || partition.missed)
    return outcome === 'applied' ? 'applied' : 'ignored';
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
 * realtime.updated of its partition again. gap: it does not go on from the parts before it, and nothing was done.
 */
export const applyPart = (view: View, part: PartStored, rows?: RowColumns | null): Outcome | 'file' | 'gap' => {
  const partition = partitionOf(view, part.partition);
  if (part.to <= partition.storedTo && part.from < partition.storedTo) return 'ignored';
  if (part.to <= (cutOf(view)[part.partition] as number)) return 'ignored';
  if (part.from !== partition.storedTo) return 'gap';
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

/**
 * Goes on behind a part that does not go on from those before it: what is here is not answered from any more, but a view
 * that was made anew can be taken over. @returns what is wrong
 */
export const jumpBehind = (view: View, part: PartStored): string => {
  const partition = partitionOf(view, part.partition);
  const { storedTo } = partition;
  partition.storedTo = part.to;
  partition.chain = [openPart(part.to, lateBeforeOf(view.batch))];
  partition.beside = null;
  partition.missed = true;
  partition.parts.push(part);
  return `part.stored.${part.partition} names [${part.from}, ${part.to}), but the parts before it end at ${storedTo}`;
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
