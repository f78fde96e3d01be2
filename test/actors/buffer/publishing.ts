import { connect, type NatsConnection, headers as newHeaders } from '@nats-io/transport-node';
import type { Test } from 'tap';
import { followSegment, segmentsBeginning } from '../../../infra/actor/segments.js';
import type { Bus } from '../../../infra/bus/bus.js';
import { readReadingSealed } from '../../../protocol/messages/readers.js';
import type { ReadingSealed } from '../../../protocol/messages/reading-sealed.js';
import type { RecordLine, SegmentHead } from '../../../protocol/messages/segment-sealed.js';
import { encodeName } from '../../../protocol/name-code.js';
import { countRanges } from '../../../protocol/range.js';
import { readSegments } from '../segment-log.js';

export const at = Date.UTC(2026, 10, 23, 10, 15);
export const line = (more: object = {}): string =>
  JSON.stringify({ service: 'web', host: 'h1', timestamp: at, cpu: 1, ram: 2, disk: 3, ...more });

export interface Publishing {
  publish(
    lines: string | Uint8Array,
    options?: { subject?: string; agent?: string; n?: number; oldest?: number; connection?: NatsConnection },
  ): Promise<void>;
  /** The newest acknowledgement of a source, once it holds. */
  acknowledged(holds: (ack: ReadingSealed) => boolean, agent?: string, subject?: string): Promise<ReadingSealed>;
  connection(): Promise<NatsConnection>;
}

/** A source of the test's own: publishes as anybody may, and hears acknowledgements. */
export const openPublishing = async (t: Test, url: string): Promise<Publishing> => {
  const connections: NatsConnection[] = [];
  const connection = async (): Promise<NatsConnection> => {
    const made = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    connections.push(made);
    return made;
  };
  t.teardown(async () => {
    for (const one of connections) await one.close();
  });
  const own = await connection();
  const acks: ReadingSealed[] = [];
  let heard: () => void = () => undefined;
  own.subscribe('reading.sealed.>', {
    callback: (_, { data, subject }) => {
      const ack = readReadingSealed(data);
      t.equal(subject, `reading.sealed.${encodeName(ack.agent)}`);
      acks.push(ack);
      heard();
    },
  });
  await own.flush();
  return {
    connection,
    publish: async (lines, { subject = 'metrics.web.h1', agent, n, oldest, connection: over = own } = {}) => {
      const headers = newHeaders();
      if (agent !== undefined) headers.set('Tidemark-Agent', agent);
      if (n !== undefined) headers.set('Tidemark-N', String(n));
      if (oldest !== undefined) headers.set('Tidemark-Oldest', String(oldest));
      // With an answer, so that it is in METRICS when this returns. Again while there is no stream, or no server, yet.
      for (let tries = 50; ; tries--) {
        try {
          const { seq } = (await over.request(subject, lines, { headers, timeout: 1_000 })).json<{ seq?: number }>();
          t.type(seq, 'number');
          return;
        } catch (error) {
          if (tries === 0) throw error;
          await new Promise((resolve) => {
            setTimeout(resolve, 50);
          });
        }
      }
    },
    acknowledged: async (holds, agent, subject) => {
      for (;;) {
        const found = acks.findIndex((ack) => (agent ?? ack.agent) === ack.agent && (subject ?? ack.subject) === ack.subject && holds(ack));
        if (found >= 0) return acks.splice(found, 1)[0] as ReadingSealed;
        await new Promise<void>((resolve) => {
          heard = resolve;
        });
      }
    },
  };
};

export const segmentsOf = async (t: Test, bus: Bus, partition = 0): Promise<{ heads: SegmentHead[]; records: RecordLine[] }> => {
  let place = segmentsBeginning;
  const heads: SegmentHead[] = [];
  const records: RecordLine[] = [];
  for (const message of await readSegments(bus, partition)) {
    const followed = followSegment(place, message);
    place = followed.at;
    heads.push(followed.segment.head);
    records.push(
      ...Buffer.from(followed.segment.lines)
        .toString()
        .split('\n')
        .slice(0, -1)
        .map((text) => JSON.parse(text) as RecordLine),
    );
  }
  t.same(
    records.map(({ offset }) => offset),
    records.map((_, i) => i),
    'offsets have no holes',
  );
  return { heads, records };
};

export const sealedCount = (ack: ReadingSealed): number => countRanges(ack.sealed);

/** A reading of a source of its own, behind all that was published before it: when it is acknowledged, they are taken. */
export const fence = async (publishing: Publishing, agent: string): Promise<void> => {
  await publishing.publish(line({ agent, n: 1 }));
  await publishing.acknowledged(() => true, agent);
};
