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

interface OpenSource {
  taken: Ranges;
  readonly refused: { n: number; reason: string }[];
}

export interface OpenSegment {
  readonly from: number;
  lines: string;
  lineBytes: number;
  readonly numbers: number[];
  readonly services: Map<string, number>;
  readonly sources: Map<SourceEntry, OpenSource>;
  readonly refused: RefusedTally;
  /** Publishes of refused lines: they go out before the segment (B12). */
  readonly rejected: Output[];
  readonly days: Set<number>;
  headBytes: number;
}

export const openSegment = (from: number): OpenSegment => ({
  from,
  lines: '',
  lineBytes: 0,
  numbers: [],
  services: new Map(),
  sources: new Map(),
  refused: new RefusedTally(refusedBytesMax),
  rejected: [],
  days: new Set(),
  headBytes: 400,
});

export const recordsIn = (open: OpenSegment): number => open.numbers.length / recordNumbers.width;

/** Whether it holds anything that a segment must say. */
export const hasContent = (open: OpenSegment): boolean => open.numbers.length > 0 || open.sources.size > 0 || !open.refused.isEmpty;

/** Bytes of a text in JSON: six for a control character. */
const quotedBytes = (text: string): number => Buffer.byteLength(JSON.stringify(text));

/** Whether one more line may not fit. */
export const isFull = (open: OpenSegment): boolean =>
  open.lineBytes + open.numbers.length * 8 + open.headBytes + open.refused.bytes + lineGrowthMax > bytesMax || open.days.size >= datesMax;

export const addReading = (open: OpenSegment, reading: Reading, received: number, identitySubject: string | undefined): void => {
  const line = recordLine(open.from + recordsIn(open), reading, received, identitySubject);
  const bytes = Buffer.byteLength(line) + 1;
  let service = open.services.get(reading.service);
  if (service === undefined) {
    service = open.services.size;
    open.services.set(reading.service, service);
    open.headBytes += quotedBytes(reading.service) + 1;
  }
  open.lines += `${line}\n`;
  open.lineBytes += bytes;
  open.numbers.push(service, reading.at, reading.cpu, reading.ram, reading.disk, bytes);
  open.days.add(Math.floor(reading.at / 86_400_000));
};

/** Notes that [from, to) of a source were taken, with a record or without (B4). */
export const noteTaken = (open: OpenSegment, entry: SourceEntry, from: number, to: number): OpenSource => {
  let source = open.sources.get(entry);
  if (source === undefined) {
    source = { taken: [], refused: [] };
    open.sources.set(entry, source);
    open.headBytes += quotedBytes(entry.subject) + quotedBytes(entry.agent) + 80;
  }
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
