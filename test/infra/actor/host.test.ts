/** What keeps folds and workers running: lives one after another, shares that come and go, tasks that are lost. */
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { FoldDefinition } from '../../../infra/actor/fold.js';
import { hostFold, type WorldOfActors } from '../../../infra/actor/host.js';
import { hostWorker, type WorkerDefinition } from '../../../infra/actor/worker.js';
import type { Bus } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { loadSettings } from '../../../infra/config.js';
import type { MembershipCalls } from '../../../infra/coordination/coordinator.js';
import { HistoryError, PromiseError, RetryableError } from '../../../infra/errors.js';
import { readLog } from '../../actors/segment-log.js';
import { startNats } from '../../servers.js';

const nats = await startNats(t);
const { settings } = loadSettings({ partitions: '2', nats: nats.url }, { env: {} });
await ensureStreams({ ...settings, nats: nats.url });
const open = (): Promise<Bus> => openBus({ nats: nats.url }, 'test');

/** A coordinator of the test's own, that gives and takes shares when it is told to. */
const world = (more: Partial<WorldOfActors> = {}) => {
  let calls: MembershipCalls | undefined;
  const events: string[] = [];
  let joined: () => void = () => undefined;
  const isJoined = new Promise<void>((resolve) => {
    joined = resolve;
  });
  const given = {
    settings,
    log: pino({ level: 'silent' }),
    now: Date.now,
    openBus: open,
    coordinator: {
      join: async (_role: string, _instance: string, shares: number, given: MembershipCalls) => {
        calls = given;
        events.push(`join ${shares}`);
        joined();
        return {
          release: async (share: number) => {
            events.push(`release ${share}`);
          },
          leave: async () => {
            events.push('leave');
          },
        };
      },
      close: async () => undefined,
    },
    ...more,
  } as unknown as WorldOfActors;
  return {
    given,
    events,
    calls: async () => {
      await isJoined;
      return calls as MembershipCalls;
    },
  };
};

type Begin = FoldDefinition<object>['begin'];

/** A fold that only begins and stops; what it did is in `events`. */
const fold = (events: string[], begin: Begin = async () => ({ state: {}, logs: {}, fences: {} })): FoldDefinition<object> => ({
  name: 'windower',
  share: 'partition',
  produces: [],
  begin: async (env, partition) => {
    events.push(`begin ${partition}`);
    return begin(env, partition);
  },
  step: (state, { kind }) => {
    events.push(kind);
    return [state, []];
  },
  place: () => 0,
});

const until = async (events: readonly string[], event: string, times = 1): Promise<void> => {
  while (events.filter((one) => one === event).length < times) await new Promise(setImmediate);
};

t.test('F2, F5: a life that ended is followed by another, on a connection of its own; a stop ends it cleanly', async (t) => {
  const { given, events, calls } = world();
  const stop = new AbortController();
  const buses: Bus[] = [];
  const actor = hostFold(
    fold(events, async ({ bus }) => {
      buses.push(bus);
      if (buses.length <= 2) throw new RetryableError('away');
      return { state: {}, logs: {}, fences: {} };
    }),
    given,
    stop.signal,
  );
  (await calls()).gained(1);
  await until(events, 'begin 1', 3);
  t.equal(new Set(buses).size, 3);
  t.same(
    buses.map(({ isClosed }) => isClosed),
    [true, true, false],
  );
  t.match(actor.status(), { state: 'working', partitions: [1] });
  stop.abort();
  await actor.ended;
  t.same(events, ['join 2', 'begin 1', 'begin 1', 'begin 1', 'stop', 'leave']);
});

t.test('a share that is wanted elsewhere is stopped cleanly and then released; one that is lost ends at once', async (t) => {
  const { given, events, calls } = world();
  const stop = new AbortController();
  const actor = hostFold(fold(events), given, stop.signal);
  const { gained, wanted, lost } = await calls();
  gained(0);
  gained(1);
  await until(events, 'begin 1');
  wanted(0);
  await until(events, 'release 0');
  t.same(events.filter((event) => event === 'stop').length, 1);
  lost(1);
  while (actor.status().partitions.length > 0) await new Promise(setImmediate);
  t.same(events.filter((event) => event === 'stop').length, 1, 'no clean stop without a lease');
  stop.abort();
  await actor.ended;
});

t.test('F4: a history that does not fit ends the actor; so does a mistake of ours', async (t) => {
  for (const error of [new HistoryError('another log'), new TypeError('a mistake')]) {
    const { given, events, calls } = world();
    const actor = hostFold(
      fold(events, async () => {
        throw error;
      }),
      given,
      new AbortController().signal,
    );
    (await calls()).gained(0);
    await t.rejects(actor.ended, error);
    t.match(actor.status(), { state: 'failed', error: error.message });
    t.same(events, ['join 2', 'begin 0', 'leave']);
  }
});

interface Task {
  batch: string;
  task: number;
}

const tasksOf = async (t: Test, ...tasks: number[]): Promise<Bus> => {
  const bus = await open();
  t.teardown(() => bus.close());
  const last = await bus.last('BATCH', '>');
  if (last) await bus.purge('BATCH', '>', last.sequence + 1);
  for (const task of tasks) await bus.publish('range.assigned', JSON.stringify({ batch: '000001', task }));
  return bus;
};

const worker = (work: WorkerDefinition<Task>['work'], isOpen = true): WorkerDefinition<Task> => ({
  name: 'mapper',
  takes: 'range.assigned',
  produces: 'range.mapped',
  fails: 'range.failed',
  read: (body) => JSON.parse(Buffer.from(body).toString()) as Task,
  isOpen: async () => isOpen,
  work,
});

/** A task goes to another after a second without a word. */
const impatient = loadSettings({ partitions: '2', nats: nats.url, taskAgain: '1s' }, { env: {} }).settings;

const done = async (bus: Bus, subject: string, count: number): Promise<number[]> => {
  for (;;) {
    const found = await readLog(bus, 'BATCH', subject);
    if (found.length >= count) return found.map(({ body }) => (JSON.parse(Buffer.from(body).toString()) as Task).task);
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
};

t.test('a task whose worker is gone is done by another, in the time that the setting says now', async (t) => {
  const bus = await tasksOf(t, 7);
  await bus.tasks('BATCH', 'mapper', 'range.assigned', { ackWaitMs: 600_000 }); // as an earlier run left it
  let begun: (bus: Bus) => void = () => undefined;
  const isBegun = new Promise<Bus>((resolve) => {
    begun = resolve;
  });
  const stopFirst = new AbortController();
  let wakeUp: () => void = () => undefined;
  const asleep = new Promise<void>((resolve) => {
    wakeUp = resolve;
  });
  const first = hostWorker(
    worker(async (task, env) => {
      begun(env.bus);
      await asleep;
      return task;
    }),
    world({ settings: impatient }).given,
    stopFirst.signal,
  );
  const its = await isBegun;
  await its.close(); // as a kill would: no word any more
  const stop = new AbortController();
  const second = hostWorker(
    worker(async (task) => task),
    world({ settings: impatient }).given,
    stop.signal,
  );
  t.same(await done(bus, 'range.mapped', 1), [7]);
  stop.abort();
  stopFirst.abort();
  wakeUp();
  await Promise.all([first.ended, second.ended]);
  t.equal(second.status().counts.done, 1);
  t.equal((await readLog(bus, 'BATCH', 'range.mapped')).length, 1);
});

t.test('a task is retried when something was away, fails when it cannot be done, and is left when its batch is not open', async (t) => {
  const bus = await tasksOf(t, 1, 2, 3);
  let tries = 0;
  let triesOnFullDisk = 0;
  const run = async (
    definition: WorkerDefinition<Task>,
    subject: string,
    count: number,
  ): Promise<{ tasks: number[]; counts: Record<string, number>; trouble: string | undefined }> => {
    const stop = new AbortController();
    const running = hostWorker(definition, world().given, stop.signal);
    const tasks = await done(bus, subject, count);
    stop.abort();
    await running.ended;
    const { counts, trouble } = running.status();
    return { tasks, counts, trouble };
  };
  const { tasks, counts, trouble } = await run(
    worker(async (task) => {
      if (task.task === 1 && tries++ === 0) throw new RetryableError('away', { code: 'E_STORAGE' });
      if (task.task === 3 && triesOnFullDisk++ === 0) throw Object.assign(new TypeError('no space left on device'), { code: 'ENOSPC' });
      if (task.task === 2) throw new PromiseError('one record too many');
      return task;
    }),
    'range.mapped',
    2,
  );
  t.same(tasks.sort(), [1, 3]);
  t.match(trouble, /away|no space left/, 'status tells what was tried in vain');
  t.same(counts, { done: 2, failed: 1, left: 0 });
  const [failed] = await readLog(bus, 'BATCH', 'range.failed');
  t.same(JSON.parse(Buffer.from(failed?.body ?? '').toString()), {
    batch: '000001',
    task: 2,
    reason: 'one record too many',
  });
  const other = await tasksOf(t, 4);
  const stop = new AbortController();
  const leaving = hostWorker(
    worker(async (task) => task, false),
    world().given,
    stop.signal,
  );
  while (leaving.status().counts.left !== 1) await new Promise(setImmediate);
  stop.abort();
  await leaving.ended;
  t.equal(await other.last('BATCH', 'range.mapped'), undefined);
});
