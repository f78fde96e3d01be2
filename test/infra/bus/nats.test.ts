import t, { type Test } from 'tap';
import type { Bus } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';

import { startNats } from '../../servers.js';

const nats = await startNats(t);
const sizes = { partitions: 4, metricsBytesMax: 8 * 1024 * 1024, segmentsBytesMax: 8 * 1024 * 1024 };
await ensureStreams({ nats: nats.url, ...sizes });

const open = async (test: Test): Promise<Bus> => {
  const bus = await openBus({ nats: nats.url }, 'test');
  test.teardown(() => bus.close());
  return bus;
};

t.test('streams are made once, and another number of partitions is refused', async (t) => {
  t.equal(await ensureStreams({ nats: nats.url, ...sizes }), 4);
  await t.rejects(ensureStreams({ nats: nats.url, ...sizes, partitions: 8 }), { code: 'E_SETTINGS' });
});

t.test('no server: the error says where, and what to do', async (t) => {
  await t.rejects(openBus({ nats: 'nats://127.0.0.1:1' }, 'test'), { code: 'E_OUT_OF_REACH' });
});

t.test('METRICS: the stream itself puts the partition into the subject', async (t) => {
  const bus = await open(t);
  await bus.publish('metrics.web.h1', 'x');
  const message = await bus.last('METRICS', 'metrics.*.web.h1');
  t.match(message?.subject, /^metrics\.[0-3]\.web\.h1$/);
});

t.test('F3: a publish whose expected last sequence is another is refused', async (t) => {
  const bus = await open(t);
  const subject = 'part.stored.3';
  const first = await bus.publish(subject, '1', { expectedLast: 0 });
  await t.rejects(bus.publish(subject, '2', { expectedLast: 0 }), { code: 'E_FENCED' });
  const second = await bus.publish(subject, '2', { expectedLast: first });
  t.equal((await bus.last('STORED', subject))?.sequence, second);
});

t.test('S1: requested, ready and abandoned are fenced as one by a filter', async (t) => {
  const bus = await open(t);
  const requested = await bus.publish('batch.requested', '1', { expectedLast: 0, expectedFilter: 'batch.*' });
  await bus.publish('range.mapped', 'of another filter');
  await t.rejects(bus.publish('batch.ready', '1', { expectedLast: 0, expectedFilter: 'batch.*' }), { code: 'E_FENCED' });
  await bus.publish('batch.abandoned', '1', { expectedLast: requested, expectedFilter: 'batch.*' });
});

t.test('a reader holds no more than it was told to, and gives everything in order', async (t) => {
  const bus = await open(t);
  const count = 3_000;
  for (let i = 0; i < count; i++) await bus.publish('reading.rejected.0', String(i));
  const reader = await bus.read('REJECTED', { filter: 'reading.rejected.0', start: 'first', held: 100 });
  t.teardown(() => reader.close());
  const seen: string[] = [];
  let heldMax = 0;
  while (seen.length < count) {
    await reader.ready();
    await bus.flush(); // whatever was asked for has come by now
    const messages = reader.take(1_000);
    heldMax = Math.max(heldMax, messages.length);
    seen.push(...messages.map((message) => Buffer.from(message.body).toString()));
  }
  t.same(
    seen,
    Array.from({ length: count }, (_, i) => String(i)),
  );
  t.ok(heldMax <= 100, `${heldMax} at once`);
  t.equal(reader.pending, 0);
});

t.test('a reader goes on from a sequence, or from a time', async (t) => {
  const bus = await open(t);
  const sequences: number[] = [];
  for (let i = 0; i < 5; i++) sequences.push(await bus.publish('reading.rejected.1', String(i)));
  const third = await bus.at('REJECTED', sequences[2] as number);
  for (const start of [{ sequence: sequences[2] as number }, { time: third?.received ?? 0 }]) {
    const reader = await bus.read('REJECTED', { filter: 'reading.rejected.1', start });
    await reader.ready();
    const [first] = reader.take(1);
    t.ok((first?.sequence ?? Number.POSITIVE_INFINITY) <= (sequences[2] as number));
    await reader.close();
  }
});

t.test('a reader whose messages are not taken is not lost: where nothing is asked for there is nothing to hear', async (t) => {
  const bus = await open(t);
  const count = 50;
  for (let i = 0; i < count; i++) await bus.publish('reading.rejected.3', String(i));
  const heartbeatMs = 100;
  const reader = await bus.read('REJECTED', { filter: 'reading.rejected.3', start: 'first', held: 10, heartbeatMs });
  t.teardown(() => reader.close());
  await reader.ready();
  await new Promise((resolve) => setTimeout(resolve, 10 * heartbeatMs)); // the silence itself: more than twice what loses a reader
  const seen: string[] = [];
  while (seen.length < count) {
    await reader.ready();
    seen.push(...reader.take(4).map(({ body }) => Buffer.from(body).toString()));
  }
  t.same(
    seen,
    Array.from({ length: count }, (_, i) => String(i)),
  );
});

t.test('who waits for a reader that is closed goes on', async (t) => {
  const bus = await open(t);
  const reader = await bus.read('REJECTED', { start: 'new' });
  const waiting = reader.ready();
  await reader.close();
  await waiting;
  t.throws(() => reader.take(1), { code: 'E_RETRY' });
});

t.test('a reader that asks a server which says nothing any more is lost', async (t) => {
  const bus = await open(t);
  const reader = await bus.read('REJECTED', { start: 'new', heartbeatMs: 100 });
  nats.pause();
  t.teardown(() => nats.resume());
  await reader.ready();
  t.throws(() => reader.take(1), { code: 'E_RETRY', message: /nothing heard for 400 ms/ });
  nats.resume();
  await reader.close();
});

t.test('F5: when the connection is lost, its readers and publishes fail and none comes back by itself', async (t) => {
  const bus = await openBus({ nats: nats.url }, 'test');
  const reader = await bus.read('REJECTED', { start: 'new' });
  await nats.kill();
  await bus.closed;
  await reader.ready();
  t.throws(() => reader.take(1), { code: 'E_RETRY' });
  await t.rejects(bus.publish('reading.rejected.2', 'x'), { code: 'E_RETRY' });
  await nats.start();
  t.equal(bus.isClosed, true);
});

t.test('a bucket: create wins once, update needs the revision, values expire', async (t) => {
  const bus = await open(t);
  const bucket = await bus.bucket('TEST', { ttlMs: 1_000 });
  const revision = await bucket.create('a.b', 'me');
  t.ok(revision);
  t.equal(await bucket.create('a.b', 'you'), undefined);
  t.equal(await bucket.update('a.b', 'you', 99), undefined);
  t.ok(await bucket.update('a.b', 'me', revision as number));
  t.same([...(await bucket.all()).keys()], ['a.b']);
  for (let expired = false; !expired; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    expired = (await bucket.all()).size === 0;
  }
  t.ok(await bucket.create('a.b', 'you'));
});

t.test('a question without anybody to answer fails at once', async (t) => {
  const bus = await open(t);
  await t.rejects(
    async () => {
      for await (const _ of bus.ask('nobody.home', '', { timeoutMs: 5_000 })) t.fail('an answer');
    },
    { code: 'E_OUT_OF_REACH' },
  );
});
