/** How far everybody has got, from their own outputs in the logs; and how long what they have not done yet has waited. */
import type { Bus } from '../../infra/bus/bus.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { queryView } from '../../infra/client/query.js';
import { readPartStored, readRawStored, readRealtimeUpdated } from '../../protocol/messages/readers.js';
import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';
import type { SegmentHead } from '../../protocol/messages/segment-sealed.js';
import type { Terms } from '../../protocol/messages/view.js';
import { decodeHead } from '../../protocol/segment.js';

/** How much is waiting, and for how long the oldest of it has. Of buffers, messages of METRICS: each is a record or more. */
export interface Lag {
  readonly records: number;
  readonly seconds: number;
}

export interface PartitionPlaces {
  /** Where its segments end. */
  readonly sealed: number;
  readonly committed: number;
  /** What the real-time layer has published. */
  readonly windowed: number;
  readonly stored: number;
  readonly lastUpdate: RealtimeUpdated | undefined;
  readonly lag: { readonly buffer: Lag; readonly uploader: Lag; readonly windower: Lag };
}

const none: Lag = { records: 0, seconds: 0 };

const secondsSince = (received: number): number => Math.max(0, Math.round((Date.now() - received) / 100) / 10);

export const readPlaces = async (bus: Bus, partition: number): Promise<PartitionPlaces> => {
  const [segment, raw, part, update] = await Promise.all([
    bus.last(segmentsStream(partition), `segment.sealed.${partition}`),
    bus.last('STORED', `raw.stored.${partition}`),
    bus.last('STORED', `part.stored.${partition}`),
    bus.last('REALTIME', `realtime.updated.${partition}`),
  ]);
  const head = segment && decodeHead(segment.body);
  const sealed = head?.to ?? 0;
  const committed = raw ? readRawStored(raw.body).to : 0;
  const stored = part ? readPartStored(part.body).to : 0;
  const lastUpdate = update && readRealtimeUpdated(update.body);
  const windowed = Math.max(stored, lastUpdate?.to ?? 0);
  const [buffer, uploader, windower] = await Promise.all([
    bufferLag(bus, partition, head),
    lagBehind(bus, partition, committed, sealed),
    lagBehind(bus, partition, windowed, sealed),
  ]);
  return { sealed, committed, windowed, stored, lastUpdate, lag: { buffer, uploader, windower } };
};

/** The messages of METRICS behind the one that the last segment notes. */
const bufferLag = async (bus: Bus, partition: number, head: SegmentHead | undefined): Promise<Lag> => {
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

/** How far the view has got, and on which batch: whoever merges answers. */
export const readTerms = async (bus: Bus): Promise<Terms> => (await queryView(bus, { from: 0, to: 60, step: 'range' })).terms;

export const addLags = (lags: readonly Lag[]): Lag => ({
  records: lags.reduce((sum, { records }) => sum + records, 0),
  seconds: lags.reduce((max, { seconds }) => Math.max(max, seconds), 0),
});
