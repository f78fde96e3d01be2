import { request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import t, { type Test } from 'tap';
import { EventRing, viewEvent } from '../../../actors/dashboard/event-ring.js';
import type { Bus } from '../../../infra/bus/bus.js';
import { toViewRow } from '../../../protocol/minute-row.js';
import { encodeName } from '../../../protocol/name-code.js';
import { until } from '../../until.js';
import { minute, rowOf, type Served, serve } from './served.js';

interface Heard {
  readonly event: string;
  readonly id?: string;
  readonly data: {
    service?: string;
    position?: number[];
    rows?: { time_stamp: string; msg_num: number }[];
    reason?: string;
    batch?: string;
  };
}

/** One reader; its events as they come. */
const listen = async (t: Test, port: number, query = '', headers: Record<string, string> = {}) => {
  const heard: Heard[] = [];
  let comments = 0;
  let isClosed = false;
  const asking = request({ port, host: '127.0.0.1', path: `/api/v1/events${query}`, headers });
  t.teardown(() => asking.destroy());
  const statusCode = await new Promise<number>((resolve, reject) => {
    asking.on('error', reject);
    asking.on('response', (response) => {
      let rest = '';
      response.setEncoding('utf8');
      response.on('error', () => undefined);
      response.on('close', () => {
        isClosed = true;
      });
      response.on('data', (chunk: string) => {
        const blocks = (rest + chunk).split('\n\n');
        rest = blocks.pop() as string;
        for (const block of blocks) {
          if (block.includes('\n:') || block.startsWith(':')) comments += 1;
          const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
          const event = field('event');
          const id = field('id');
          if (event !== undefined) heard.push({ event, ...(id === undefined ? {} : { id }), data: JSON.parse(field('data') ?? 'null') });
        }
      });
      resolve(response.statusCode ?? 0);
    });
    asking.end();
  });
  return { heard, statusCode, comments: () => comments, isClosed: () => isClosed, end: () => asking.destroy() };
};

const update = (service: string, position: number[], at = minute, messages = 1) => {
  const { row } = rowOf(service, at, 10, messages);
  return { service, position, batch: null, rows: [toViewRow(service, at, row)] };
};

const publish = async (bus: Bus, ...updates: ReturnType<typeof update>[]): Promise<void> => {
  for (const one of updates) await bus.publish(`view.updated.${encodeName(one.service)}`, JSON.stringify(one));
};

/** Listens, and follows VIEWS. */
const start = async (t: Test, served: Served): Promise<number> => {
  await served.server.listen({ host: '127.0.0.1', port: 0 });
  const stop = new AbortController();
  const following = served.feed.follow(stop.signal);
  t.teardown(async () => {
    stop.abort();
    await following;
  });
  return (served.server.server.address() as AddressInfo).port;
};

const positionOf = ({ data }: Heard) => data.position?.join(',');

t.test('changes are gathered: one event for a service, rows whole, the newest of each minute', async (t) => {
  const served = await serve(t);
  const port = await start(t, served);
  const all = await listen(t, port);
  const web = await listen(t, port, '?service=web');
  t.equal(all.statusCode, 200);
  await until(() => (all.comments() > 0 ? true : undefined));
  await publish(
    served.bus,
    update('web', [1, 0]),
    update('db', [1, 1]),
    update('web', [2, 1], minute, 2),
    update('web', [3, 1], minute + 60_000),
  );
  await until(() => (web.heard.some((one) => positionOf(one) === '3,1') ? true : undefined));
  await until(() => (all.heard.some((one) => positionOf(one) === '3,1') ? true : undefined));
  t.ok(
    web.heard.every(({ event, data }) => event === 'view' && data.service === 'web'),
    'only what was asked for',
  );
  t.same(web.heard.at(-1)?.id, '3,1');
  const newest = new Map(web.heard.flatMap(({ data }) => (data.rows ?? []).map((row) => [row.time_stamp, row.msg_num])));
  t.same(
    [...newest],
    [
      ['2026-11-23T10:15:00Z', 2],
      ['2026-11-23T10:16:00Z', 1],
    ],
  );
  t.ok(all.heard.some(({ data }) => data.service === 'db'));
  served.bus.tell('view.proved', JSON.stringify({ batch: '000002' }));
  await until(() => (all.heard.some(({ event, data }) => event === 'proved' && data.batch === '000002') ? true : undefined));
});

t.test('D3: a reader that comes back gets what came after its last event, also from a new dashboard', async (t) => {
  const served = await serve(t);
  await publish(served.bus, update('web', [1, 0]), update('web', [2, 0]));
  const port = await start(t, served);
  const first = await listen(t, port, '?since=1,0');
  await until(() => (first.heard.some((one) => positionOf(one) === '2,0') ? true : undefined)); // published before this dashboard was there
  first.end();
  await publish(served.bus, update('web', [3, 0], minute, 3), update('db', [3, 1]));
  const other = await listen(t, port);
  await publish(served.bus, update('web', [4, 1], minute, 4));
  await until(() => (other.heard.some((one) => positionOf(one) === '4,1') ? true : undefined));
  const back = await listen(t, port, '?since=0', { 'last-event-id': '2,0' });
  await until(() => (back.heard.some((one) => positionOf(one) === '4,1') ? true : undefined));
  t.same([...new Set(back.heard.map(({ event }) => event))], ['view']);
  t.ok(back.heard.some(({ data }) => data.service === 'db'));
  t.equal(back.heard.filter(({ data }) => data.service === 'web').at(-1)?.data.rows?.[0]?.msg_num, 4);
});

t.test('D3: what is not kept any more is said: reload', async (t) => {
  const served = await serve(t);
  const port = await start(t, served);
  const live = await listen(t, port);
  const updates = Array.from({ length: 40 }, (_, i) => ({
    ...update(`${i}${'x'.repeat(150)}`, [i + 1, 0]),
    rows: Array.from({ length: 120 }, (__, m) => update('x', [0], minute + m * 60_000).rows[0] as never),
  }));
  await publish(served.bus, ...updates);
  await until(() => (live.heard.some((one) => positionOf(one) === '40,0') ? true : undefined));
  t.ok(
    served.feed.ring.since([39, 0], () => true),
    'the newest are kept',
  );
  const late = await listen(t, port, '?since=1,0');
  await until(() => (late.heard.length > 0 ? true : undefined));
  t.match(late.heard, [{ event: 'reload', data: { reason: /not kept/ } }]);
  const again = await listen(t, port, '?since=40,0');
  await publish(served.bus, update('web', [41, 0]));
  await until(() => (again.heard.some((one) => positionOf(one) === '41,0') ? true : undefined));
  t.notOk(again.heard.some(({ event }) => event === 'reload'));
});

t.test('the ring: bounded, and honest about its floor', (t) => {
  const ring = new EventRing(10_000);
  const all = () => true;
  t.equal(ring.since([5], all), undefined, 'nothing is known yet');
  ring.begin({ position: [5], included: false });
  t.equal(ring.since([5], all), undefined, 'others of that position may have been before');
  t.same(ring.since([6], all), []);
  t.equal(ring.since([4], all), undefined);
  ring.begin({ position: [5], included: true });
  const event = (at: number) => viewEvent(update('web', [at]));
  ring.add([event(6), event(7)]);
  t.same(
    ring.since([5], all)?.map(({ position }) => position),
    [[6], [7]],
  );
  t.same(
    ring.since([7], all)?.map(({ position }) => position),
    [[7]],
    'what is at it comes again',
  );
  t.same(
    ring.since([5], (service) => service === 'db'),
    [],
  );
  for (let at = 8; at < 200; at++) ring.add([event(at)]);
  t.equal(ring.since([7], all), undefined);
  t.ok((ring.since([198], all) ?? []).length > 0);
  const held = ring.since([190], all) ?? [];
  t.ok(held.reduce((sum, { text }) => sum + text.length, 0) <= 10_000);
  for (let at = 190; at < 200; at++) t.equal(held[at - 190]?.text.toString(), event(at).text.toString(), 'as it was, wherever it lies');
  ring.add([event(200), viewEvent(update('x'.repeat(20_000), [201]))]);
  t.equal(ring.since([201], all), undefined, 'larger than the ring: nothing is kept');
  ring.add([event(202)]);
  t.same(
    ring.since([202], all)?.map(({ service, position }) => [service, position]),
    [['web', [202]]],
  );
  t.end();
});

t.test('D4: who does not read is dropped, and nobody else waits', { timeout: 120_000 }, async (t) => {
  const served = await serve(t);
  const port = await start(t, served);
  const deaf = connect(port, '127.0.0.1');
  t.teardown(() => deaf.destroy());
  let isDeafClosed = false;
  deaf.on('error', () => undefined);
  deaf.on('close', () => {
    isDeafClosed = true;
  });
  deaf.pause();
  deaf.write('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until(() => (served.feed.listeners.size === 1 ? true : undefined));
  const reader = await listen(t, port);
  const rows = Array.from({ length: 1_000 }, (_, m) => update('web', [0], minute + m * 60_000).rows[0] as never);
  let position = 0;
  while (served.feed.listeners.size > 1) {
    position += 1;
    await publish(served.bus, { ...update('web', [position, 0]), rows });
    await until(() => (reader.heard.some((one) => Number(one.id?.split(',')[0]) >= position) ? true : undefined));
    if (position > 400) break;
  }
  t.equal(served.feed.listeners.size, 1, `dropped after ${position} events`);
  t.equal(reader.isClosed(), false);
  deaf.resume();
  await until(() => (isDeafClosed ? true : undefined));
});

t.test('a thousand idle readers: the same bytes for all', { timeout: 120_000 }, async (t) => {
  const served = await serve(t);
  const port = await start(t, served);
  const readers: Awaited<ReturnType<typeof listen>>[] = [];
  for (let i = 0; i < 1_000; i += 100) readers.push(...(await Promise.all(Array.from({ length: 100 }, () => listen(t, port)))));
  const since = performance.now();
  await publish(served.bus, update('web', [1, 0]));
  await until(() => (readers.every(({ heard }) => heard.length > 0) ? true : undefined));
  t.comment(`all had it after ${Math.round(performance.now() - since)} ms`);
  const { statusCode } = await served.server.inject({ url: '/api/v1/views?from=now-1h&to=now', headers: { host: 'localhost' } });
  t.equal(statusCode, 200);
  for (const { end } of readers) end();
  await until(() => (served.feed.listeners.size === 0 ? true : undefined));
});
