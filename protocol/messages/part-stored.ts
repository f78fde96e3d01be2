/** part.stored.<p>: offsets [from, to) are in this part of the real-time view (W2: the file is there before). */
import Type from 'typebox';
import { Count, FileShape, MissingShape, Offset, Partition, RefusedShape } from './fields.js';
import { SegmentsPlace } from './raw-stored.js';

export const PartStored = Type.Object({
  partition: Partition,
  from: Offset,
  to: Offset,
  /** Absent when the range holds no record: then there is no file. */
  file: Type.Optional(Type.Object(FileShape)),
  rows: Count,
  /** Refused in this range of the log, by service and reason. */
  refused: RefusedShape,
  /** Missing n by service, for those that changed in the range: the count at its end. */
  missing: MissingShape,
  segments: SegmentsPlace,
});
export type PartStored = Type.Static<typeof PartStored>;
