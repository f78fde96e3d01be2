/**
 * Buffer: turns what was published into segments of one partition: checked, normalised, numbered, on disk.
 *
 * in    metrics            from the message that the last segment notes
 * out   segment.sealed     at `bufferCapacity` records, after `sealAfterMs`, at a stop; fenced
 *       reading.rejected   each refused line, before the segment that counts it
 *       reading.sealed     the acknowledgement, to each source in the segment
 *       table.stored       a snapshot of the table of sources, each minute or 250,000 records (settings); fenced
 * owns  state/buffer/<partition>/
 *
 * B1  An n is acknowledged, and stands in a snapshot, only when SEGMENTS has acknowledged its segment.
 * B2  A copy of a sealed n never counts, and is acknowledged again.
 * B3  The acknowledgement names subject and agent.
 * B4  A segment names, for each source, every n that it took; replaying SEGMENTS makes the table whole.
 * B5  A snapshot's name holds its offset; it is never replaced; SEGMENTS is replayed from it.
 * B6  A reading that would open a 65th range is not taken; what lies below Tidemark-Oldest is closed.
 * B7  A source that starts again at 1 under the same id is warned: its readings are taken for copies.
 * B8  An empty line's n is taken; a final line break makes no line.
 * B9  When only copies or refused readings came, a segment without records moves the position, at most one a second.
 * B10 METRICS is resumed at the noted message only if it still has the noted receipt time, else from that time on.
 * B11 METRICS is purged for this partition alone, strictly below the noted message, if it is still the noted one.
 * B12 A rejected message's id is sequence, receipt time and line.
 */
import { createHash } from 'node:crypto';
import { concat, map } from 'rxjs';
import type { FoldDefinition, Input } from '../infra/actor/fold.js';
import type { Output, Step } from '../infra/actor/output.js';
import type { LogMessage } from '../infra/bus/bus.js';
import type { Settings } from '../infra/config.js';
import { chunkBytesMax } from '../protocol/messages/chunks.js';
import { rejectedHeaders } from '../protocol/messages/reading-rejected.js';
import { type ReadingSealed, startedAgainWarning } from '../protocol/messages/reading-sealed.js';
import { encodeName } from '../protocol/name-code.js';
import { isEmptyLine, isReadingNumber, isRefusal, readAscii, readLine, splitLines } from '../protocol/reading.js';
import { chainHeader, encodeSegment, nextChain } from '../protocol/segment.js';
import { beginBuffer, purgeMetrics, purgeSegments } from './buffer/begin.js';
import {
  addReading,
  hasContent,
  headOf,
  isFull,
  nextSegment,
  noteTaken,
  type OpenSegment,
  type Place,
  recordsIn,
  refusedToldMax,
} from './buffer/open-segment.js';
import { type PublishedMessage, readMessage } from './buffer/published.js';
import { noteSnapshot, snapshot } from './buffer/snapshot.js';
import { entryOf, lookUp, passedOnRangesMax, type SourceEntry, type SourceTable, take, takeMissingChanges } from './buffer/source-table.js';
import { beginningTicks, bufferTicks } from './buffer/ticks.js';

export interface BufferState {
  readonly partition: number;
  readonly table: SourceTable;
  open: OpenSegment;
  /** Numbers the open segment, for the clock that seals it. */
  opening: number;
  /** The chain and the METRICS place of the last segment. */
  chain: string;
  sealedPlace: Place;
  /** How far METRICS was taken. */
  place: Place;
  /** Lines to leave out of the message that a segment was split in. */
  skip: { readonly sequence: number; readonly lines: number } | undefined;
  /** Copies of sealed readings to acknowledge again (B2). */
  readonly copied: Set<SourceEntry>;
  /** Those whose n = 1 came again as another reading: they are told (B7), and so is the log. */
  readonly startedAgain: Set<SourceEntry>;
  segmentSequence: number;
  /** Where SEGMENTS was at earlier moments, for what is old enough to be purged. */
  sealedAt: { readonly at: number; readonly sequence: number }[];
  snapshotOffset: number;
  snapshotSequence: number;
  /** Whether a snapshot is being stored. A life's first one is waited for: where SEGMENTS is full, room is made from it. */
  storing: 'first' | 'no' | 'yes';
  /** Ends the names of this life's snapshots: no other life needs one of them (B5). */
  readonly writer: string;
  counts: { records: number; segments: number; refused: number; copies: number; notTaken: number; startedAgain: number };
  /** By reason, of which there are few; for the metrics. */
  refusedBy?: Map<string, number>;
}

const addMessages = (state: BufferState, messages: readonly LogMessage[], capacity: number): Step<BufferState> => {
  const outputs: Output[] = [];
  for (const message of messages) addMessage(state, readMessage(message), outputs);
  if (recordsIn(state.open) >= capacity) outputs.push(...seal(state));
  for (const entry of state.startedAgain) outputs.push(warn(state, entry));
  for (const entry of state.copied) {
    if (!state.open.sources.has(entry)) outputs.push(...acknowledge(state, entry, [])); // B2; else its seal acknowledges it
  }
  state.copied.clear();
  state.startedAgain.clear();
  return [state, outputs];
};

const addMessage = (state: BufferState, published: PublishedMessage, outputs: Output[]): void => {
  const { message } = published;
  const { sequence, received } = message;
  const lines = splitLines(message.body);
  const done = state.skip?.sequence === sequence ? state.skip.lines : 0;
  state.skip = undefined;
  if (isFull(state.open)) outputs.push(...seal(state)); // a message without lines adds to the head too
  if (published.header && published.oldest !== undefined)
    close(state, entryOf(state.table, published.subject, published.header.agent, received), published.oldest);
  const text = lines.length > 1 ? readAscii(message.body) : undefined; // once, where there are many
  for (let i = done; i < lines.length; i++) {
    const line = lines[i] as Uint8Array;
    if (isFull(state.open)) {
      state.place = { sequence, received, lines: i };
      outputs.push(...seal(state));
    }
    const from = line.byteOffset - message.body.byteOffset;
    addLine(state, published, line, i, text?.slice(from, from + line.byteLength));
  }
  state.place = { sequence, received, lines: -1 };
};

/** B6: gives up what lies below the lowest n that a source still has. */
const close = (state: BufferState, entry: SourceEntry, oldest: number): void => {
  if (oldest <= entry.closedBelow) return;
  entry.closedBelow = oldest;
  const first = entry.taken[0];
  if (first !== undefined && first[0] <= 1 && first[1] >= oldest) return; // nothing was missing there
  take(state.table, entry, 1, oldest);
  noteTaken(state.open, entry, 1, oldest);
};

/** @param text the line's, if it is known already */
const addLine = (state: BufferState, published: PublishedMessage, line: Uint8Array, index: number, text: string | undefined): void => {
  const { subject, header, message, context } = published;
  const n = header && isReadingNumber(header.n + index) ? header.n + index : undefined;
  if (isEmptyLine(line)) {
    if (header && n !== undefined) takeEmpty(state, entryOf(state.table, subject, header.agent, message.received), n, line);
    return;
  }
  context.n = n;
  const read = readLine(line, context, text);
  const entry = read.agent !== undefined ? entryOf(state.table, subject, read.agent, message.received) : undefined;
  if (entry && !header && published.oldest !== undefined) close(state, entry, published.oldest); // else it is the headers' agent's
  if (entry) {
    if (read.n === 1) noteFirst(state, entry, line);
    const isPassedOn = header !== undefined && n !== undefined && (read.agent !== header.agent || read.n !== n);
    const found = lookUp(entry, read.n as number, isPassedOn ? passedOnRangesMax : undefined);
    if (found === 'full') {
      state.counts.notTaken += 1;
      return;
    } // B6: it comes again
    if (isPassedOn) {
      // The line's own identity goes before the headers'. Theirs is done with it, or whoever passes it on waits for ever.
      takeWithoutRecord(state, entryOf(state.table, subject, header.agent, message.received), n);
    }
    if (found === 'copy') {
      state.copied.add(entry);
      state.counts.copies += 1;
      return;
    }
    take(state.table, entry, read.n as number, (read.n as number) + 1);
  }
  if (isRefusal(read)) {
    state.open.refused.add(read.service, read.reason, 1);
    state.open.rejected.push(rejected(state.partition, published, line, index, read.reason));
    state.counts.refused += 1;
    state.refusedBy ??= new Map();
    state.refusedBy.set(read.reason, (state.refusedBy.get(read.reason) ?? 0) + 1);
    if (entry) {
      noteTaken(state.open, entry, read.n as number, (read.n as number) + 1).refused.push({ n: read.n as number, reason: read.reason });
    }
    return;
  }
  addReading(state.open, read, message.received, entry && subject);
  if (entry) noteTaken(state.open, entry, read.n as number, (read.n as number) + 1);
};

/** B8 */
const takeEmpty = (state: BufferState, entry: SourceEntry, n: number, line: Uint8Array): void => {
  if (n === 1) noteFirst(state, entry, line);
  takeWithoutRecord(state, entry, n);
};

/** B7: a copy is the same line again; another line under the same n is another reading, which will not count. */
const noteFirst = (state: BufferState, entry: SourceEntry, line: Uint8Array): void => {
  const found = lookUp(entry, 1);
  if (found === 'full') return;
  const first = createHash('sha256').update(line).digest('base64').slice(0, 12);
  if (found === 'copy' && entry.first !== undefined && entry.first !== first) {
    if (!state.startedAgain.has(entry)) state.counts.startedAgain += 1;
    state.startedAgain.add(entry);
  }
  if (found === 'free') entry.first = first;
};

const takenTo = (entry: SourceEntry): number => (entry.taken.at(-1)?.[1] ?? 1) - 1;

const warn = (state: BufferState, entry: SourceEntry): Output => {
  const { subject, agent } = entry;
  const { partition } = state;
  const to = takenTo(entry);
  return {
    do: 'work',
    what: 'warn of a source that starts again',
    run: async ({ log }) => {
      log.warn({ partition, subject, agent, to }, 'source starts again at n = 1 under the same agent: not counted up to where it was');
    },
  };
};

const takeWithoutRecord = (state: BufferState, entry: SourceEntry, n: number): void => {
  const found = lookUp(entry, n);
  if (found === 'copy') state.copied.add(entry);
  if (found !== 'free') return;
  take(state.table, entry, n, n + 1);
  noteTaken(state.open, entry, n, n + 1);
};

const rejected = (partition: number, published: PublishedMessage, line: Uint8Array, index: number, reason: string): Output => {
  const { sequence, received } = published.message;
  return {
    do: 'publish',
    message: 'reading.rejected',
    subject: `reading.rejected.${partition}`,
    body: line.subarray(0, chunkBytesMax),
    headers: {
      [rejectedHeaders.subject]: published.subject,
      [rejectedHeaders.reason]: reason,
      [rejectedHeaders.line]: String(index),
      [rejectedHeaders.received]: String(received),
    },
    id: `${sequence}-${received}-${index}`, // B12
  };
};

/** The segment, then its acknowledgements: in this order, so that B1 holds. */
const seal = (state: BufferState): Output[] => {
  const { open, partition } = state;
  const head = headOf(open, partition, state.place, takeMissingChanges(state.table));
  const body = encodeSegment(head, open.lines, open.numbers);
  const chain = nextChain(state.chain, body);
  const subject = `segment.sealed.${partition}`;
  state.chain = chain;
  state.sealedPlace = state.place;
  state.counts.records += recordsIn(open);
  state.counts.segments += 1;
  state.open = nextSegment(open, head.to);
  state.opening += 1;
  state.segmentSequence += 1; // SEGMENTS-<p> has this one subject: fenced, so the next sequence is this one
  return [
    ...open.rejected,
    { do: 'publish', message: 'segment.sealed', subject, body, headers: { [chainHeader]: chain }, fence: subject },
    ...[...open.sources].flatMap(([entry, source]) => acknowledge(state, entry, source.refused)),
  ];
};

const acknowledge = (state: BufferState, entry: SourceEntry, refused: { n: number; reason: string }[]): Output[] => {
  const subject = `reading.sealed.${encodeName(entry.agent)}`;
  const told: Output[] = [];
  for (let from = 0; from === 0 || from < refused.length; from += refusedToldMax) {
    const body: ReadingSealed = {
      subject: entry.subject,
      agent: entry.agent,
      sealed: entry.taken as [number, number][],
      refused: refused.slice(from, from + refusedToldMax),
      partition: state.partition,
      offset: state.open.from,
      ...(state.startedAgain.has(entry) ? { warning: startedAgainWarning(takenTo(entry)) } : {}),
    };
    told.push({ do: 'tell', message: 'reading.sealed', subject, body: JSON.stringify(body) });
  }
  return told;
};

const isMoved = (state: BufferState): boolean =>
  state.place.sequence !== state.sealedPlace.sequence ||
  state.place.lines !== state.sealedPlace.lines ||
  state.place.received !== state.sealedPlace.received; // a log that lost its tail gave the number again

/** The newest sequence of SEGMENTS that was there `keepMs` ago, as far as this life remembers; 0: none. */
const oldEnough = (state: BufferState, now: number, keepMs: number): number => {
  state.sealedAt.push({ at: now, sequence: state.segmentSequence });
  while ((state.sealedAt[1]?.at ?? now) < now - keepMs) state.sealedAt.shift();
  const first = state.sealedAt[0];
  return first && first.at <= now - keepMs ? first.sequence : 0;
};

const purges = (state: BufferState, now: number, keepMs: number): Output[] => [
  purgeMetrics(state.partition, state.sealedPlace),
  purgeSegments(state.partition, oldEnough(state, now, keepMs)),
];

const tick = (state: BufferState, name: string, now: number, keepMs: number): Step<BufferState> => {
  switch (name) {
    case 'seal':
      return [state, recordsIn(state.open) > 0 ? seal(state) : []];
    case 'position':
      return [state, recordsIn(state.open) === 0 ? sealHeld(state) : []]; // B9
    case 'snapshot':
      return [
        state,
        state.segmentSequence > state.snapshotSequence || hasContent(state.open) ? [...sealHeld(state), ...snapshot(state)] : [],
      ];
    case 'purge':
      return [state, purges(state, now, keepMs)];
    default:
      return [state, []];
  }
};

const sealHeld = (state: BufferState): Output[] => (hasContent(state.open) || isMoved(state) ? seal(state) : []);

const step = (state: BufferState, input: Input, { bufferCapacity, snapshotRecords, segmentsKeepMs }: Settings): Step<BufferState> => {
  switch (input.kind) {
    case 'messages': {
      const [next, outputs] = addMessages(state, input.messages, bufferCapacity);
      const isDue = next.open.from - next.snapshotOffset >= snapshotRecords && !hasContent(next.open);
      return [next, isDue ? [...outputs, ...snapshot(next)] : outputs];
    }
    case 'tick':
      return tick(state, input.tick, input.now, segmentsKeepMs);
    case 'stop':
      return [state, sealHeld(state)];
    case 'noted':
      noteSnapshot(state, input.value);
      return [state, []];
    default:
      return [state, []];
  }
};

const refusedCounts = ({ refusedBy }: BufferState): Record<string, number> =>
  refusedBy === undefined ? {} : Object.fromEntries([...refusedBy].map(([reason, count]) => [`refused: ${reason}`, count]));

export const buffer: FoldDefinition<BufferState> = {
  name: 'buffer',
  share: 'partition',
  produces: ['segment.sealed', 'reading.rejected', 'reading.sealed', 'table.stored'],
  begin: beginBuffer,
  step: (state, input, env) => step(state, input, env.settings),
  ticks: (states, env, scheduler) =>
    concat(
      beginningTicks,
      bufferTicks(states.pipe(map((state) => (recordsIn(state.open) > 0 ? state.opening : undefined))), env.settings, scheduler),
    ),
  messagesPerStepMax: 2_000,
  place: (state) => state.open.from,
  counts: (state) => ({
    ...state.counts,
    ...refusedCounts(state),
    metricsSequence: state.sealedPlace.sequence,
    sources: state.table.entries.size,
  }),
};
