/** A power cut may take a stream as a whole, if it is not synced: it is made again, and everybody goes on. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { openBus } from '../../infra/bus/nats.js';
import { queryExact } from '../../infra/client/query.js';
import { fromTuple } from '../../protocol/messages/row-tuple.js';
import { answered, publishAll, type Reading, startSystem } from './system.js';

const at = Date.UTC(2026, 10, 23, 10, 15);

t.test(
  'METRICS and REALTIME that are gone after a crash are made again, and nothing is lost or counted twice',
  { timeout: 120_000 },
  async (t) => {
    const system = await startSystem(t);
    const readings = (from: number): Reading[] =>
      Array.from({ length: 200 }, (_, i) => ({ service: 'web', host: 'h1', timestamp: at + from + i, cpu: i % 100, ram: 1, disk: 2 }));
    await publishAll(system, readings(0));
    await system.nats.kill();
    for (const stream of ['METRICS', 'REALTIME']) {
      rmSync(path.join(system.data, 'nats', 'jetstream', '$G', 'streams', stream), { recursive: true });
    }
    await system.nats.start();
    const after = await publishAll(system, readings(1_000));
    const bus = await openBus({ nats: system.nats.url }, 'test again');
    t.teardown(() => bus.close());
    const { rows } = await answered(() => queryExact(bus, { from: at, to: at + 60_000, after, waitMs: 30_000 }));
    t.same(
      rows.map(fromTuple).map(({ service, row }) => [service, row.messages]),
      [['web', 400]],
    );
  },
);
