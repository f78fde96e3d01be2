/** What the buffer has gathered since the last segment: the next one, while it fills. */
import type { Missing, Refused } from '../../protocol/messages/fields.js';
import { recordNumbers, type SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { addRange, type Range, type Ranges } from '../../protocol/range.js';
import { recordLine, type Reading } from '../../protocol/reading.js';
import type { Output } from '../../infra/actor/output.js';
import type { SourceEntry } from './source-table.js';

/** Together with the head it stays below the 1,000,000 bytes that a segment may have. */
const bytesMax = 960_000;
/** A commit says for each date where its bytes are, and has to fit into a message. */
const datesMax = 500;
/** An acknowledgement tells this many refused at a time. */
export const refusedToldMax = 100;

export interface Place { readonly sequence: number; readonly received: number; readonly lines: number }

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
  readonly refused: Map<string, Map<string, number>>;
  /** Publishes of refused lines: they go out before the segment (B12). */
  readonly rejected: Output[];
  readonly days: Set<number>;
  headBytes: number;
}

export const openSegment = (from: number): OpenSegment => ({
  from, lines: '', lineBytes: 0, numbers: [], services: new Map(), sources: new Map(), refused: new Map(), rejected: [],
  days: new Set(), headBytes: 400,
});

export const recordsIn = (open: OpenSegment): number => open.numbers.length / recordNumbers.width;

/** Whether it holds anything that a segment must say. */
export const hasContent = (open: OpenSegment): boolean =>
  open.numbers.length > 0 || open.sources.size > 0 || open.refused.size > 0;

/** Whether one more line of at most this many bytes may not fit. */
export const isFull = (open: OpenSegment, lineBytes: number): boolean =>
  open.lineBytes + open.numbers.length * 8 + open.headBytes + lineBytes + 2_500 > bytesMax || open.days.size >= datesMax;

export const addReading = (open: OpenSegment, reading: Reading, received: number, identitySubject: string | undefined): void => {
  const line = recordLine(open.from + recordsIn(open), reading, received, identitySubject);
  const bytes = Buffer.byteLength(line) + 1;
  let service = open.services.get(reading.service);
  if (service === undefined) {
    service = open.services.size;
    open.services.set(reading.service, service);
    open.headBytes += Buffer.byteLength(reading.service) * 2 + 8;
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
    open.headBytes += (Buffer.byteLength(entry.subject) + Buffer.byteLength(entry.agent)) * 2 + 80;
  }
  const last = source.taken.at(-1) as [number, number] | undefined;
  if (last !== undefined && last[1] === from) last[1] = to;
  else {
    source.taken = addRange(source.taken, from, to).map(([start, end]): Range => [start, end]);
    open.headBytes += 36;
  }
  return source;
};

export const noteRefused = (open: OpenSegment, service: string, reason: string): void => {
  let reasons = open.refused.get(service);
  if (reasons === undefined) {
    reasons = new Map();
    open.refused.set(service, reasons);
    open.headBytes += Buffer.byteLength(service) * 2 + 16;
  }
  if (!reasons.has(reason)) open.headBytes += reason.length + 16;
  reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
};

export const headOf = (open: OpenSegment, partition: number, metrics: Place, missing: Missing): SegmentHead => ({
  partition,
  from: open.from,
  to: open.from + recordsIn(open),
  metrics: { ...metrics },
  taken: [...open.sources].map(([entry, source]) => ({ subject: entry.subject, agent: entry.agent, ranges: source.taken as Range[] as [number, number][] })),
  refused: Object.fromEntries([...open.refused].map(([service, reasons]) => [service, Object.fromEntries(reasons)])) satisfies Refused,
  missing,
  services: [...open.services.keys()],
  lineBytes: open.lineBytes,
});

