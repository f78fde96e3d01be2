/**
 * segment.sealed.<p>: consecutive records of one partition, sealed together.
 *
 * body = one JSON line (SegmentHead), LF, then `records` lines of the raw file, each ended by LF, then their numbers:
 * for each record six little-endian doubles (see recordNumbers). Header `Tidemark-Chain` holds
 * sha256(previous chain ‖ body) in hex; the chain before the first segment is 64 zeros.
 */
import Type from 'typebox';
import { Count, Instant, MissingShape, Offset, Partition, RangesShape, RefusedShape, SourceShape } from './fields.js';

export const SegmentHead = Type.Object({
  partition: Partition,
  /** Offsets of its records: from (included), to (excluded); equal when it holds none (B9). */
  from: Offset,
  to: Offset,
  /** How far in METRICS it reaches: the last message it took from, that message's receipt time in ms, and how many of
   *  its lines are done (-1: all of them). */
  metrics: Type.Object({ sequence: Offset, received: Instant, lines: Type.Integer({ minimum: -1 }) }),
  /** For each source in it: every n that it took, with a record or without (refused, empty line, given up) (B4). */
  taken: Type.Array(Type.Object({ ...SourceShape, ranges: RangesShape })),
  /** What it refused, by service and reason. */
  refused: RefusedShape,
  /** By service ("" for gateways): how many n of this partition's sources are missing now; those that changed (absolute). */
  missing: MissingShape,
  /** Names of its services; a record's numbers hold the index. */
  services: Type.Array(Type.String()),
  /** Bytes of all lines together, so that the numbers are found. */
  lineBytes: Count,
});
export type SegmentHead = Type.Static<typeof SegmentHead>;

/** The order of a record's six doubles in a segment's last block. `bytes` is the length of its line with the LF. */
export const recordNumbers = { service: 0, at: 1, cpu: 2, ram: 3, disk: 4, bytes: 5, width: 6 } as const;

/** A record's line in the raw file: one JSON object. `subject`, `agent` and `n` only where the source gave them. */
export interface RecordLine {
  offset: number;
  service: string;
  host: string;
  /** ms since 1970, UTC. */
  timestamp: number;
  /** Percent, at most six decimals. */
  cpu: number;
  ram: number;
  disk: number;
  /** When METRICS received its message, ms since 1970. */
  received: number;
  subject?: string;
  agent?: string;
  n?: number;
}

export const noChain = '0'.repeat(64);
