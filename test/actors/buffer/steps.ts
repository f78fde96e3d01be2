import { openSegment } from '../../../actors/buffer/open-segment.js';
import { emptyTable, entryOf, type SourceTable, take } from '../../../actors/buffer/source-table.js';
import { type BufferState, buffer } from '../../../actors/buffer.js';
import type { Env } from '../../../infra/actor/env.js';
import type { Input } from '../../../infra/actor/fold.js';
import type { Output } from '../../../infra/actor/output.js';
import { followSegment, segmentsBeginning } from '../../../infra/actor/segments.js';
import type { LogMessage } from '../../../infra/bus/bus.js';
import { loadSettings } from '../../../infra/config.js';
import { readReadingSealed } from '../../../protocol/messages/readers.js';
import { noChain, type RecordLine } from '../../../protocol/messages/segment-sealed.js';
import type { Segment } from '../../../protocol/segment.js';

export const envOf = (flags: Record<string, string> = {}): Env => ({ settings: loadSettings(flags, { env: {} }).settings }) as Env;

export const newState = (): BufferState => ({
  partition: 0,
  table: emptyTable(),
  open: openSegment(0),
  opening: 0,
  chain: noChain,
  sealedPlace: { sequence: 0, received: 0, lines: -1 },
  place: { sequence: 0, received: 0, lines: -1 },
  skip: undefined,
  copied: new Set(),
  startedAgain: new Set(),
  segmentSequence: 0,
  snapshotOffset: 0,
  snapshotSequence: 0,
  storing: 'first',
  sealedAt: [],
  writer: 'w',
  counts: { records: 0, segments: 0, refused: 0, copies: 0, notTaken: 0, startedAgain: 0 },
});

export interface Given {
  readonly lines: string;
  readonly subject?: string;
  readonly headers?: Record<string, string | number>;
}

export const at = Date.UTC(2026, 10, 23, 10, 15);

export const message = (sequence: number, { lines, subject = 'web.h1', headers = {} }: Given): LogMessage => ({
  subject: `metrics.0.${subject}`,
  sequence,
  received: at + sequence,
  body: Buffer.from(lines),
  hasHeaders: Object.keys(headers).length > 0,
  header: (name) => {
    const value = headers[name];
    return value === undefined ? undefined : String(value);
  },
});

export const line = (more: object = {}): string =>
  JSON.stringify({ service: 'web', host: 'h1', timestamp: at, cpu: 1, ram: 2, disk: 3, ...more });

/** Everything that came out, in order: segments as a reader of SEGMENTS has them. */
export const read = (outputs: readonly Output[]) => {
  let place = segmentsBeginning;
  const segments: Segment[] = [];
  const records: RecordLine[] = [];
  const told: { subject: string; body: ReturnType<typeof readReadingSealed>; behind: number }[] = [];
  const rejected: { body: string; headers: Record<string, string>; id: string; before: number }[] = [];
  for (const output of outputs) {
    if (output.do === 'tell')
      told.push({ subject: output.subject, body: readReadingSealed(output.body as string), behind: segments.length });
    if (output.do !== 'publish') continue;
    if (output.message === 'reading.rejected') {
      rejected.push({
        body: Buffer.from(output.body as Uint8Array).toString(),
        headers: output.headers ?? {},
        id: output.id ?? '',
        before: segments.length,
      });
      continue;
    }
    const stored: LogMessage = {
      subject: output.subject,
      sequence: place.sequence + 1,
      received: 0,
      body: output.body as Uint8Array,
      hasHeaders: true,
      header: (name) => output.headers?.[name],
    };
    const followed = followSegment(place, stored); // offsets without holes, and the chain
    place = followed.at;
    segments.push(followed.segment);
    const lines = Buffer.from(followed.segment.lines).toString().split('\n').slice(0, -1);
    records.push(...lines.map((text) => JSON.parse(text) as RecordLine));
  }
  return { segments, records, told, rejected };
};

export const messagesOf = (given: readonly Given[], from = 1): Input => ({
  kind: 'messages',
  log: 'metrics',
  messages: given.map((one, i) => message(from + i, one)),
  now: 0,
});
export const tick = (name: string): Input => ({ kind: 'tick', tick: name, now: 0 });

export const feed = (inputs: readonly Input[], { state = newState(), env = envOf() } = {}) => {
  const outputs = inputs.flatMap((input) => buffer.step(state, input, env)[1]);
  return { state, outputs, ...read(outputs) };
};

export const replay = (table: SourceTable, { head }: Segment): void => {
  for (const { subject, agent, ranges } of head.taken) {
    for (const [from, to] of ranges) take(table, entryOf(table, subject, agent, 0), from, to);
  }
};

export const counts = ({ segments }: { segments: readonly Segment[] }) => segments.map(({ records }) => records);
