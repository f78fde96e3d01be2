/** raw.stored.<p>: the commit. Offsets [from, to) are in these byte ranges of these files. */
import Type from 'typebox';
import { Count, Instant, Offset, Partition, Sha256 } from './fields.js';

/** Some of a commit's records: those of one UTC date, which lie together in one file. */
export const CommittedBytes = Type.Object({
  path: Type.String(),
  fromByte: Count,
  toByte: Count,
  sha256: Sha256,
  records: Count,
  /** Lowest and highest minute in them, ms. */
  minuteMin: Instant,
  minuteMax: Instant,
});
export type CommittedBytes = Type.Static<typeof CommittedBytes>;

/** Where an output ends in SEGMENTS: at the end of a segment, for a chain exists only there (F4). */
export const SegmentsPlace = Type.Object({ sequence: Offset, chain: Type.String() });
export type SegmentsPlace = Type.Static<typeof SegmentsPlace>;

export const RawStored = Type.Object({
  partition: Partition,
  from: Offset,
  to: Offset,
  files: Type.Array(CommittedBytes),
  segments: SegmentsPlace,
});
export type RawStored = Type.Static<typeof RawStored>;
