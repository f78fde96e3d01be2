import t, { type Test } from 'tap';
import type { Bus } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { connect, type Subscription, type ViewChange } from '../../../infra/client/index.js';
import { subscribeView } from '../../../infra/client/subscribe.js';
import { encodeName } from '../../../protocol/name-code.js';
import { startNats, type TestNats } from '../../servers.js';
import { until } from '../../until.js';
import { blocksOf, oneRow } from './stand-in.js';

const MiB = 1024 * 1024;

const begin = async (t: Test): Promise<{ server: TestNats; bus: Bus }> => {
  const server = await startNats(t);
  await ensureStreams({ nats: server.url, partitions: 1, metricsBytesMax: 8 * MiB, segmentsBytesMax: 8 * MiB });
  const bus = await openBus({ nats: server.url }, 'a stand-in');
  t.teardown(() => bus.close());
  return { server, bus };
};

const row = (service: string, msgNum: number) => ({
  service,
  time_stamp: '2026-11-23T10:15:00Z',
  cpu: 1,
  ram: 1,
  disk: 1,
  max_cpu_time: '',
  max_cpu: 1,
  max_ram_time: '',
  max_ram: 1,
  max_disk_time: '',
  max_disk: 1,
  msg_num: msgNum,
});

const publish = (bus: Bus, service: string, position: number, headers?: Record<string, string>): Promise<number> =>
  bus.publish(
    `view.updated.${encodeName(service)}`,
    JSON.stringify({ service, position: [position], batch: null, rows: [row(service, position)] }),
    headers === undefined ? {} : { headers },
  );

/** Takes `count` changes and ends the subscription. */
const take = async (subscription: Subscription, count: number): Promise<ViewChange[]> => {
  const taken: ViewChange[] = [];
  for await (const change of subscription) {
    taken.push(change);
    if (taken.length === count) break;
  }
  return taken;
};

const brief = (changes: readonly ViewChange[]): string[] =>
  changes.map(({ service, position, missed }) => `${service} ${position}${missed ? ' missed' : ''}`);

t.test('C3: a subscription goes on from a position, with the services asked for, and never back', async (t) => {
  const { server, bus } = await begin(t);
  for (const [service, position] of [
    ['a', 1],
    ['b', 2],
    ['a.x', 3],
    ['a', 4],
    ['a', 4],
    ['b', 5],
  ] as const)
    await publish(bus, service, position);
  const client = await connect({ nats: server.url });
  t.teardown(() => client.close());
  t.same(brief(await take(client.subscribe({ since: [1] }), 5)), ['a 1', 'b 2', 'a.x 3', 'a 4', 'b 5'], 'the copy of 4 is not given twice');
  t.same(brief(await take(client.subscribe({ since: [3], services: ['a', 'a.x'] }), 2)), ['a.x 3', 'a 4']);
  const fromNow = client.subscribe({ services: ['a'] });
  const taking = take(fromNow, 1);
  const hearing = setInterval(() => void publish(bus, 'a', ++later), 20);
  let later = 10;
  t.teardown(() => clearInterval(hearing));
  const [first] = await taking;
  clearInterval(hearing);
  t.ok((first?.position[0] ?? 0) > 10, 'from now on means what comes next');
});

t.test('an update in chunks is given once, whole', async (t) => {
  const { server, bus } = await begin(t);
  await publish(bus, 'a', 1, { 'Tidemark-Chunk': '2/2' }); // its beginning is not there
  await publish(bus, 'a', 2, { 'Tidemark-Chunk': '1/2' });
  await publish(bus, 'b', 2);
  await publish(bus, 'a', 2, { 'Tidemark-Chunk': '2/2' });
  const client = await connect({ nats: server.url });
  t.teardown(() => client.close());
  const changes = await take(client.subscribe({ since: [] }), 2);
  t.same(brief(changes), ['b 2', 'a 2']);
  t.equal(changes[1]?.rows.length, 2);
});

t.test('C3: after nats-server was restarted it goes on where it was', async (t) => {
  const { server, bus } = await begin(t);
  const client = await connect({ nats: server.url });
  t.teardown(() => client.close());
  await publish(bus, 'a', 1);
  const subscription = client.subscribe({ since: [0] });
  const iterator = subscription[Symbol.asyncIterator]();
  t.same(brief([(await iterator.next()).value as ViewChange]), ['a 1']);
  const next = iterator.next();
  await server.restart();
  const again = await openBus({ nats: server.url }, 'a stand-in');
  t.teardown(() => again.close());
  while (
    await publish(again, 'a', 2).then(
      () => false,
      () => true,
    )
  ); // until the server has its streams again
  t.same(brief([(await next).value as ViewChange]), ['a 2']);
  await subscription.close();
  t.equal((await iterator.next()).done, true);
});

t.test('C4: when VIEWS has forgotten what came after the position, that is said, with the rows as they are now', async (t) => {
  const { server, bus } = await begin(t);
  bus.hear('view.asked', (message) =>
    message.respond(
      blocksOf([oneRow('a')], {
        batch: null,
        cut: [0],
        position: [9],
        newest: null,
        missing: 0,
        refused: 0,
        late: 0,
      }),
    ),
  );
  await bus.flush();
  for (let i = 1; i <= 3; i++) await publish(bus, 'a', i);
  await bus.purge('VIEWS', 'view.updated.>', 3);
  await publish(bus, 'b', 10);
  const client = await connect({ nats: server.url });
  t.teardown(() => client.close());
  t.same(brief(await take(client.subscribe({ since: [1] }), 2)), ['a 9 missed', 'b 10']);
  t.same(brief(await take(client.subscribe({ since: [3] }), 2)), ['a 3', 'b 10'], 'nothing is missed where the oldest is known');
});

t.test('what a subscription holds does not grow with what it has given', async (t) => {
  const { server, bus } = await begin(t);
  const own = await openBus({ nats: server.url }, 'a subscriber');
  let waits = 0; // for the connection's end: each is kept until then
  const counted = new Proxy(own, {
    get: (target, key) => {
      if (key === 'closed') waits += 1;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const subscription = subscribeView(() => Promise.resolve(counted), { since: [] });
  const given: number[] = [];
  const taking = (async () => {
    for await (const { position } of subscription) {
      given.push(position[0] ?? 0);
      if (given.length === 50) break;
    }
  })();
  for (let i = 1; i <= 50; i++) {
    await publish(bus, 'a', i);
    await until(() => (given.length >= i ? true : undefined)); // each comes alone
  }
  await taking;
  t.ok(waits < 5, `the connection's end is waited for ${waits} times`);
});
