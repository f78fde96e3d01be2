/**
 * Stream windower: turns the segments of one partition into parts of the real-time view.
 *
 * in    segment.sealed     in order, from the end of the last stored part
 *       part.asked         close the open part now (somebody wants a batch of all there is)
 * out   realtime.updated   changed rows of the open part, every `updateEveryMs` if there are any; fenced
 *       part.stored        a part is readable and names its range; fenced
 *       place.stored       how far the log was read, where no record came since the last part; fenced
 * owns  views/realtime/<partition>/
 *
 * W1  An update names from, since and to: a reader can tell whether it follows.
 * W2  part.stored is published only after its file is on disk under its name.
 * W4  A part's rows depend on its range alone, and it ends where a segment and an update end.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { merge } from 'rxjs';
import type { Env } from '../infra/actor/env.js';
import { every } from '../infra/actor/every.js';
import type { Beginning, FoldDefinition, Input } from '../infra/actor/fold.js';
import { readHistory } from '../infra/actor/history-guard.js';
import type { Output, Step } from '../infra/actor/output.js';
import { followSegment, lookWhy, type OwnOutput, type SegmentsAt, segmentsBeginning } from '../infra/actor/segments.js';
import type { Bus, LogMessage } from '../infra/bus/bus.js';
import { segmentsStream } from '../infra/bus/streams.js';
import { chunkBytesMax, chunkHeader, formatChunk, groupBySize } from '../protocol/messages/chunks.js';
import type { Missing, Refused } from '../protocol/messages/fields.js';
import type { PartStored } from '../protocol/messages/part-stored.js';
import type { PlaceStored } from '../protocol/messages/place-stored.js';
import { readPartStored, readPlaceStored } from '../protocol/messages/readers.js';
import type { RealtimeUpdated } from '../protocol/messages/realtime-updated.js';
import { type RowTuple, toTuple } from '../protocol/messages/row-tuple.js';
import { recordNumbers } from '../protocol/messages/segment-sealed.js';
import { addRecord, emptyRow, type KeyedRow, minuteOf } from '../protocol/minute-row.js';
import { RefusedTally, refusedBytesMax } from '../protocol/refused-tally.js';
import type { Segment } from '../protocol/segment.js';

/** After this many records a part is closed, whatever the time: memory and a restart's work stay bounded. */
const partRecordsMax = 250_000;

interface OpenRow extends KeyedRow {
  isChanged: boolean;
}

export interface WindowerState {
  readonly partition: number;
  at: SegmentsAt;
  /** Where the open part begins, and the `to` of the last update. */
  from: number;
  since: number;
  readonly rows: Map<string, Map<number, OpenRow>>;
  rowCount: number;
  changed: OpenRow[];
  readonly refused: RefusedTally;
  readonly missing: Map<string, number>;
  /** Refused or missing changed since the last update. */
  isTold: boolean;
  /** The sequence in SEGMENTS of the last part or place. */
  placed: number;
  counts: { records: number; updates: number; parts: number };
}

const addSegment = (state: WindowerState, { head, numbers, records }: Segment): void => {
  const { width } = recordNumbers;
  let service = -1;
  let minute = -1;
  let byMinute: Map<number, OpenRow> | undefined;
  let open: OpenRow | undefined;
  for (let i = 0; i < records * width; i += width) {
    const index = numbers[i] as number;
    const at = numbers[i + 1] as number;
    const minuteNow = minuteOf(at);
    if (index !== service) {
      const name = head.services[index] as string;
      byMinute = state.rows.get(name);
      if (byMinute === undefined) {
        byMinute = new Map();
        state.rows.set(name, byMinute);
      }
      service = index;
      open = undefined;
    }
    if (open === undefined || minuteNow !== minute) {
      open = (byMinute as Map<number, OpenRow>).get(minuteNow);
      minute = minuteNow;
      if (open === undefined) {
        open = { service: head.services[index] as string, minute, row: emptyRow(), isChanged: false };
        (byMinute as Map<number, OpenRow>).set(minute, open);
        state.rowCount += 1;
      }
    }
    addRecord(open.row, at, numbers[i + 2] as number, numbers[i + 3] as number, numbers[i + 4] as number);
    if (!open.isChanged) {
      open.isChanged = true;
      state.changed.push(open);
    }
  }
  state.counts.records += records;
  addRefused(state, head.refused, head.missing);
};

const addRefused = (state: WindowerState, refused: Refused, missing: Missing): void => {
  if (Object.keys(refused).length > 0) {
    state.refused.addAll(refused);
    state.isTold = false;
  }
  for (const [service, count] of Object.entries(missing)) {
    state.missing.set(service, count);
    state.isTold = false;
  }
};

const missingOf = (state: WindowerState): Missing => Object.fromEntries(state.missing);

/** The rows that changed since the last update, in chunks; nothing when nothing changed. */
const update = (state: WindowerState): Output[] => {
  const { partition, from, since, at } = state;
  if (at.offset === since && state.isTold) return [];
  const subject = `realtime.updated.${partition}`;
  const tuples = state.changed.map(({ service, minute, row }) => toTuple(service, minute, row));
  for (const open of state.changed) open.isChanged = false;
  state.changed = [];
  state.since = at.offset;
  state.isTold = true;
  state.counts.updates += 1;
  const refused = state.refused.toRefused();
  const missing = missingOf(state);
  const countBytes = state.refused.bytes + Buffer.byteLength(JSON.stringify(missing));
  const groups = groupBySize(tuples, (tuple: RowTuple) => (tuple[0] as string).length * 6 + 180, chunkBytesMax - 16_384 - countBytes);
  return groups.map((rows, i): Output => {
    const body: RealtimeUpdated = { partition, from, since, to: at.offset, rows, refused, missing };
    return {
      do: 'publish',
      message: 'realtime.updated',
      subject,
      body: JSON.stringify(body),
      fence: subject,
      headers: { [chunkHeader]: formatChunk(i, groups.length) },
    };
  });
};

const allRows = (state: WindowerState): KeyedRow[] => [...state.rows.values()].flatMap((byMinute) => [...byMinute.values()]);

const partPath = (partition: number, from: number, to: number): string =>
  `views/realtime/${partition}/${String(from).padStart(12, '0')}-${String(to).padStart(12, '0')}.parquet`;

/** Closes the open part: a last update, its file, then part.stored (W2). The next part begins where it ends. */
const close = (state: WindowerState): Output[] => {
  const { partition, from, at } = state;
  if (at.offset === from) return notePlace(state);
  const outputs = update(state);
  state.placed = at.sequence;
  const rows = allRows(state);
  const refused = state.refused.toRefused();
  const missing = missingOf(state);
  state.rows.clear();
  state.rowCount = 0;
  state.refused.clear();
  state.missing.clear();
  state.from = at.offset;
  state.since = at.offset;
  state.counts.parts += 1;
  return [...outputs, { do: 'work', what: 'store a part', run: (env) => storePart(env, partition, from, at, rows, refused, missing) }];
};

/** Where only copies and refused readings come no part is closed; without a place SEGMENTS could never be purged. */
const notePlace = (state: WindowerState): Output[] => {
  const { partition, from, at } = state;
  if (at.sequence === state.placed) return [];
  state.placed = at.sequence;
  const subject = `place.stored.${partition}`;
  const body: PlaceStored = {
    partition,
    from,
    refused: state.refused.toRefused(),
    missing: missingOf(state),
    segments: { sequence: at.sequence, chain: at.chain },
  };
  return [
    ...update(state),
    { do: 'publish', message: 'place.stored', subject, body: JSON.stringify(body), fence: subject },
    { do: 'work', what: 'purge STORED of older places', run: ({ bus }) => forgetAllButLast(bus, 'STORED', subject) },
  ];
};

const storePart = async (
  { storage, engine }: Env,
  partition: number,
  from: number,
  at: SegmentsAt,
  rows: readonly KeyedRow[],
  refused: Refused,
  missing: Missing,
): Promise<Output[]> => {
  const { viewFiles } = await engine();
  const path = partPath(partition, from, at.offset);
  // A name of its own: a life that was lost may still be storing the same part, when storage is slow.
  const local = `${storage.workFolder}/part-${randomUUID()}.parquet`;
  const stored = async () => {
    try {
      await viewFiles.write(local, rows, { partition: String(partition), from: String(from), to: String(at.offset) });
      return await storage.adopt(local, path);
    } catch (error) {
      rmSync(local, { force: true }); // at once: a simulated run would not be the same run again
      throw error;
    }
  };
  const { bytes, sha256 } = await stored();
  const body: PartStored = {
    partition,
    from,
    to: at.offset,
    file: { path, bytes, sha256 },
    rows: rows.length,
    refused,
    missing,
    segments: { sequence: at.sequence, chain: at.chain },
  };
  const subject = `part.stored.${partition}`;
  return [
    { do: 'publish', message: 'part.stored', subject, body: JSON.stringify(body), fence: subject },
    { do: 'work', what: 'purge REALTIME', run: (env) => forgetUpdates(env, partition) },
  ];
};

/** What a stored part holds no update needs to say again; the last one stays, for its sequence is the fence. */
const forgetUpdates = ({ bus }: Env, partition: number): Promise<void> =>
  forgetAllButLast(bus, 'REALTIME', `realtime.updated.${partition}`);

const forgetAllButLast = async (bus: Bus, stream: string, subject: string): Promise<void> => {
  const last = await bus.last(stream, subject);
  if (last !== undefined) await bus.purge(stream, subject, last.sequence);
};

const ownOutputs = (partition: number): OwnOutput[] => [
  { subject: `part.stored.${partition}`, read: readPartStored },
  { subject: `place.stored.${partition}`, read: readPlaceStored },
];

const addMessages = (state: WindowerState, messages: readonly LogMessage[]): Step<WindowerState> => {
  const outputs: Output[] = [];
  for (const message of messages) {
    try {
      const { segment, at } = followSegment(state.at, message);
      addSegment(state, segment);
      state.at = at;
    } catch (error) {
      return [state, [...outputs, lookWhy(ownOutputs(state.partition), state.at, error)]];
    }
    if (state.at.offset - state.from >= partRecordsMax) outputs.push(...close(state));
  }
  return [state, outputs];
};

const step = (state: WindowerState, input: Input): Step<WindowerState> => {
  switch (input.kind) {
    case 'messages':
      return addMessages(state, input.messages);
    case 'tick':
      return [state, input.tick === 'close' ? close(state) : update(state)];
    case 'heard':
      return [state, close(state)];
    case 'stop':
      return [state, update(state)];
    default:
      return [state, []];
  }
};

const begin = async ({ bus }: Env, partition: number): Promise<Beginning<WindowerState>> => {
  const subject = `realtime.updated.${partition}`;
  const lastUpdate = await bus.last('REALTIME', subject);
  const { part, place, placeSequence } = await readHistory(bus, partition);
  const from = part?.message.to ?? 0;
  const read = place?.message.segments ?? part?.message.segments;
  const at: SegmentsAt = read ? { offset: from, ...read } : segmentsBeginning;
  return {
    state: {
      partition,
      at,
      from,
      since: from,
      placed: at.sequence,
      rows: new Map(),
      rowCount: 0,
      changed: [],
      refused: RefusedTally.of(place?.message.refused ?? {}, refusedBytesMax),
      missing: new Map(Object.entries(place?.message.missing ?? {})),
      isTold: place === undefined,
      counts: { records: 0, updates: 0, parts: 0 },
    },
    logs: { segments: { stream: segmentsStream(partition), start: { sequence: at.sequence + 1 }, held: 256 } },
    fences: {
      [subject]: lastUpdate?.sequence ?? 0,
      [`part.stored.${partition}`]: part?.sequence ?? 0,
      [`place.stored.${partition}`]: placeSequence,
    },
  };
};

export const windower: FoldDefinition<WindowerState> = {
  name: 'windower',
  share: 'partition',
  produces: ['realtime.updated', 'part.stored', 'place.stored'],
  hears: [{ subject: 'part.asked' }],
  begin,
  step,
  ticks: (_states, env, scheduler) =>
    merge(every(env.settings.updateEveryMs, 'update', scheduler), every(env.settings.partEveryMs, 'close', scheduler)),
  messagesPerStepMax: 64,
  place: (state) => state.since,
  counts: (state) => ({ ...state.counts, openRows: state.rowCount }),
};
