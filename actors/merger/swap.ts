/**
 * From one proved batch view to the next.
 *
 * M2  A batch view is taken over in one step, when it is proved without a difference (or repaired) and everything from its
 *     cut on is here: `swapIfReady`. Until then its upper half grows beside what answers come from.
 */
import type { RowColumns } from '../../infra/sql/sql.js';
import type { Manifest, ViewProved } from '../../protocol/messages/batch.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import { type Position, reaches } from '../../protocol/range.js';
import { toBatchView } from './batch-view.js';
import { addRefused } from './counts.js';
import { emptyRows, lateBeforeOf, storedPosition, type View } from './view-state.js';

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
