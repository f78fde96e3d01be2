/** How far everybody has got, from their own outputs in the logs; and how long what they have not done yet has waited. */
import type { Bus } from '../../infra/bus/bus.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { queryView } from '../../infra/client/query.js';
import { bufferLag, type Lag, lagBehind } from '../../infra/ops/lag.js';
import { readPartStored, readRawStored, readRealtimeUpdated } from '../../protocol/messages/readers.js';
import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';
import type { Terms } from '../../protocol/messages/view.js';
import { decodeHead } from '../../protocol/segment.js';

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

/** How far the view has got, and on which batch: whoever merges answers. */
export const readTerms = async (bus: Bus): Promise<Terms> => (await queryView(bus, { from: 0, to: 60, step: 'range' })).terms;

export const addLags = (lags: readonly Lag[]): Lag => ({
  records: lags.reduce((sum, { records }) => sum + records, 0),
  seconds: lags.reduce((max, { seconds }) => Math.max(max, seconds), 0),
});

export { type Lag, lagBehind };
