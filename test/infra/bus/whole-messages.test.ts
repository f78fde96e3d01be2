import { randomBytes } from 'node:crypto';
import t from 'tap';
import type { PlainMessage } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { startNats } from '../../servers.js';
import { until } from '../../until.js';

t.test('a message that comes in pieces is gathered in memory of its own size, byte for byte', async (t) => {
  const { url } = await startNats(t);
  const hearing = await openBus({ nats: url }, 'hears');
  const telling = await openBus({ nats: url }, 'tells');
  t.teardown(async () => {
    await hearing.close();
    await telling.close();
  });
  const heard: PlainMessage[] = [];
  hearing.hear('pieces.>', (message) => {
    heard.push(message);
  });
  await hearing.flush();
  const sizes = [0, 1, 65_535, 65_536, 65_537, 100_000, 131_072, 700_001, 1_000_000, 3, 999_999];
  const bodies = sizes.map((size) => randomBytes(size));
  for (const [i, body] of bodies.entries()) telling.tell(`pieces.${i}`, body, i % 2 === 0 ? {} : { 'Tidemark-Test': String(i) });
  await until(() => (heard.length === bodies.length ? true : undefined));
  t.ok(
    heard.every(({ body }, i) => Buffer.compare(body, bodies[i] as Buffer) === 0),
    'byte for byte',
  );
  const large = heard.filter(({ body }) => body.byteLength > 600_000);
  t.equal(large.length, 3);
  for (const { body } of large) t.ok(body.buffer.byteLength < body.byteLength + 1_000, `${body.buffer.byteLength} for ${body.byteLength}`);
});
