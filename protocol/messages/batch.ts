/**
 * The batch's messages, in the order of a batch. Requested, ready and abandoned are fenced as one (S1).
 *
 * A batch is one job in three sizes: `dates` says whose rows are made anew from all their raw data, every other row is
 * the base's, plus what is new in [from, cut).
 */
import Type from 'typebox';
import { BatchId, Count, FileShape, Instant, MissingShape, Offset, Partition, PositionShape } from './fields.js';

export const BatchRequested = Type.Object({
  batch: BatchId,
  /** The newest proved batch, on which this one builds (S5); null: none. */
  base: Type.Union([BatchId, Type.Null()]),
  /** The base's cut; all 0 without one. */
  from: PositionShape,
  cut: PositionShape,
  /** UTC dates (YYYY-MM-DD) that are recomputed from all their raw data; "all": every date (`rebuild`). */
  dates: Type.Union([Type.Literal('all'), Type.Array(Type.String())]),
  /** When it was asked for: a reading at or after the cut whose minute was over by then is late. */
  requestedAt: Instant,
  /** schedule, first, size, asked, rebuild, recompute. */
  reason: Type.String(),
  /** How many range.assigned tasks there are, and how many services.assigned there will be. */
  mapTasks: Count,
  reduceTasks: Count,
});
export type BatchRequested = Type.Static<typeof BatchRequested>;

/**
 * Some bytes of a raw file. Records count whose offset is in [from, to); the commits say how many those are. Where a cut lies
 * within a commit of several dates, that is known of the commit alone: its first input names the whole number, its others 0, and
 * all of them are in one task.
 */
export const RawInput = Type.Object({
  path: Type.String(),
  partition: Partition,
  fromByte: Count,
  toByte: Count,
  /** Committed length of the whole file: says whether to copy the range or to read in place. */
  fileBytes: Count,
  from: Offset,
  to: Offset,
  records: Count,
});
export type RawInput = Type.Static<typeof RawInput>;

/** range.assigned: minute rows of some byte ranges, please. */
export const RangeAssigned = Type.Object({
  batch: BatchId,
  task: Count,
  inputs: Type.Array(RawInput),
  /** The file to write: minutes/<batch>/<task>.parquet. */
  output: Type.String(),
});
export type RangeAssigned = Type.Static<typeof RangeAssigned>;

/** range.mapped: the rows are there. */
export const RangeMapped = Type.Object({
  batch: BatchId,
  task: Count,
  file: Type.Object(FileShape),
  records: Count,
  rows: Count,
});
export type RangeMapped = Type.Static<typeof RangeMapped>;

/** services.assigned: the new month files of the services whose bucket this is, please. */
export const ServicesAssigned = Type.Object({
  batch: BatchId,
  task: Count,
  /** Services with hash(service) % buckets === task are this task's (see serviceBucket). */
  buckets: Count,
  /** Every mapper's file (S3: all are named; one that is missing fails the task). */
  inputs: Type.Array(Type.Object({ ...FileShape, records: Count })),
  /** The base's manifest; null: none. */
  base: Type.Union([Type.Object(FileShape), Type.Null()]),
  dates: BatchRequested.properties.dates,
  /** The listing to write: minutes/<batch>/services-<task>.json, a ServiceListing. */
  output: Type.String(),
});
export type ServicesAssigned = Type.Static<typeof ServicesAssigned>;

/** services.reduced: the files are there, and so is their listing. */
export const ServicesReduced = Type.Object({
  batch: BatchId,
  task: Count,
  listing: Type.Object(FileShape),
  /** msg_num summed over all rows of the bucket's services, kept files included. */
  records: Count,
  rows: Count,
});
export type ServicesReduced = Type.Static<typeof ServicesReduced>;

/** One month of one service in the batch view. */
export const MonthFile = Type.Object({
  service: Type.String(),
  /** YYYY-MM, UTC. */
  month: Type.String(),
  ...FileShape,
  rows: Count,
  msg_num: Count,
  /** Its newest minute. Files of earlier versions lack it. */
  newest: Type.Optional(Instant),
});
export type MonthFile = Type.Static<typeof MonthFile>;

/** The content of a reducer's listing: the current month files of its services, kept ones included. */
export const ServiceListing = Type.Object({ batch: BatchId, task: Count, files: Type.Array(MonthFile) });
export type ServiceListing = Type.Static<typeof ServiceListing>;

/** range.failed and services.failed: a task that cannot be done, and why. */
export const TaskFailed = Type.Object({ batch: BatchId, task: Count, reason: Type.String() });
export type TaskFailed = Type.Static<typeof TaskFailed>;

/** batch.ready: the manifest is written; who leads compares. */
export const BatchReady = Type.Object({
  batch: BatchId,
  base: Type.Union([BatchId, Type.Null()]),
  cut: PositionShape,
  manifest: Type.Object(FileShape),
  rows: Count,
  records: Count,
  /** Made by `rebuild`: if it differs it is counted a second time, apart, and may be taken as the repaired view. */
  isRebuild: Type.Optional(Type.Boolean()),
});
export type BatchReady = Type.Static<typeof BatchReady>;

/** batch.abandoned: nothing came of it; its files may go (S1, S4). */
export const BatchAbandoned = Type.Object({ batch: BatchId, reason: Type.String() });
export type BatchAbandoned = Type.Static<typeof BatchAbandoned>;

/** view.proved: what the leading merger found when it compared (kept in BATCH: S5). */
export const ViewProved = Type.Object({
  batch: BatchId,
  cut: PositionShape,
  records: Count,
  rows: Count,
  differences: Count,
  /** Where the first differences are, for people: at most 10. */
  examples: Type.Array(Type.String()),
  /** The proved manifest, and when its batch was asked for: what a merger needs to start from it. */
  manifest: Type.Object(FileShape),
  requestedAt: Instant,
  /** Made by `rebuild`, and equal to a second count of the raw data, not to the view before. */
  repaired: Type.Optional(Type.Boolean()),
  /** Then: how many rows of the view before were wrong. */
  mended: Type.Optional(Count),
});
export type ViewProved = Type.Static<typeof ViewProved>;

/** The manifest, views/batch/<batch>.json; latest.json is a copy of the newest proved one (M3). */
export const Manifest = Type.Object({
  batch: BatchId,
  base: Type.Union([BatchId, Type.Null()]),
  cut: PositionShape,
  requestedAt: Instant,
  files: Type.Array(MonthFile),
  /** Each raw file: what commits that end at or below the cut say of it: bytes, lowest and highest offset, records. */
  raw: Type.Array(
    Type.Object({
      path: Type.String(),
      partition: Partition,
      from: Offset,
      to: Offset,
      bytes: Count,
      records: Count,
      /** The newest index file with a commit of it. */
      index: Type.Optional(Type.String()),
    }),
  ),
  /** Index files: the commits themselves (RawStored, one a line), of each batch's [from, to); they outlive the purge of STORED. */
  indexes: Type.Optional(Type.Array(Type.Object({ ...FileShape, from: PositionShape, to: PositionShape }))),
  /** When each date was last made from all its raw data: by which batch, and when that was asked for. */
  recomputed: Type.Record(Type.String(), Type.Object({ batch: BatchId, at: Instant })),
  /** When dates were last recomputed by schedule. */
  recomputedAt: Type.Optional(Instant),
  /** Refused below the cut, by service and reason. */
  refused: Type.Record(Type.String(), Type.Record(Type.String(), Count)),
  /** By partition: missing n by service at the cut. */
  missing: Type.Array(MissingShape),
  format: Type.Literal(1),
});
export type Manifest = Type.Static<typeof Manifest>;
