/** What an actor says of itself once a second, in the bucket ACTORS under <actor>.<instance>; `status` shows it. */
import Type from 'typebox';
import { Count, Instant, Partition } from './fields.js';

export const ActorStatus = Type.Object({
  actor: Type.String(),
  instance: Type.String(),
  pid: Count,
  host: Type.String(),
  /** starting, working, standby, stopping, stopped by an error (failed). */
  state: Type.String(),
  partitions: Type.Array(Partition),
  /** Partition to the offset (or METRICS sequence, for the buffer) that it has got to. */
  places: Type.Record(Type.String(), Count),
  /** Counters of its own, for people. */
  counts: Type.Record(Type.String(), Type.Number()),
  /** Records a second, lately. */
  perSecond: Type.Optional(Type.Number()),
  /** Port of its /livez, /readyz and /metrics, where it has one. */
  opsPort: Type.Optional(Count),
  /** Where that listens, as others reach it. */
  opsHost: Type.Optional(Type.String()),
  /** Of its pages, where it has some. */
  address: Type.Optional(Type.String()),
  error: Type.Optional(Type.String()),
  /** What it tried in vain in the last minute, and will try again: a storage or a log that is full or away. */
  trouble: Type.Optional(Type.String()),
  at: Instant,
});
export type ActorStatus = Type.Static<typeof ActorStatus>;
