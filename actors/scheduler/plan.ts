/** What the scheduler decides, as pure functions: the cut, which bytes of which raw files, and their tasks. */
import type { RawInput } from '../../protocol/messages/batch.js';
import type { CommittedBytes, RawStored } from '../../protocol/messages/raw-stored.js';
import type { Position } from '../../protocol/range.js';

/** Committed bytes of a raw file from its beginning, all of them below the base's cut. */
export interface RawFile {
  readonly path: string;
  readonly partition: number;
  from: number;
  to: number;
  bytes: number;
  records: number;
  /** The index file that has its newest commit. */
  index?: string;
}

export type Dates = 'all' | readonly string[];

/** S2: for each partition the newest end of a stored part at or below the committed offset. */
export const chooseCut = (from: Position, partEnds: readonly (readonly number[])[], committed: Position): Position =>
  from.map((start, p) => Math.max(start, ...(partEnds[p] ?? []).filter((end) => end <= (committed[p] ?? 0))));

export const dateOfRawPath = (path: string): string => path.split('/')[1] ?? '';

const isRecomputed = (dates: Dates, path: string): boolean => dates === 'all' || dates.includes(dateOfRawPath(path));

/** Adds a commit that lies below a cut to what is known of its files. */
export const addCommit = (files: Map<string, RawFile>, commit: RawStored, index: string): void => {
  for (const bytes of commit.files) {
    const known = files.get(bytes.path);
    if (known === undefined) {
      files.set(bytes.path, {
        path: bytes.path,
        partition: commit.partition,
        from: commit.from,
        to: commit.to,
        bytes: bytes.toByte,
        records: bytes.records,
        index,
      });
    } else {
      known.to = commit.to;
      known.bytes = bytes.toByte;
      known.records += bytes.records;
      known.index = index;
    }
  }
};

/**
 * S2: every commit that overlaps [from, cut), and of recomputed dates everything below the cut.
 * `files` holds what is below `from`, `commits` the rest. Groups must stay in one task.
 */
export const chooseInputs = (
  from: Position,
  cut: Position,
  dates: Dates,
  files: ReadonlyMap<string, RawFile>,
  commits: readonly RawStored[],
): RawInput[][] => {
  const groups: RawInput[][] = [];
  const whole = new Map<string, RawInput>();
  for (const file of files.values()) {
    if (!isRecomputed(dates, file.path)) continue;
    whole.set(file.path, {
      path: file.path,
      partition: file.partition,
      fromByte: 0,
      toByte: file.bytes,
      fileBytes: file.bytes,
      from: file.from,
      to: file.to,
      records: file.records,
    });
  }
  for (const commit of commits) {
    const p = commit.partition;
    const start = from[p] as number;
    const end = cut[p] as number;
    if (commit.from >= end) continue;
    const isWhole = commit.to <= end && (commit.from >= start || dates === 'all');
    if (isWhole) for (const bytes of commit.files) addWhole(whole, commit, bytes);
    else groups.push(straddling(commit, start, end, dates));
  }
  const fileBytes = new Map<string, number>();
  for (const commit of commits) for (const { path, toByte } of commit.files) fileBytes.set(path, toByte);
  return [...[...whole.values()].map((input) => [input]), ...groups]
    .map((group) => group.map((input) => ({ ...input, fileBytes: Math.max(input.fileBytes, fileBytes.get(input.path) ?? 0) })))
    .filter((group) => group.length > 0);
};

/** Neighbours in one file become one range of bytes. Behind a commit that counts in part, which is a group of its own, begins another. */
const addWhole = (whole: Map<string, RawInput>, commit: RawStored, bytes: CommittedBytes): void => {
  const known = whole.get(bytes.path);
  const isNext = known?.toByte === bytes.fromByte;
  if (known !== undefined && !isNext) whole.set(`${known.path} ${known.fromByte}`, known);
  whole.set(
    bytes.path,
    known === undefined || !isNext
      ? {
          path: bytes.path,
          partition: commit.partition,
          fromByte: bytes.fromByte,
          toByte: bytes.toByte,
          fileBytes: bytes.toByte,
          from: commit.from,
          to: commit.to,
          records: bytes.records,
        }
      : { ...known, toByte: bytes.toByte, to: commit.to, records: known.records + bytes.records },
  );
};

/** A commit in which `from` or the cut lies. Of a recomputed date its records below `from` count too. */
const straddling = (commit: RawStored, from: number, cut: number, dates: Dates): RawInput[] => {
  const inputs = commit.files
    .map((bytes): RawInput => {
      const lowest = isRecomputed(dates, bytes.path) ? commit.from : Math.max(commit.from, from);
      return {
        path: bytes.path,
        partition: commit.partition,
        fromByte: bytes.fromByte,
        toByte: bytes.toByte,
        fileBytes: bytes.toByte,
        from: lowest,
        to: Math.min(commit.to, cut),
        records: 0,
      };
    })
    .filter((input) => input.from < input.to);
  const [first, ...others] = inputs;
  if (first === undefined) return [];
  const lowest = Math.min(...inputs.map((input) => input.from));
  return [{ ...first, records: Math.min(commit.to, cut) - lowest }, ...others];
};

/**
 * Whether the commits tell how many records the inputs hold. They do not where `from` lies within a commit of several dates of
 * which some, not all, are recomputed: then the recompute waits for another batch.
 */
export const isCountable = (from: Position, dates: Dates, commits: readonly RawStored[]): boolean =>
  commits.every((commit) => {
    const start = from[commit.partition] as number;
    if (commit.from >= start || commit.to <= start) return true;
    const recomputed = commit.files.filter(({ path }) => isRecomputed(dates, path)).length;
    return recomputed === 0 || recomputed === commit.files.length;
  });

export const taskBytesMaxDefault = 256 * 1024 * 1024;
const taskInputsMax = 1_000;

/** Groups of inputs into tasks of bounded size: at most 256 MiB, unless one group alone has more. */
export const splitTasks = (groups: readonly (readonly RawInput[])[], taskBytesMax = taskBytesMaxDefault): RawInput[][] => {
  const tasks: RawInput[][] = [];
  let task: RawInput[] = [];
  let bytes = 0;
  for (const group of groups) {
    const groupBytes = group.reduce((sum, { fromByte, toByte }) => sum + toByte - fromByte, 0);
    if (task.length > 0 && (bytes + groupBytes > taskBytesMax || task.length + group.length > taskInputsMax)) {
      tasks.push(task);
      task = [];
      bytes = 0;
    }
    task.push(...group);
    bytes += groupBytes;
  }
  if (task.length > 0) tasks.push(task);
  return tasks;
};

/** How many groups of services the reducers share: one, until there is much. */
export const chooseBuckets = (groups: readonly (readonly RawInput[])[], taskBytesMax = taskBytesMaxDefault): number => {
  const bytes = groups.flat().reduce((sum, { fromByte, toByte }) => sum + toByte - fromByte, 0);
  return Math.min(16, Math.max(1, Math.ceil(bytes / taskBytesMax)));
};

/** Batches are numbered; six digits, so that names sort. */
export const nextBatchId = (last: string | null): string => String(Number(last ?? 0) + 1).padStart(6, '0');
