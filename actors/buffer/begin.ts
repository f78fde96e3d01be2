/** How a buffer begins (F1, B4, B5, B10), stores its table, and purges METRICS (B11). */

import { createHash, randomBytes } from 'node:crypto';
import type { Env } from '../../infra/actor/env.js';
import type { Beginning } from '../../infra/actor/fold.js';
import { type History, isBeyond, readHistory } from '../../infra/actor/history-guard.js';
import type { Output, Work } from '../../infra/actor/output.js';
import type { Bus, LogStart } from '../../infra/bus/bus.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { FileMissingError, HistoryError, messageOf, RetryableError } from '../../infra/errors.js';
import { readPartStored, readPlaceStored, readRawStored, readTableStored } from '../../protocol/messages/readers.js';
import { noChain } from '../../protocol/messages/segment-sealed.js';
import type { TableStored } from '../../protocol/messages/table-stored.js';
import { decodeHead } from '../../protocol/segment.js';
import type { BufferState } from '../buffer.js';
import { readNamed } from '../scheduler/manifest.js';
import { openSegment, type Place } from './open-segment.js';
import { emptyTable, entryOf, forgetSilent, fromSnapshot, type SourceTable, setMissing, takeAgain, toSnapshot } from './source-table.js';

/** A source is forgotten this long after its last reading. */
const forgetAfterMs = 30 * 86_400_000;

export const beginBuffer = async (env: Env, partition: number): Promise<Beginning<BufferState>> => {
  const history = await readHistory(env.bus, partition);
  const snapshot = history.table;
  const table = snapshot === undefined ? emptyTable() : await readSnapshot(env, partition, snapshot);
  const last = history.segment;
  await replay(env, partition, snapshot?.sequence, table, (snapshot?.message.segments.sequence ?? 0) + 1, last?.sequence ?? 0);
  const place: Place = last?.head.metrics ?? { sequence: 0, received: 0, lines: -1 };
  const { start, skip } = await resumeMetrics(env.bus, partition, place);
  const to = last?.head.to ?? 0;
  return {
    state: {
      partition,
      table,
      open: openSegment(to),
      opening: 0,
      chain: last?.chain ?? noChain,
      sealedPlace: place,
      place,
      skip,
      copied: new Set(),
      startedAgain: new Set(),
      sealedAt: last === undefined ? [] : [{ at: last.received, sequence: last.sequence }],
      segmentSequence: last?.sequence ?? 0,
      snapshotOffset: snapshot?.message.offset ?? 0,
      snapshotSequence: snapshot?.message.segments.sequence ?? 0,
      storing: 'first',
      writer: randomBytes(4).toString('hex'),
      counts: { records: 0, segments: 0, refused: 0, copies: 0, notTaken: 0, startedAgain: 0 },
    },
    logs: { metrics: { stream: 'METRICS', filter: `metrics.${partition}.>`, start, held: 1_000 } },
    fences: { [`segment.sealed.${partition}`]: last?.sequence ?? 0, [`table.stored.${partition}`]: snapshot?.sequence ?? 0 },
  };
};

/** B5. @throws PromiseError when the file is not what was announced; RetryableError when a newer one took its place meanwhile */
const readSnapshot = async (env: Env, partition: number, { sequence, message }: NonNullable<History['table']>): Promise<SourceTable> => {
  try {
    return fromSnapshot((await readNamed(env, message.file)).toString('utf8'));
  } catch (error) {
    if (!(error instanceof FileMissingError)) throw error;
    const last = await env.bus.last('STORED', `table.stored.${partition}`);
    if (last?.sequence === sequence) throw error;
    throw new RetryableError(`${message.file.path} was replaced by a newer snapshot`, { cause: error });
  }
};

/** B4: what SEGMENTS took since the snapshot, from the heads alone. */
const replay = async (
  env: Env,
  partition: number,
  snapshotSequence: number | undefined,
  table: SourceTable,
  from: number,
  to: number,
): Promise<void> => {
  if (from > to) return;
  const reader = await env.bus.read(segmentsStream(partition), { start: { sequence: from }, held: 64 });
  try {
    for (let expected = from; expected <= to; ) {
      await reader.ready();
      for (const message of reader.take(64)) {
        if (message.sequence !== expected) {
          const newest = await env.bus.last('STORED', `table.stored.${partition}`);
          if (newest?.sequence !== snapshotSequence)
            throw new RetryableError(`partition ${partition} has a newer snapshot, and SEGMENTS was purged up to it`);
          throw new HistoryError(
            `${segmentsStream(partition)} has no ${expected}, which the table of sources needs: it goes on at ${message.sequence}`,
          );
        }
        const head = decodeHead(message.body);
        for (const source of head.taken) {
          const entry = entryOf(table, source.subject, source.agent, message.received);
          for (const [start, end] of source.ranges) takeAgain(entry, start, end);
        }
        for (const [service, count] of Object.entries(head.missing)) setMissing(table, service, count);
        expected += 1;
        if (expected > to) break;
      }
    }
  } finally {
    await reader.close();
  }
};

/** B10: by sequence only if the message there is still the noted one, else by its receipt time; never from the beginning. */
const resumeMetrics = async (bus: Bus, partition: number, place: Place): Promise<{ start: LogStart; skip: BufferState['skip'] }> => {
  if (place.sequence === 0) return { start: 'first', skip: undefined };
  const there = await bus.at('METRICS', place.sequence);
  if (there?.received === place.received && there.subject.startsWith(`metrics.${partition}.`)) {
    return place.lines < 0
      ? { start: { sequence: place.sequence + 1 }, skip: undefined }
      : { start: { sequence: place.sequence }, skip: { sequence: place.sequence, lines: place.lines } };
  }
  return { start: { time: place.received }, skip: undefined };
};

/** B11: strictly below the noted message, on this partition's filter, if it is still the noted one. */
export const purgeMetrics = (partition: number, place: Place): Output => ({
  do: 'work',
  what: 'purge METRICS',
  run: (env) =>
    orLater(env, 'METRICS', async () => {
      const { bus } = env;
      if (place.sequence === 0) return;
      const there = await bus.at('METRICS', place.sequence);
      if (there?.received === place.received) await bus.purge('METRICS', `metrics.${partition}.>`, place.sequence);
    }),
});

/** A purge is never worth a life: a server that is slow or short of room may not manage it in time. */
const orLater = async ({ bus, log }: Env, stream: string, purge: () => Promise<void>): Promise<void> => {
  try {
    await purge();
  } catch (error) {
    if (!(error instanceof RetryableError) || bus.isClosed) throw error;
    log.warn({ stream, reason: messageOf(error) }, 'not purged, will retry');
  }
};

/**
 * Purges SEGMENTS below what is committed, in a stored part and in a snapshot, and older than `keepMs`. What those three end at
 * stays, whatever its age (W3): it is everybody's place.
 */
export const purgeSegments = (partition: number, oldEnough: number): Output => ({
  do: 'work',
  what: 'purge SEGMENTS',
  run: (env) =>
    orLater(env, 'SEGMENTS', async () => {
      const { bus } = env;
      if (oldEnough === 0) return;
      const lasts = await Promise.all([
        bus.last('STORED', `raw.stored.${partition}`).then((m) => m && readRawStored(m.body)),
        bus.last('STORED', `part.stored.${partition}`).then((m) => m && readPartStored(m.body)),
        bus.last('STORED', `table.stored.${partition}`).then((m) => m && readTableStored(m.body)),
        bus.last('STORED', `place.stored.${partition}`).then((m) => m && readPlaceStored(m.body)),
      ]);
      const [raw, part, table, place] = lasts;
      const read = place && isBeyond(place, part) ? place : part; // W3: where a windower would begin
      const below = Math.min(oldEnough, ...[raw, read, table].map((last) => last?.segments.sequence ?? 0));
      if (below > 0) await bus.purge(segmentsStream(partition), `segment.sealed.${partition}`, below);
    }),
});

/** What a snapshot is made from. */
type Snapshotted = Pick<BufferState, 'partition' | 'writer' | 'open' | 'table' | 'chain' | 'segmentSequence' | 'sealedPlace'>;

/** B5: under a name that holds its offset; announced when it is on disk. */
export const storeTable = (state: Snapshotted): Work => {
  const { partition, writer } = state;
  const offset = state.open.from;
  const segments = { sequence: state.segmentSequence, chain: state.chain };
  forgetSilent(state.table, state.sealedPlace.received - forgetAfterMs);
  const content = Buffer.from(toSnapshot(state.table, offset));
  return {
    do: 'work',
    what: 'store the table of sources',
    run: async ({ storage }) => {
      const path = `state/buffer/${partition}/${String(offset).padStart(12, '0')}-${String(segments.sequence).padStart(12, '0')}-${writer}.json`;
      await storage.create(path, content);
      const file = { path, bytes: content.byteLength, sha256: createHash('sha256').update(content).digest('hex') };
      const body: TableStored = { partition, offset, file, segments };
      const subject = `table.stored.${partition}`;
      return [
        { do: 'publish', message: 'table.stored', subject, body: JSON.stringify(body), fence: subject },
        { do: 'work', what: 'remove older snapshots', run: (env) => removeOlder(env, partition, path) },
      ];
    },
  };
};

/** Names hold offsets, so older ones sort before the announced one. */
const removeOlder = async ({ storage, log }: Env, partition: number, announced: string): Promise<void> => {
  try {
    for (const path of await storage.list(`state/buffer/${partition}`)) if (path < announced) await storage.remove(path);
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error;
    log.warn({ reason: messageOf(error) }, 'older snapshots stay, will retry'); // they go with the next one
  }
};
