import t from 'tap';
import type { RunningActor, ShareSeen } from '../../../infra/actor/host.js';
import { OutOfReachError } from '../../../infra/errors.js';
import { ActorMetrics } from '../../../infra/ops/metrics.js';
import { startOpsServer, whyNotReady } from '../../../infra/ops/server.js';

const actorOf = (share: () => ShareSeen, more: Partial<RunningActor> = {}): RunningActor => ({
  name: 'buffer',
  instance: '1f',
  ended: Promise.resolve(),
  status: () => ({
    actor: 'buffer',
    instance: '1f',
    pid: 1,
    host: 'h',
    state: 'working',
    partitions: [0],
    places: { 0: 7 },
    counts: {},
    at: 0,
  }),
  shares: () => [share()],
  ends: () => ({ lost: 1 }),
  ...more,
});

const metricOf = (text: string, line: string): number =>
  Number(
    text
      .split('\n')
      .find((one) => one.startsWith(`${line} `))
      ?.slice(line.length),
  );

t.test('O1: a counter never goes down, and nothing of a life that ended is lost', async (t) => {
  let share: ShareSeen = { partition: 0, life: 1, counts: { records: 10, 'refused: not JSON': 2 }, isAlive: true, trouble: undefined };
  const metrics = new ActorMetrics([actorOf(() => share)], () => Promise.reject(new OutOfReachError('no server')));
  t.teardown(() => metrics.close());
  metrics.take();
  share = { ...share, counts: { records: 15, 'refused: not JSON': 3 } };
  metrics.take();
  share = { ...share, life: 2, counts: { records: 4 } };
  const text = await metrics.scrape();
  t.equal(metricOf(text, 'tidemark_records_sealed_total'), 19);
  t.equal(metricOf(text, 'tidemark_refused_total{reason="not JSON"}'), 3);
  t.equal(metricOf(text, 'tidemark_lives_ended_total{actor="buffer",kind="lost"}'), 1);
  t.equal(metricOf(text, 'tidemark_place{actor="buffer",partition="0"}'), 7);
  t.equal(metricOf(await metrics.scrape(), 'tidemark_records_sealed_total'), 19, 'asking again counts nothing twice');
});

t.test('O2: a scrape answers in time while nothing answers it, and says so', async (t) => {
  const share: ShareSeen = { partition: 0, life: 1, counts: {}, isAlive: true, trouble: undefined };
  const never = new Promise<never>(() => undefined);
  const metrics = new ActorMetrics([actorOf(() => share, { collect: () => never })], () => never);
  const text = await metrics.scrape();
  t.equal(metricOf(text, 'tidemark_scrape_failures_total'), 2, 'the lag, and what is collected');
  t.ok(text.includes('nodejs_eventloop_lag_p99_seconds'));
});

t.test('O3: alive whatever is wrong; ready when everybody works, and else the reasons', async (t) => {
  let share: ShareSeen = { partition: 0, life: 1, counts: {}, isAlive: false, trouble: undefined };
  const actors = [actorOf(() => share)];
  const metrics = new ActorMetrics(actors, () => Promise.reject(new OutOfReachError('no server')));
  let toldAt = Date.now();
  const server = await startOpsServer({ host: '127.0.0.1', port: 0 }, { actors, toldAt: () => toldAt }, metrics);
  t.teardown(() => server.close());
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  t.equal((await get('/livez')).status, 200);
  t.match(await get('/readyz'), { status: 503, text: /buffer 1f: partition 0: begins/ });
  share = { ...share, trouble: 'fenced' };
  t.match(await get('/readyz'), { status: 503, text: /partition 0: fenced/ });
  share = { ...share, isAlive: true };
  t.match(await get('/readyz'), { status: 200, text: '{"ready":true,"reasons":[]}\n' });
  toldAt = Date.now() - 60_000;
  t.match(await get('/readyz'), { status: 503, text: /NATS has taken nothing for 60 s/ });
  t.equal((await get('/livez')).status, 200);
  t.match(await get('/metrics'), { status: 200, text: /^# HELP /m });
  t.equal((await get('/else')).status, 404);
  t.equal((await fetch(`http://127.0.0.1:${server.port}/livez`, { method: 'POST' })).status, 405);
  await t.rejects(startOpsServer({ host: '127.0.0.1', port: server.port }, { actors, toldAt: () => 0 }, metrics), {
    code: 'E_OUT_OF_REACH',
  });
});

t.test('who stops, or failed, is not ready', (t) => {
  const status = actorOf(() => ({ partition: 0, life: 1, counts: {}, isAlive: true, trouble: undefined })).status();
  const why = (state: string, error?: string) =>
    whyNotReady(
      {
        toldAt: () => 0,
        actors: [
          { name: 'merger', instance: '2a', ended: Promise.resolve(), status: () => ({ ...status, state, ...(error ? { error } : {}) }) },
        ],
      },
      1_000,
    );
  t.same(why('working'), []);
  t.same(why('standby'), []);
  t.same(why('stopping'), ['merger 2a: stopping']);
  t.same(why('failed', 'the log is another'), ['merger 2a: failed: the log is another']);
  t.end();
});
