/**
 * Ranges of a log, positions and cuts.
 *
 * A range is half-open, `from` (included) to `to` (excluded). A list of ranges is sorted, its ranges are not
 * empty and neither overlap nor touch, so equal sets have equal lists.
 */

/** [from, to): from included, to excluded. */
export type Range = readonly [from: number, to: number];

/** Sorted, disjoint, not touching, none empty. */
export type Ranges = readonly Range[];

/** One offset per partition: how far a view has got. A cut is a position too: what is below it is a set of records. */
export type Position = readonly number[];

/** The ranges with [from, to) added. Cost grows with the number of ranges, which callers bound. */
export const addRange = (ranges: Ranges, from: number, to: number): Ranges => {
  if (from >= to) return ranges;
  const last = ranges.at(-1);
  if (last === undefined || from > last[1]) return [...ranges, [from, to]];
  if (from === last[1]) return [...ranges.slice(0, -1), [last[0], to]]; // the usual case: the next n in order
  const before = ranges.filter(([, end]) => end < from);
  const after = ranges.filter(([start]) => start > to);
  const touched = ranges.slice(before.length, ranges.length - after.length);
  const start = Math.min(from, touched[0]?.[0] ?? from);
  const end = Math.max(to, touched.at(-1)?.[1] ?? to);
  return [...before, [start, end], ...after];
};

export const unionRanges = (a: Ranges, b: Ranges): Ranges => b.reduce((sum, [from, to]) => addRange(sum, from, to), a);

export const hasNumber = (ranges: Ranges, n: number): boolean => {
  for (let i = ranges.length - 1; i >= 0; i--) {
    const range = ranges[i] as Range;
    if (n >= range[0]) return n < range[1];
  }
  return false;
};

/** How many numbers the ranges hold. */
export const countRanges = (ranges: Ranges): number => ranges.reduce((sum, [from, to]) => sum + to - from, 0);

/** How many numbers lie between the first possible one, `lowest`, and the end of the last range, in no range. */
export const countHoles = (ranges: Ranges, lowest: number): number => {
  const end = ranges.at(-1)?.[1];
  if (end === undefined || end <= lowest) return 0;
  const inside = ranges.reduce((sum, [from, to]) => sum + Math.max(0, to - Math.max(from, lowest)), 0);
  return end - lowest - inside;
};

/** The part of `range` that lies in `bounds`, or nothing. */
export const intersect = (range: Range, bounds: Range): Range | undefined => {
  const from = Math.max(range[0], bounds[0]);
  const to = Math.min(range[1], bounds[1]);
  return from < to ? [from, to] : undefined;
};

export const zeroPosition = (partitions: number): Position => new Array<number>(partitions).fill(0);

/** The sum of a position's offsets: the number of records below it. */
export const sumPosition = (position: Position): number => position.reduce((sum, offset) => sum + offset, 0);

/** Whether `a` has everything that `b` has. A part that `b` lacks counts as 0. */
export const reaches = (a: Position, b: Position): boolean =>
  b.length <= a.length ? b.every((offset, p) => (a[p] as number) >= offset) : b.every((offset, p) => (a[p] ?? 0) >= offset);

export const samePosition = (a: Position, b: Position): boolean => a.length === b.length && a.every((offset, p) => offset === b[p]);

/** `a` with partition `p` at `offset`. */
export const withOffset = (a: Position, p: number, offset: number): Position => a.map((was, i) => (i === p ? offset : was));
