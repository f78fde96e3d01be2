/**
 * Uploader: brings the segments of one partition into the raw files, by UTC date of the record, and commits.
 *
 * in    segment.sealed   in order, from the end of the last commit
 * out   raw.stored       offsets [from, to) are in these byte ranges of these files; fenced
 * owns  raw/<date>/<partition>-<offset>-<writer>.ndjson
 *
 * U1  A raw file's name ends in an id of its writer, new in each life: no owner needs a name that another may be writing.
 * U2  Bytes that no commit names stay where they are: nothing here trims or removes them.
 * U3  After any doubt about an append the life ends, and the next one writes new files.
 * U4  A commit names only what the storage has taken durably, and ends where a segment ends (F4).
 */
import { randomBytes } from 'node:crypto';
import type { SchedulerLike } from 'rxjs';
import type { Env } from '../infra/actor/env.js';
import { every } from '../infra/actor/every.js';
import type { Beginning, FoldDefinition, Input } from '../infra/actor/fold.js';
import { readHistory } from '../infra/actor/history-guard.js';
import type { Output, Step } from '../infra/actor/output.js';
import { followSegment, lookWhy, type OwnOutput, type SegmentsAt, segmentsBeginning } from '../infra/actor/segments.js';
import type { LogMessage } from '../infra/bus/bus.js';
import { segmentsStream } from '../infra/bus/streams.js';
import type { CommittedBytes, RawStored } from '../protocol/messages/raw-stored.js';
import { readRawStored } from '../protocol/messages/readers.js';
import { recordNumbers } from '../protocol/messages/segment-sealed.js';
import { minuteOf } from '../protocol/minute-row.js';
import type { Segment } from '../protocol/segment.js';
import { sha256Of } from '../protocol/sha256.js';
import { dateOf } from '../protocol/time.js';
import { Slabs } from './uploader/slabs.js';

/** Files that are kept open for appending; the least recently used is left, and its date goes on in a new one. */
const openFilesMax = 256;
/** A commit has an entry for each date and has to fit into a message. */
const datesPerCommitMax = 1_000;
const appendsAtOnceMax = 8;
const emptyCommitEveryMs = 30_000;
const dayMs = 86_400_000;

/** The records of one date that wait for the next upload. */
interface Waiting {
  /** Its first `bytes` bytes. */
  slab: Buffer;
  bytes: number;
  records: number;
  readonly fromOffset: number;
  minuteMin: number;
  minuteMax: number;
}

interface OpenFile {
  readonly path: string;
  bytes: number;
}

export interface UploaderState {
  readonly partition: number;
  readonly writer: string;
  committed: number;
  /** Sequence in SEGMENTS of the last commit, and when it was made. */
  committedSequence: number;
  committedAt: number;
  at: SegmentsAt;
  readonly waiting: Map<string, Waiting>;
  waitingBytes: number;
  readonly slabs: Slabs;
  /** By date, least recently used first. */
  readonly files: Map<string, OpenFile>;
  counts: { uploads: number; bytes: number; files: number };
}

const dayOf = (at: number): number => Math.floor(at / dayMs);

const addPiece = (
  state: UploaderState,
  at: number,
  offset: number,
  piece: Uint8Array,
  records: number,
  minMs: number,
  maxMs: number,
): void => {
  const date = dateOf(at);
  let waiting = state.waiting.get(date);
  if (waiting === undefined) {
    const slab = state.slabs.withRoom(undefined, 0, piece.byteLength);
    waiting = { slab, bytes: 0, records: 0, fromOffset: offset, minuteMin: minuteOf(minMs), minuteMax: minuteOf(maxMs) };
    state.waiting.set(date, waiting);
  }
  waiting.slab = state.slabs.withRoom(waiting.slab, waiting.bytes, piece.byteLength);
  waiting.slab.set(piece, waiting.bytes);
  waiting.bytes += piece.byteLength;
  waiting.records += records;
  waiting.minuteMin = Math.min(waiting.minuteMin, minuteOf(minMs));
  waiting.minuteMax = Math.max(waiting.minuteMax, minuteOf(maxMs));
  state.waitingBytes += piece.byteLength;
};

/** Lines go into the files as they are; runs of one date stay together. */
const addSegment = (state: UploaderState, segment: Segment): void => {
  const { lines, numbers, records, head } = segment;
  const { at: atColumn, bytes: bytesColumn, width } = recordNumbers;
  let runFrom = 0;
  let runFirst = 0;
  let byte = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < records; i++) {
    const at = numbers[i * width + atColumn] as number;
    min = Math.min(min, at);
    max = Math.max(max, at);
    byte += numbers[i * width + bytesColumn] as number;
    const next = i + 1 < records ? (numbers[(i + 1) * width + atColumn] as number) : undefined;
    if (next === undefined || dayOf(next) !== dayOf(at)) {
      addPiece(state, at, head.from + runFirst, lines.subarray(runFrom, byte), i + 1 - runFirst, min, max);
      runFrom = byte;
      runFirst = i + 1;
      min = Number.POSITIVE_INFINITY;
      max = Number.NEGATIVE_INFINITY;
    }
  }
};

const fileFor = (state: UploaderState, date: string, offset: number, bytesMax: number): OpenFile => {
  let file = state.files.get(date);
  state.files.delete(date);
  if (file === undefined || file.bytes >= bytesMax) {
    file = { path: `raw/${date}/${state.partition}-${String(offset).padStart(12, '0')}-${state.writer}.ndjson`, bytes: 0 };
    state.counts.files += 1;
  }
  state.files.set(date, file); // now the most recently used
  if (state.files.size > openFilesMax) state.files.delete(state.files.keys().next().value as string);
  return file;
};

interface Append {
  readonly path: string;
  readonly slab: Buffer;
  readonly bytes: Uint8Array;
  readonly lengthBefore: number;
}

const upload = (state: UploaderState, rawFileBytesMax: number, now: number): Output[] => {
  if (state.waiting.size === 0) return [];
  const appends: Append[] = [];
  const files: CommittedBytes[] = [];
  for (const [date, waiting] of state.waiting) {
    const file = fileFor(state, date, waiting.fromOffset, rawFileBytesMax);
    const { slab } = waiting;
    const bytes = slab.subarray(0, waiting.bytes);
    appends.push({ path: file.path, slab, bytes, lengthBefore: file.bytes });
    files.push({
      path: file.path,
      fromByte: file.bytes,
      toByte: file.bytes + bytes.byteLength,
      sha256: sha256Of(bytes),
      records: waiting.records,
      minuteMin: waiting.minuteMin,
      minuteMax: waiting.minuteMax,
    });
    file.bytes += bytes.byteLength;
  }
  const { partition, at, slabs } = state;
  const subject = `raw.stored.${partition}`;
  const body: RawStored = { partition, from: state.committed, to: at.offset, files, segments: { sequence: at.sequence, chain: at.chain } };
  state.counts.uploads += 1;
  state.counts.bytes += state.waitingBytes;
  state.waiting.clear();
  state.waitingBytes = 0;
  state.committed = at.offset;
  state.committedSequence = at.sequence;
  state.committedAt = now;
  return [
    { do: 'work', what: 'append to raw files', run: ({ storage }) => appendAll(storage, appends, slabs) },
    { do: 'publish', message: 'raw.stored', subject, body: JSON.stringify(body), fence: subject },
  ];
};

/** Where only copies and refused readings come, a commit of nothing says how far the log was read, so that it may be purged. */
const commitNothing = (state: UploaderState, now: number): Output[] => {
  const { partition, at, committed } = state;
  if (state.waiting.size > 0 || at.sequence === state.committedSequence || now - state.committedAt < emptyCommitEveryMs) return [];
  state.committedSequence = at.sequence;
  state.committedAt = now;
  const subject = `raw.stored.${partition}`;
  const body: RawStored = { partition, from: committed, to: committed, files: [], segments: { sequence: at.sequence, chain: at.chain } };
  return [{ do: 'publish', message: 'raw.stored', subject, body: JSON.stringify(body), fence: subject }];
};

const appendAll = async (storage: Env['storage'], appends: readonly Append[], slabs: Slabs): Promise<void> => {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let append = appends[next++]; append !== undefined; append = appends[next++]) {
      if (append.lengthBefore === 0) await storage.create(append.path, append.bytes);
      else await storage.append(append.path, append.bytes, append.lengthBefore);
      slabs.giveBack(append.slab, append.bytes.byteLength); // of one that failed the storage may still send
    }
  };
  await Promise.all(Array.from({ length: Math.min(appendsAtOnceMax, appends.length) }, work));
};

const ownOutputs = (partition: number): OwnOutput[] => [{ subject: `raw.stored.${partition}`, read: readRawStored }];

const addMessages = (
  state: UploaderState,
  messages: readonly LogMessage[],
  { uploadBytesMax: bytesMax, rawFileBytesMax }: Env['settings'],
  now: number,
): Step<UploaderState> => {
  const outputs: Output[] = [];
  for (const message of messages) {
    try {
      const { segment, at } = followSegment(state.at, message);
      addSegment(state, segment);
      state.at = at;
    } catch (error) {
      return [state, [...outputs, lookWhy(ownOutputs(state.partition), state.at, error)]];
    }
    if (state.waitingBytes >= bytesMax || state.waiting.size >= datesPerCommitMax / 2) outputs.push(...upload(state, rawFileBytesMax, now));
  }
  return [state, outputs];
};

const step = (state: UploaderState, input: Input, env: Env): Step<UploaderState> => {
  const { rawFileBytesMax } = env.settings;
  switch (input.kind) {
    case 'messages':
      return addMessages(state, input.messages, env.settings, input.now);
    case 'tick':
    case 'stop':
      return [state, [...upload(state, rawFileBytesMax, input.now), ...commitNothing(state, input.now)]];
    default:
      return [state, []];
  }
};

const begin = async ({ bus }: Env, partition: number): Promise<Beginning<UploaderState>> => {
  const { raw } = await readHistory(bus, partition);
  const at: SegmentsAt = raw ? { offset: raw.message.to, ...raw.message.segments } : segmentsBeginning;
  return {
    state: {
      partition,
      writer: randomBytes(4).toString('hex'),
      committed: at.offset,
      committedSequence: at.sequence,
      committedAt: 0,
      at,
      waiting: new Map(),
      waitingBytes: 0,
      slabs: new Slabs(),
      files: new Map(),
      counts: { uploads: 0, bytes: 0, files: 0 },
    },
    logs: { segments: { stream: segmentsStream(partition), start: { sequence: at.sequence + 1 }, held: 256 } },
    fences: { [`raw.stored.${partition}`]: raw?.sequence ?? 0 },
  };
};

export const uploader: FoldDefinition<UploaderState> = {
  name: 'uploader',
  share: 'partition',
  produces: ['raw.stored'],
  begin,
  step,
  ticks: (_states, env, scheduler: SchedulerLike) => every(env.settings.uploadEveryMs, 'upload', scheduler),
  messagesPerStepMax: 64,
  place: (state) => state.committed,
  counts: (state) => ({ ...state.counts, waitingBytes: state.waitingBytes }),
};
