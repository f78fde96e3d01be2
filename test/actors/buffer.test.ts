import t from 'tap';
import { hasNumber } from '../../protocol/range.js';
import { startSystem } from '../system/system.js';
import { fence, line, openPublishing, sealedCount, segmentsOf } from './buffer/publishing.js';
import { readLog } from './segment-log.js';

t.test('the buffer on a real server', async (t) => {
  const system = await startSystem(t, { partitions: '1' }, ['buffer']);
  const publishing = await openPublishing(t, system.nats.url);
  const { bus } = system;

  await t.test('B12: what is refused stands in REJECTED byte for byte, with its reason; the rest of the message is taken', async (t) => {
    const bad = Buffer.concat([Buffer.from('{"service":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const lines = Buffer.concat([
      Buffer.from(`${line()}\r\n\n`),
      bad,
      Buffer.from(`\n${line({ disk: 10_001 })}\n${line({ host: 'other' })}\n${line({ cpu: 7 })}\n`),
    ]);
    await publishing.publish(lines, { agent: 'mixed', n: 11 });
    const ack = await publishing.acknowledged((one) => hasNumber(one.sealed, 16), 'mixed');
    t.same(ack.sealed, [[11, 17]], 'refused and empty lines are taken too');
    t.same(ack.refused, [
      { n: 13, reason: 'not UTF-8' },
      { n: 14, reason: 'disk above 10000' },
      { n: 15, reason: "host is not the subject's" },
    ]);
    const rejected = await readLog(bus, 'REJECTED', 'reading.rejected.0');
    t.same(
      rejected.map(({ body }) => Buffer.from(body)),
      [bad, Buffer.from(line({ disk: 10_001 })), Buffer.from(line({ host: 'other' }))],
    );
    t.same(
      rejected.map((one) => ['Subject', 'Reason', 'Line'].map((name) => one.header(`Tidemark-${name}`))),
      [
        ['metrics.web.h1', 'not UTF-8', '2'],
        ['metrics.web.h1', 'disk above 10000', '3'],
        ['metrics.web.h1', "host is not the subject's", '4'],
      ],
    );
    const metrics = await readLog(bus, 'METRICS', 'metrics.>');
    const { sequence, received } = metrics[0] as { sequence: number; received: number };
    t.same(
      rejected.map((one) => one.header('Nats-Msg-Id')),
      [2, 3, 4].map((index) => `${sequence}-${received}-${index}`),
    );
    const { heads, records } = await segmentsOf(t, bus);
    t.same(heads[0]?.refused, { web: { 'not UTF-8': 1, 'disk above 10000': 1, "host is not the subject's": 1 } });
    t.same(
      records.map(({ n, cpu, subject, agent }) => [n, cpu, subject, agent]),
      [
        [11, 1, 'metrics.web.h1', 'mixed'],
        [16, 7, 'metrics.web.h1', 'mixed'],
      ],
    );
    t.equal(ack.offset, 2);
  });

  await t.test('B2: a copy of a sealed reading is acknowledged again, also from a second connection and another form', async (t) => {
    await publishing.publish(line(), { agent: 'copied', n: 1 });
    await publishing.acknowledged((ack) => sealedCount(ack) === 1, 'copied');
    const before = (await segmentsOf(t, bus)).records.length;
    await publishing.publish(line(), { agent: 'copied', n: 1, connection: await publishing.connection() });
    t.same((await publishing.acknowledged(() => true, 'copied')).sealed, [[1, 2]]);
    await publishing.publish(line({ agent: 'copied', n: 1, cpu: 99 }));
    t.same((await publishing.acknowledged(() => true, 'copied')).sealed, [[1, 2]], 'in the line, with another value');
    await fence(publishing, 'behind copies');
    t.equal((await segmentsOf(t, bus)).records.length, before + 1);
  });

  await t.test('B3: each source hears of its own, the same agent id on two subjects', async (t) => {
    await publishing.publish(line(), { agent: 'two', n: 1 });
    await publishing.publish(line({ host: 'h2' }), { subject: 'metrics.web.h2', agent: 'two', n: 5 });
    t.same((await publishing.acknowledged(() => true, 'two', 'metrics.web.h1')).sealed, [[1, 2]]);
    t.same((await publishing.acknowledged(() => true, 'two', 'metrics.web.h2')).sealed, [[5, 6]]);
  });

  await t.test('a hole is missing until it is filled, or given up by Tidemark-Oldest (B6)', async (t) => {
    const missing = async (): Promise<number | undefined> =>
      (await segmentsOf(t, bus)).heads.map((head) => head.missing.Holes).findLast((count) => count !== undefined);
    const source = { subject: 'metrics.Holes.h', agent: 'holes' };
    const one = line({ service: 'Holes', host: 'h' });
    await publishing.publish(one, { ...source, n: 1 });
    await publishing.publish(one, { ...source, n: 5 });
    await publishing.acknowledged((ack) => sealedCount(ack) === 2, 'holes');
    t.equal(await missing(), 3);
    await publishing.publish(one, { ...source, n: 3 });
    t.same((await publishing.acknowledged((ack) => sealedCount(ack) === 3, 'holes')).sealed, [
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    t.equal(await missing(), 2);
    await publishing.publish(one, { ...source, n: 6, oldest: 5 });
    t.same((await publishing.acknowledged((ack) => hasNumber(ack.sealed, 6), 'holes')).sealed, [[1, 7]]);
    t.equal(await missing(), 0);
    const before = (await segmentsOf(t, bus)).records.length;
    await publishing.publish(one, { ...source, n: 2 });
    await publishing.acknowledged(() => true, 'holes');
    await fence(publishing, 'behind holes');
    t.equal((await segmentsOf(t, bus)).records.length, before + 1, 'a copy below Tidemark-Oldest is dropped');
  });

  await t.test('B9: when only copies came, a segment without records moves the position', async (t) => {
    await publishing.publish(line(), { agent: 'copied', n: 1 });
    const last = await bus.last('METRICS', 'metrics.>');
    for (;;) {
      const { heads } = await segmentsOf(t, bus);
      const head = heads.at(-1);
      if (head?.metrics.sequence !== last?.sequence) {
        await new Promise(setImmediate);
        continue;
      }
      t.equal(head?.from, head?.to);
      break;
    }
  });

  await t.test('B2, B4, B10: after a restart copies are known, nothing is taken twice, and what came meanwhile is taken', async (t) => {
    const before = (await segmentsOf(t, bus)).records.length;
    await publishing.publish(line({ cpu: 41 })); // without an identity
    await fence(publishing, 'before the stop');
    await system.stop();
    await publishing.publish(line({ cpu: 42 }));
    system.start();
    await publishing.publish(line(), { agent: 'copied', n: 1 });
    t.same((await publishing.acknowledged(() => true, 'copied')).sealed, [[1, 2]]);
    await fence(publishing, 'behind the restart');
    const { records } = await segmentsOf(t, bus);
    t.same(
      records.slice(before).map(({ cpu }) => cpu),
      [41, 1, 42, 1],
    );
  });

  await t.test('what is held at a stop is sealed and acknowledged', async (t) => {
    await system.stop();
    await system.start();
    await fence(publishing, 'before the last stop');
    await publishing.publish(line(), { agent: 'held', n: 1 });
    await system.stop();
    const { records } = await segmentsOf(t, bus);
    if (records.some(({ agent }) => agent === 'held'))
      await publishing.acknowledged(() => true, 'held'); // it was taken before the stop
    else t.pass('it was not read yet');
  });
});
