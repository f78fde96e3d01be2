/** How much waits for an actor on a partition, and for how long the oldest of it has: from the logs alone. */
import { readPartStored, readRawStored, readRealtimeUpdated } from '../../protocol/messages/readers.js';
import type { SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { decodeHead } from '../../protocol/segment.js';
import type { Bus } from '../bus/bus.js';
import { segmentsStream } from '../bus/streams.js';

/** Of buffers, messages of METRICS: each is a record or more. */
export interface Lag {
  readonly records: number;
  readonly seconds: number;
}

const none: Lag = { records: 0, seconds: 0 };

const secondsSince = (received: number): number => Math.max(0, Math.round((Date.now() - received) / 100) / 10);

/** The messages of METRICS behind the one that the last segment notes. */
export const bufferLag = async (bus: Bus, partition: number, head: SegmentHead | undefined): Promise<Lag> => {
  const start = head === undefined ? 'first' : { sequence: head.metrics.sequence + 1 };
  const reader = await bus.read('METRICS', { filter: `metrics.${partition}.>`, start, held: 1 });
  try {
    const records = reader.pending;
    if (records === 0) return none;
    await reader.ready();
    const [oldest] = reader.take(1);
    return { records, seconds: oldest === undefined ? 0 : secondsSince(oldest.received) };
  } finally {
    void reader.close();
  }
};

/** Records from `place` to where the segments end. */
export const lagBehind = async (bus: Bus, partition: number, place: number, sealed: number): Promise<Lag> => {
  if (place >= sealed) return none;
  const received = await receivedAt(bus, partition, place);
  return { records: sealed - place, seconds: received === undefined ? 0 : secondsSince(received) };
};

/** When the segment was sealed that holds an offset: segments are in order, so it is looked for by halves. */
const receivedAt = async (bus: Bus, partition: number, offset: number): Promise<number | undefined> => {
  const stream = segmentsStream(partition);
  let { first: low, last: high } = await bus.extent(stream);
  let received: number | undefined;
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    const message = await bus.at(stream, middle);
    if (message === undefined) return received;
    if (decodeHead(message.body).to > offset) {
      received = message.received;
      high = middle - 1;
    } else low = middle + 1;
  }
  return received;
};

export type LaggingRole = 'buffer' | 'uploader' | 'windower';

/** Reads only what the role's own rights allow. */
export const readLag = async (bus: Bus, role: LaggingRole, partition: number): Promise<Lag> => {
  const segment = await bus.last(segmentsStream(partition), `segment.sealed.${partition}`);
  const head = segment && decodeHead(segment.body);
  if (role === 'buffer') return bufferLag(bus, partition, head);
  const sealed = head?.to ?? 0;
  if (role === 'uploader') {
    const raw = await bus.last('STORED', `raw.stored.${partition}`);
    return lagBehind(bus, partition, raw ? readRawStored(raw.body).to : 0, sealed);
  }
  const [part, update] = await Promise.all([
    bus.last('STORED', `part.stored.${partition}`),
    bus.last('REALTIME', `realtime.updated.${partition}`),
  ]);
  const stored = part ? readPartStored(part.body).to : 0;
  const windowed = update ? readRealtimeUpdated(update.body).to : 0;
  return lagBehind(bus, partition, Math.max(stored, windowed), sealed);
};
