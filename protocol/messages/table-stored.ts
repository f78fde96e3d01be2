/** table.stored.<p>: a snapshot of the buffer's table of sources is on disk (B5). */
import Type from 'typebox';
import { FileShape, Offset, Partition } from './fields.js';
import { SegmentsPlace } from './raw-stored.js';

export const TableStored = Type.Object({
  partition: Partition,
  offset: Offset,
  file: Type.Object(FileShape),
  segments: SegmentsPlace,
});
export type TableStored = Type.Static<typeof TableStored>;
