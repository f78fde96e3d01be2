/** The field shapes that several messages share. */
import Type from 'typebox';

export const Offset = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
export const Partition = Type.Integer({ minimum: 0, maximum: 65_535 });
/** Milliseconds since 1970, UTC. */
export const Instant = Type.Integer();
/** [from, to): an n may be 2^53 - 1, and then the range ends behind it. */
export const RangeShape = Type.Tuple([Offset, Type.Integer({ minimum: 0, maximum: 2 ** 53 })]);
export const RangesShape = Type.Array(RangeShape);
export const PositionShape = Type.Array(Offset);
/** A batch's number: six digits, or more when they are used up; ascending. */
export const BatchId = Type.String({ pattern: '^[0-9]{6,}$' });
/** sha256 in hex. */
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });

/** Who publishes: the published subject, and the id of one's own on it. */
export const SourceShape = { subject: Type.String(), agent: Type.String() };

/** Where a file is, and what its content must be. `path` is relative to the data's root. */
export const FileShape = { path: Type.String(), bytes: Count, sha256: Sha256 };

/** Refused readings: by service ("" where none could be read), by reason, how many. */
export const RefusedShape = Type.Record(Type.String(), Type.Record(Type.String(), Count));
export type Refused = Record<string, Record<string, number>>;

/** [service, minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages]; see row-tuple.ts. */
export const RowTupleShape = Type.Array(Type.Union([Type.String(), Type.Number()]), { minItems: 12, maxItems: 12 });

/** Missing n by service ("" for gateways, which speak for many). */
export const MissingShape = Type.Record(Type.String(), Count);
export type Missing = Record<string, number>;
