import t from 'tap';
import { windower } from '../../actors/windower.js';
import { chunkBytesMax } from '../../protocol/messages/chunks.js';
import { readPartStored, readRealtimeUpdated } from '../../protocol/messages/readers.js';
import type { Reading } from '../system/system.js';
import { openWorld, readLog } from './segment-log.js';

const at = Date.UTC(2026, 10, 23, 10, 15);

t.test('an update and a part fit into their messages, whatever names were refused, and sums by reason are right', async (t) => {
  const world = await openWorld(t, { partEvery: '1h' });
  const name = (i: number): string => `made up \u0001${i}`;
  const services = 4_000;
  for (let i = 0; i < 20; i++) {
    const readings = Array.from(
      { length: services / 20 },
      (_, k): Reading => ({
        service: `${'\u0001'.repeat(150)}${i * 200 + k}`,
        host: 'h',
        timestamp: at,
        cpu: 1,
        ram: 2,
        disk: 3,
      }),
    );
    const refused = Object.fromEntries(Array.from({ length: 500 }, (_, k) => [name(i * 500 + k), { 'not JSON': 1, 'cpu below 0': 2 }]));
    await world.seal(0, readings, { refused });
  }
  const life = await world.live(windower, 0);
  await life.reached(services);
  const bus = await world.open();
  bus.tell('part.asked', '');
  while ((await bus.last('STORED', 'part.stored.0')) === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
  await life.stop();
  const updates = await readLog(bus, 'REALTIME', 'realtime.updated.0');
  const parts = await readLog(bus, 'STORED', 'part.stored.0');
  for (const { body } of [...updates, ...parts]) t.ok(body.byteLength <= chunkBytesMax, `${body.byteLength} bytes`);
  for (const { refused } of [readRealtimeUpdated(updates.at(-1)?.body as Uint8Array), readPartStored(parts[0]?.body as Uint8Array)]) {
    const sum = (reason: string): number => Object.values(refused).reduce((all, reasons) => all + (reasons[reason] ?? 0), 0);
    t.same([sum('not JSON'), sum('cpu below 0')], [10_000, 20_000]);
    t.ok((refused['']?.['not JSON'] ?? 0) > 1_000, 'what has no more room counts to nobody');
  }
});
