/** What the buffer has gathered since the last segment: the next one, while it fills. */

import type { Output } from '../../infra/actor/output.js';
import type { Missing } from '../../protocol/messages/fields.js';
import { recordNumbers, type SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { addRange, type Range, type Ranges } from '../../protocol/range.js';
import { type Reading, recordLine } from '../../protocol/reading.js';
import { RefusedTally, refusedBytesMax } from '../../protocol/refused-tally.js';
import { missingBytesMax, type SourceEntry } from './source-table.js';

/** With the headers and what is missing it stays below the 1,000,000 bytes that a segment may have. */
const bytesMax = 1_000_000 - 1_000 - missingBytesMax;
/** What one line may add: its record has three names and a subject, and so have the head's lists; a name of 200 bytes takes 1,202 in JSON. */
const lineGrowthMax = 12_000;
/** A commit says for each date where its bytes are, and has to fit into a message. */
const datesMax = 500;
/** An acknowledgement tells this many refused at a time. */
export const refusedToldMax = 100;

export interface Place {
  readonly sequence: number;
  readonly received: number;
  readonly lines: number;
}

const linesBytesMin = 16 * 1024;
const wasteMax = 4;

interface OpenSource {
  readonly entry: SourceEntry;
  taken: Ranges;
  readonly refused: { n: number; reason: string }[];
}

export interface OpenSegment {
  readonly from: number;
  /** `lineBytes` of it are in use. Texts that are kept until the segment ends would each be collected as old. */
  lines: Buffer;
  lineBytes: number;
  readonly numbers: number[];
  readonly services: Map<string, number>;
  readonly sources: Map<SourceEntry, OpenSource>;
  /** Whose reading came last: lines of one message have most of that in common. */
  lastService: { readonly name: string; readonly index: number } | undefined;
  lastSource: OpenSource | undefined;
  readonly refused: RefusedTally;
  /** Publishes of refused lines: they go out before the segment (B12). */
  readonly rejected: Output[];
  readonly days: Set<number>;
  headBytes: number;
}

export const openSegment = (from: number, lines: Buffer = Buffer.allocUnsafeSlow(linesBytesMin)): OpenSegment => ({
  from,
  lines,
  lineBytes: 0,
  numbers: [],
  services: new Map(),
  sources: new Map(),
  lastService: undefined,
  lastSource: undefined,
  refused: new RefusedTally(refusedBytesMax),
  rejected: [],
  days: new Set(),
  headBytes: 400,
});

/** The next one: in the same memory, unless that is much more than was needed. Its body has been made. */
export const nextSegment = (sealed: OpenSegment, from: number): OpenSegment => {
  const isWaste = sealed.lines.byteLength > Math.max(linesBytesMin, wasteMax * sealed.lineBytes);
  return isWaste ? openSegment(from) : openSegment(from, sealed.lines);
};

export const recordsIn = (open: OpenSegment): number => open.numbers.length / recordNumbers.width;

/** Whether it holds anything that a segment must say. */
export const hasContent = (open: OpenSegment): boolean => open.numbers.length > 0 || open.sources.size > 0 || !open.refused.isEmpty;

/** Bytes of a text in JSON: six for a control character. */
const quotedBytes = (text: string): number => Buffer.byteLength(JSON.stringify(text));

/** Whether one more line may not fit. */
export const isFull = (open: OpenSegment): boolean =>
  open.lineBytes + open.numbers.length * 8 + open.headBytes + open.refused.bytes + lineGrowthMax > bytesMax || open.days.size >= datesMax;

const withRoom = (lines: Buffer, used: number, bytes: number): Buffer => {
  const larger = Buffer.allocUnsafeSlow(Math.max(2 * lines.byteLength, bytes));
  lines.copy(larger, 0, 0, used);
  return larger;
};

export const addReading = (open: OpenSegment, reading: Reading, received: number, identitySubject: string | undefined): void => {
  const line = `${recordLine(open.from + recordsIn(open), reading, received, identitySubject)}\n`;
  const most = open.lineBytes + 3 * line.length; // a UTF-16 unit takes at most three bytes of UTF-8
  if (most > open.lines.byteLength) open.lines = withRoom(open.lines, open.lineBytes, most);
  const bytes = open.lines.write(line, open.lineBytes);
  open.lineBytes += bytes;
  open.numbers.push(serviceIndex(open, reading.service), reading.at, reading.cpu, reading.ram, reading.disk, bytes);
  open.days.add(Math.floor(reading.at / 86_400_000));
};

const serviceIndex = (open: OpenSegment, name: string): number => {
  if (open.lastService?.name === name) return open.lastService.index;
  let index = open.services.get(name);
  if (index === undefined) {
    index = open.services.size;
    open.services.set(name, index);
    open.headBytes += quotedBytes(name) + 1;
  }
  open.lastService = { name, index };
  return index;
};

/** Notes that [from, to) of a source were taken, with a record or without (B4). */
export const noteTaken = (open: OpenSegment, entry: SourceEntry, from: number, to: number): OpenSource => {
  let source = open.lastSource?.entry === entry ? open.lastSource : open.sources.get(entry);
  if (source === undefined) {
    source = { entry, taken: [], refused: [] };
    open.sources.set(entry, source);
    open.headBytes += quotedBytes(entry.subject) + quotedBytes(entry.agent) + 80;
  }
  open.lastSource = source;
  const last = source.taken.at(-1) as [number, number] | undefined;
  if (last !== undefined && last[1] === from) last[1] = to;
  else {
    source.taken = addRange(source.taken, from, to).map(([start, end]): Range => [start, end]);
    open.headBytes += 40;
  }
  return source;
};

export const headOf = (open: OpenSegment, partition: number, metrics: Place, missing: Missing): SegmentHead => ({
  partition,
  from: open.from,
  to: open.from + recordsIn(open),
  metrics: { ...metrics },
  taken: [...open.sources].map(([entry, source]) => ({
    subject: entry.subject,
    agent: entry.agent,
    ranges: source.taken as Range[] as [number, number][],
  })),
  refused: open.refused.toRefused(),
  missing,
  services: [...open.services.keys()],
  lineBytes: open.lineBytes,
});
