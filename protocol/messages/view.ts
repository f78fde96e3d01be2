/** Asking for a view, its answer, and the events of its changes. */
import Type from 'typebox';
import { BatchId, Count, PositionShape } from './fields.js';

export const steps = ['minute', 'hour', 'day', 'range'] as const;
export type Step = (typeof steps)[number];

/** view.asked: rows of [from, to), half-open, please. */
export const ViewAsked = Type.Object({
  /** Anything that a reading's timestamp may be, or `now`, `now-6h`. */
  from: Type.Union([Type.String(), Type.Number()]),
  to: Type.Union([Type.String(), Type.Number()]),
  /** Absent or empty: every service. */
  services: Type.Optional(Type.Array(Type.String())),
  step: Type.Optional(Type.Union([Type.Literal('minute'), Type.Literal('hour'), Type.Literal('day'), Type.Literal('range')])),
  /** IANA zone in which hours and days begin. Default UTC. */
  zone: Type.Optional(Type.String()),
  /** Answer when the view has got at least this far. */
  after: Type.Optional(PositionShape),
  /** How long `after` may take, ms. */
  waitMs: Type.Optional(Count),
  /** Say now and then, while the answer is made, that it is (workingHeader): who asks waits for as long as that is said. */
  progress: Type.Optional(Type.Boolean()),
  /** "tuples": exact sums, as row-tuple.ts has them, instead of the twelve columns; "blocks": as row-blocks.ts has them. */
  shape: Type.Optional(Type.Union([Type.Literal('columns'), Type.Literal('tuples'), Type.Literal('blocks')])),
});
export type ViewAsked = Type.Static<typeof ViewAsked>;

export const Terms = Type.Object({
  batch: Type.Union([BatchId, Type.Null()]),
  cut: PositionShape,
  position: PositionShape,
  /** The newest reading's minute in the answer's services; null when there is none. */
  newest: Type.Union([Type.String(), Type.Null()]),
  missing: Count,
  refused: Count,
  late: Count,
});
export type Terms = Type.Static<typeof Terms>;

const columns = Type.Object({
  service: Type.String(),
  time_stamp: Type.String(),
  cpu: Type.Number(),
  ram: Type.Number(),
  disk: Type.Number(),
  max_cpu_time: Type.String(),
  max_cpu: Type.Number(),
  max_ram_time: Type.String(),
  max_ram: Type.Number(),
  max_disk_time: Type.String(),
  max_disk: Type.Number(),
  msg_num: Count,
});

/** One chunk of the answer, in order; the terms stand in each. */
export const ViewAnswer = Type.Object({ rows: Type.Array(Type.Unknown()), terms: Terms });
export type ViewAnswer = Type.Static<typeof ViewAnswer>;

/** The answer when there is none: what was wrong with the question, or why it could not be met. */
export const ViewRefused = Type.Object({ error: Type.String(), code: Type.String() });
export type ViewRefused = Type.Static<typeof ViewRefused>;

/** view.updated.<service>: whole merged rows that changed. */
export const ViewUpdated = Type.Object({
  service: Type.String(),
  position: PositionShape,
  batch: Type.Union([BatchId, Type.Null()]),
  rows: Type.Array(columns),
});
export type ViewUpdated = Type.Static<typeof ViewUpdated>;
