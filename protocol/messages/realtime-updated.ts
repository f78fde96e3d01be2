/** realtime.updated.<p>: rows of the open part that changed (W1). In chunks (see chunks.ts) when large. */
import Type from 'typebox';
import { MissingShape, Offset, Partition, RefusedShape, RowTupleShape } from './fields.js';

export const RealtimeUpdated = Type.Object({
  partition: Partition,
  /** Where the open part begins. */
  from: Offset,
  /** `to` of the update before, of the same owner; equal to `from` in the first of a part. */
  since: Offset,
  to: Offset,
  /** Whole rows over [from, to) for every key that changed in [since, to). */
  rows: Type.Array(RowTupleShape),
  /** Refused over [from, to), by service and reason. */
  refused: RefusedShape,
  /** Missing n by service, for those that changed in the range: the count at its end. */
  missing: MissingShape,
});
export type RealtimeUpdated = Type.Static<typeof RealtimeUpdated>;
