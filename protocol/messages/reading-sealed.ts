/** reading.sealed.<agent>: the acknowledgement. What it names is on disk, in SEGMENTS (B1); nothing else acknowledges. */
import Type from 'typebox';
import { Offset, Partition, RangesShape, SourceShape } from './fields.js';

export const ReadingSealed = Type.Object({
  ...SourceShape,
  /** Every n of this source that was taken so far, refused ones and empty lines included; cumulative. */
  sealed: RangesShape,
  /** Refused since the acknowledgement before, at most 100; each reason is told once. */
  refused: Type.Array(Type.Object({ n: Offset, reason: Type.String() })),
  /** What is sealed is below this offset of this partition: ask with --after to read it. */
  partition: Partition,
  offset: Offset,
  /** Something that the source should say aloud (B7). */
  warning: Type.Optional(Type.String()),
});
export type ReadingSealed = Type.Static<typeof ReadingSealed>;

/** B7: what a source is told whose n = 1 came again as another line. */
export const startedAgainWarning = (to: number): string =>
  `n = 1 came again as another reading: readings up to n = ${to} are taken for copies of those of before and do not count. ` +
  'Take a new agent id at each start, or keep n and the readings durably';
