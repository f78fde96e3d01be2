/**
 * place.stored.<p>: how far a windower has got where no record came since the last part: only copies and refused readings. The
 * open part still begins at `from`, with these counts; SEGMENTS may be purged up to here. The next part makes it void.
 */
import Type from 'typebox';
import { MissingShape, Offset, Partition, RefusedShape } from './fields.js';
import { SegmentsPlace } from './raw-stored.js';

export const PlaceStored = Type.Object({
  partition: Partition,
  from: Offset,
  refused: RefusedShape,
  missing: MissingShape,
  segments: SegmentsPlace,
});
export type PlaceStored = Type.Static<typeof PlaceStored>;
