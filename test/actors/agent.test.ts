import { take, VirtualTimeScheduler } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import t from 'tap';
import { alignedTicks, startAgent } from '../../actors/agent.js';
import type { Source } from '../../infra/client/source.js';
import type { Sample } from '../../infra/probe/probe.js';

interface Published {
  subject: string;
  agent: string;
  line: { service: string; host: string; timestamp: string; cpu: number };
}

const deferred = <T>() => {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
};

/** A source that writes down what it is given, and is drained when the test says so. */
const openNotebook = () => {
  const published: Published[] = [];
  const drained = deferred<void>();
  const closed: string[] = [];
  const source = (subject: string, agent: string): Source => ({
    subject,
    agent,
    hasRoom: true,
    sealed: [],
    reached: undefined,
    counts: {
      added: 0,
      known: 0,
      sealed: 0,
      refused: {},
      copies: 0,
      givenUp: 0,
      get kept() {
        return published.length;
      },
      turnedAway: 0,
    },
    add: (line) => published.push({ subject, agent, line: JSON.parse(line as string) as Published['line'] }),
    room: () => Promise.resolve(),
    drained: () => drained.promise,
    acknowledged: () => new Promise(() => undefined),
    ask: () => undefined,
    holds: () => false,
    close: () => closed.push(agent),
  });
  return { published, drained, closed, source };
};

/** Lets virtual time pass up to `ms`, and what promises are waiting do their work. */
const passUntil = async (scheduler: VirtualTimeScheduler, ms: number): Promise<void> => {
  scheduler.maxFrames = ms;
  scheduler.flush();
  await new Promise((resolve) => setImmediate(resolve));
};

const sample: Sample = { cpu: 12.3456789, ram: 2, disk: 3 };

t.test('A1: ticks are the multiples of the interval, whenever it begins', async (t) => {
  const scheduler = new TestScheduler((actual, expected) => t.strictSame(actual, expected));
  scheduler.run(({ expectObservable }) => {
    expectObservable(alignedTicks(10, scheduler).pipe(take(3)), '^').toBe('10ms a 9ms b 9ms (c|)', {
      a: 10,
      b: 20,
      c: 30,
    });
  });
  const late = new VirtualTimeScheduler();
  const ticks: [number, number][] = [];
  late.schedule(
    () =>
      alignedTicks(10, late)
        .pipe(take(2))
        .subscribe((at) => ticks.push([at, late.now()])),
    13,
  );
  late.flush();
  t.strictSame(ticks, [
    [20, 20],
    [30, 30],
  ]);
});

t.test('A1: a timer that fires early gives no instant twice, and a machine that slept leaves out what passed', async (t) => {
  const scheduler = new VirtualTimeScheduler();
  let askew = 0;
  const clock = { now: () => scheduler.now() + askew, schedule: scheduler.schedule.bind(scheduler) };
  const ticks: number[] = [];
  alignedTicks(10, clock)
    .pipe(take(4))
    .subscribe((at) => {
      ticks.push(at);
      askew = ticks.length === 1 ? -1 : ticks.length === 2 ? 34 : askew;
    });
  scheduler.flush();
  t.strictSame(ticks, [10, 20, 60, 70]);
});

t.test('A1: each reading has its instant, service and host, and goes to their subject', async (t) => {
  const scheduler = new VirtualTimeScheduler();
  const { published, source } = openNotebook();
  startAgent({
    service: 'Ticket Service',
    host: 'h.1',
    everyMs: 1000,
    probe: { sample: async () => sample },
    source,
    scheduler,
  });
  await passUntil(scheduler, 1000);
  await passUntil(scheduler, 2000);
  t.match(published, [
    {
      subject: 'metrics.Ticket%20Service.h%2E1',
      line: { service: 'Ticket Service', host: 'h.1', timestamp: '1970-01-01T00:00:01.000Z', cpu: 12.3457 },
    },
    { line: { timestamp: '1970-01-01T00:00:02.000Z' } },
  ]);
  t.equal(published.length, 2);
});

t.test('A2: a sample that fails publishes nothing and is counted, also one that takes too long', async (t) => {
  const scheduler = new VirtualTimeScheduler();
  const { published, source } = openNotebook();
  const slow = deferred<Sample>();
  const answers: (() => Promise<Sample | undefined>)[] = [
    async () => undefined,
    () => Promise.reject(new TypeError('unreadable')),
    async () => sample,
    () => slow.promise,
    async () => sample,
  ];
  const agent = startAgent({
    service: 's',
    host: 'h',
    everyMs: 1000,
    probe: { sample: () => (answers.shift() as () => Promise<Sample>)() },
    source,
    scheduler,
  });
  for (let second = 1; second <= 5; second++) await passUntil(scheduler, second * 1000);
  t.strictSame(
    published.map(({ line }) => line.timestamp.slice(17, 19)),
    ['03'],
  );
  slow.resolve(sample);
  await passUntil(scheduler, 5000);
  await passUntil(scheduler, 6000);
  t.strictSame(
    published.map(({ line }) => line.timestamp.slice(17, 19)),
    ['03', '04', '06'],
  );
  t.strictSame(agent.counts, { ticks: 6, missed: 3 });
});

t.test('A3: each start has an id that nobody had before', async (t) => {
  const { source } = openNotebook();
  const start = () =>
    startAgent({
      service: 's',
      host: 'h',
      everyMs: 1000,
      probe: { sample: async () => sample },
      source,
      scheduler: new VirtualTimeScheduler(),
    });
  t.not(start().agent, start().agent);
});

t.test('A4: a stop measures no more and waits until everything is sealed', async (t) => {
  const scheduler = new VirtualTimeScheduler();
  const { published, drained, closed, source } = openNotebook();
  const agent = startAgent({
    service: 's',
    host: 'h',
    everyMs: 1000,
    probe: { sample: async () => sample },
    source,
    scheduler,
  });
  await passUntil(scheduler, 1000);
  const stopped = agent.stop();
  await passUntil(scheduler, 4000);
  t.strictSame([published.length, closed.length], [1, 0], 'it waits');
  drained.resolve();
  await stopped;
  t.strictSame(closed, [agent.agent]);
});

t.test('A4: a stop waits no longer than its bound, and tells what is not sealed', async (t) => {
  const scheduler = new VirtualTimeScheduler();
  const { closed, source } = openNotebook();
  const agent = startAgent({
    service: 's',
    host: 'h',
    everyMs: 1000,
    probe: { sample: async () => sample },
    source,
    scheduler,
    stopWithinMs: 3000,
  });
  await passUntil(scheduler, 1000);
  const stopped = agent.stop();
  await passUntil(scheduler, 5000);
  t.strictSame(await stopped, { unsealed: 1 });
  t.equal(closed.length, 1);
});
