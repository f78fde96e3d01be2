/**
 * A process that publishes readings as fast as it may, or at a rate, by sources that wait for their acknowledgements.
 * Sends its parent one message at the end. Arguments: one JSON text, PublisherOrder.
 */
import { connectSource } from '../../infra/client/connect.js';
import { openSource, type Source } from '../../infra/client/source.js';
import { encodeName } from '../../protocol/name-code.js';

export interface PublisherOrder {
  readonly nats: string;
  /** How long to offer readings. */
  readonly seconds: number;
  /** Messages a second over all sources; 0: as many as are taken. */
  readonly messagesPerSecond: number;
  readonly linesPerMessage: number;
  readonly services: number;
  readonly hostsPerService: number;
}

export interface PublisherReport {
  readonly readings: number;
  readonly copies: number;
  readonly givenUp: number;
  /** From the first publish until the last acknowledgement. */
  readonly sealedAfterMs: number;
}

/** Percents of two decimals as texts: what offers the readings should not cost what is measured their time. */
const percents = Array.from({ length: 10_000 }, (_, hundredths) => String(hundredths / 100));
const percent = (i: number): string => percents[i % 10_000] as string;

const linesOf = (service: string, host: string): ((i: number) => string) => {
  let second = 0;
  let head = '';
  return (i) => {
    const now = Date.now();
    if (now - second >= 1_000) {
      second = now;
      head = `{"service":"${service}","host":"${host}","timestamp":"${new Date(now).toISOString()}","cpu":`;
    }
    return `${head}${percent(i * 7919)},"ram":${percent(i * 104_729)},"disk":${percent(i * 1_299_709)}}`;
  };
};

const run = async (order: PublisherOrder): Promise<PublisherReport> => {
  const connection = await connectSource({ nats: order.nats }, 'bench publisher');
  const lanes: { source: Source; line: (i: number) => string }[] = [];
  for (let s = 0; s < order.services; s++) {
    for (let h = 0; h < order.hostsPerService; h++) {
      const [service, host] = [`service-${s}`, `host-${h}`];
      const source = openSource({
        connection,
        subject: `metrics.${encodeName(service)}.${host}`,
        agent: `bench-${process.pid}-${s}-${h}`,
        keptReadingsMax: Math.max(500, 10 * order.linesPerMessage),
        keptBytesMax: 16 * 1024 * 1024,
        ...(order.linesPerMessage === 1 ? { identity: 'lines' as const } : {}),
      });
      lanes.push({ source, line: linesOf(service, host) });
    }
  }
  const startedAt = performance.now();
  const elapsedMs = (): number => performance.now() - startedAt;
  let messages = 0;
  while (elapsedMs() < order.seconds * 1_000) {
    const allowed = order.messagesPerSecond === 0 ? Number.POSITIVE_INFINITY : (order.messagesPerSecond * elapsedMs()) / 1_000;
    for (let burst = 0; burst < 500 && messages < allowed; burst++) {
      const { source, line } = lanes[messages % lanes.length] as (typeof lanes)[number];
      if (!source.hasRoom) await source.room();
      if (order.linesPerMessage === 1) source.add(line(messages));
      else source.add(Array.from({ length: order.linesPerMessage }, (_, i) => line(messages * order.linesPerMessage + i)));
      messages += 1;
    }
    await new Promise((resolve) => (messages >= allowed ? setTimeout(resolve, 2) : setImmediate(resolve)));
  }
  await Promise.all(lanes.map(({ source }) => source.drained()));
  const sealedAfterMs = elapsedMs();
  const sum = (of: (source: Source) => number): number => lanes.reduce((total, { source }) => total + of(source), 0);
  const report = {
    readings: messages * order.linesPerMessage,
    copies: sum(({ counts }) => counts.copies),
    givenUp: sum(({ counts }) => counts.givenUp),
    sealedAfterMs,
  };
  for (const { source } of lanes) source.close();
  await connection.close();
  return report;
};

const order = process.argv[2];
if (order !== undefined && process.send) {
  process.once('disconnect', () => process.exit(1)); // nobody waits for its report any more
  const report = await run(JSON.parse(order) as PublisherOrder);
  process.send(report, () => process.exit(0));
}
