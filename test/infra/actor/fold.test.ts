/** The runtime of folds, with a small fold of its own: it adds up the numbers of a log, and says the sum so far. */
import { pino } from 'pino';
import { Subject, VirtualTimeScheduler } from 'rxjs';
import t, { type Test } from 'tap';
import type { Env } from '../../../infra/actor/env.js';
import { type FoldDefinition, type Input, type LifeControl, type LifeEnd, runLife } from '../../../infra/actor/fold.js';
import type { Output, Work } from '../../../infra/actor/output.js';
import type { Bus, LogMessage } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { loadSettings } from '../../../infra/config.js';
import { HistoryError, RetryableError } from '../../../infra/errors.js';
import { startNats } from '../../servers.js';

const nats = await startNats(t);
const partitions = 16;
await ensureStreams({ nats: nats.url, partitions, metricsBytesMax: 2 ** 21, segmentsBytesMax: 2 ** 21 });
const { settings } = loadSettings({}, { env: {} });

/** Each test has a partition of its own: numbers in its SEGMENTS, sums in STORED. */
let partitionsUsed = 0;

interface Sum {
  to: number;
  sum: number;
  held: number;
}

interface Options {
  readonly capacity?: number;
  /** Is waited for before each sum is published. */
  readonly before?: () => Promise<void>;
  readonly more?: Partial<FoldDefinition<Sum>>;
  readonly onInput?: (input: Input, state: Sum) => readonly Output[] | undefined;
}

const say = (state: Sum, partition: number, { before }: Options): Output[] => {
  if (state.held === 0) return [];
  state.held = 0;
  const subject = `part.stored.${partition}`;
  const body = JSON.stringify({ to: state.to, sum: state.sum });
  const waiting: Work[] = before ? [{ do: 'work', what: 'wait', run: before }] : [];
  return [...waiting, { do: 'publish', message: 'part.stored', subject, body, fence: subject }];
};

const adder = (partition: number, options: Options = {}): FoldDefinition<Sum> => ({
  name: 'windower',
  share: 'partition',
  produces: ['part.stored'],
  begin: async ({ bus }) => {
    const last = await bus.last('STORED', `part.stored.${partition}`);
    const { to, sum } = last ? (JSON.parse(Buffer.from(last.body).toString()) as Sum) : { to: 0, sum: 0 };
    return {
      state: { to, sum, held: 0 },
      logs: { numbers: { stream: `SEGMENTS-${partition}`, start: { sequence: to + 1 } } },
      fences: { [`part.stored.${partition}`]: last?.sequence ?? 0 },
    };
  },
  step: (state, input) => {
    const given = options.onInput?.(input, state);
    if (given) return [state, given];
    if (input.kind === 'stop') return [state, say(state, partition, options)];
    if (input.kind !== 'messages') return [state, []];
    for (const { body, sequence } of input.messages) {
      state.sum += Number(Buffer.from(body).toString());
      state.to = sequence;
      state.held += 1;
    }
    return [state, state.held >= (options.capacity ?? 1) ? say(state, partition, options) : []];
  },
  place: (state) => state.to,
  ...options.more,
});

const open = async (t: Test): Promise<Bus> => {
  const bus = await openBus({ nats: nats.url }, 'test');
  t.teardown(() => bus.close());
  return bus;
};

/** One life: how it ends, how to end it, and when it has got so far. */
const live = (fold: FoldDefinition<Sum>, bus: Bus, partition: number, more: Partial<LifeControl> = {}) => {
  const stop = new AbortController();
  const lost = new AbortController();
  let place = -1;
  const waiting = new Map<number, () => void>();
  const ended: Promise<LifeEnd> = runLife(
    fold,
    { bus, settings, log: pino({ level: 'silent' }), now: Date.now, instance: 'i' } as Env,
    partition,
    {
      stop: stop.signal,
      lost: lost.signal,
      leads: () => false,
      onLead: () => () => undefined,
      seen: (report) => {
        place = report.place;
        for (const [at, there] of waiting) if (place >= at) there();
      },
      ...more,
    },
  );
  const reached = (at: number): Promise<unknown> =>
    Promise.race([
      new Promise<void>((resolve) => {
        if (place >= at) resolve();
        else waiting.set(at, resolve);
      }),
      ended,
    ]);
  return { ended, reached, stop: () => stop.abort(), lose: () => lost.abort() };
};

const newTest = async (t: Test) => {
  const partition = partitionsUsed++;
  const bus = await open(t);
  return {
    partition,
    bus,
    give: async (...numbers: number[]) => {
      for (const number of numbers) await bus.publish(`segment.sealed.${partition}`, String(number));
    },
    /** What was said: each sum must be that of the numbers up to it. */
    sums: async (over: Bus = bus): Promise<number[]> => {
      const said = await readAll(over, 'STORED', `part.stored.${partition}`);
      const numbers = (await readAll(over, `SEGMENTS-${partition}`)).map(({ body }) => Number(Buffer.from(body).toString()));
      return said.map(({ body }) => {
        const { to, sum } = JSON.parse(Buffer.from(body).toString()) as Sum;
        t.equal(
          sum,
          numbers.slice(0, to).reduce((a, b) => a + b, 0),
          `the sum up to ${to}`,
        );
        return to;
      });
    },
  };
};

const readAll = async (bus: Bus, stream: string, filter?: string): Promise<LogMessage[]> => {
  const last = await bus.last(stream, filter ?? '>');
  if (last === undefined) return [];
  const reader = await bus.read(stream, { start: 'first', ...(filter === undefined ? {} : { filter }) });
  const all: LogMessage[] = [];
  while ((all.at(-1)?.sequence ?? 0) < last.sequence) {
    await reader.ready();
    all.push(...reader.take(1_000));
  }
  await reader.close();
  return all;
};

const gate = () => {
  let open: () => void = () => undefined;
  let reached: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const isReached = new Promise<void>((resolve) => {
    reached = resolve;
  });
  return {
    open,
    isReached,
    wait: async () => {
      reached();
      await opened;
    },
  };
};

t.test('a fold goes on from its own last output; a clean stop gives out what is held', async (t) => {
  const { partition, bus, give, sums } = await newTest(t);
  await give(1, 2, 3);
  const first = live(adder(partition, { capacity: 100 }), bus, partition);
  await first.reached(3);
  t.same(await sums(), []);
  first.stop();
  t.same(await first.ended, { kind: 'stopped' });
  t.same(await sums(), [3]);
  await give(4, 5);
  const second = live(adder(partition), bus, partition);
  await second.reached(5);
  second.stop();
  await second.ended;
  t.equal((await sums()).at(-1), 5);
});

t.test('F1, F3: a paused owner whose successor has published meanwhile is fenced, and nothing counts twice', async (t) => {
  const { partition, bus, give, sums } = await newTest(t);
  const paused = gate();
  const first = live(adder(partition, { before: paused.wait }), bus, partition);
  await give(1);
  await paused.isReached; // it has taken 1 and is about to say so
  const second = live(adder(partition), await open(t), partition);
  await second.reached(1);
  await give(2);
  await second.reached(2);
  second.stop();
  await second.ended;
  paused.open();
  t.match(await first.ended, { kind: 'fenced', error: { code: 'E_FENCED' } });
  const third = live(adder(partition), bus, partition);
  await give(3);
  await third.reached(3);
  third.stop();
  await third.ended;
  t.same(await sums(), [1, 2, 3]);
});

/** A connection on which one publish gets no answer; the log has it, or has not. */
const withoutAnswer = (bus: Bus, isThere: boolean): Bus => {
  let left = 1;
  return Object.assign(Object.create(bus) as Bus, {
    publish: async (...given: Parameters<Bus['publish']>) => {
      if (left-- !== 1) return bus.publish(...given);
      if (isThere) await bus.publish(...given);
      throw new RetryableError('no answer');
    },
  });
};

for (const isThere of [true, false]) {
  t.test(`F2: a publish without an answer ends the life, and the next doubles nothing: it is ${isThere ? '' : 'not '}there`, async (t) => {
    const { partition, bus, give, sums } = await newTest(t);
    await give(1, 2);
    const first = live(adder(partition, { capacity: 2 }), withoutAnswer(await open(t), isThere), partition);
    t.match(await first.ended, { kind: 'lost', error: { code: 'E_RETRY' } });
    t.same(await sums(), isThere ? [2] : []);
    await give(3, 4);
    const second = live(adder(partition), bus, partition);
    await second.reached(4);
    second.stop();
    await second.ended;
    t.equal((await sums()).at(-1), 4);
  });
}

t.test('a life whose lease is gone writes nothing more', async (t) => {
  const { partition, bus, give, sums } = await newTest(t);
  const paused = gate();
  let ran = false;
  const outputs: readonly Output[] = [
    { do: 'work', what: 'wait', run: paused.wait },
    { do: 'publish', message: 'reading.rejected', subject: `reading.rejected.${partition}`, body: '' },
    {
      do: 'work',
      what: 'another',
      run: async () => {
        ran = true;
      },
    },
    {
      do: 'publish',
      message: 'part.stored',
      subject: `part.stored.${partition}`,
      body: '{}',
      fence: `part.stored.${partition}`,
    },
  ];
  const life = live(adder(partition, { onInput: ({ kind }) => (kind === 'messages' ? outputs : undefined) }), bus, partition);
  await give(1);
  await paused.isReached;
  life.lose();
  paused.open();
  t.match(await life.ended, { kind: 'fenced' });
  t.same(await sums(), []);
  t.equal(await bus.last('REJECTED', `reading.rejected.${partition}`), undefined);
  t.notOk(ran);
  const idle = live(adder(partition, { capacity: 9 }), bus, partition);
  await idle.reached(1);
  idle.lose();
  t.match(await idle.ended, { kind: 'fenced' }, 'also one that waits');
  t.same(await sums(), [], 'what is held is not given out');
});

for (const where of ['while its publish was answered', 'after that']) {
  t.test(`an owner that was stopped ${where} tells nothing after its lease has expired`, async (t) => {
    const { partition, bus, give, sums } = await newTest(t);
    const told: string[] = [];
    const beStopped = (): void => {
      setTimeout(() => life.lose(), 0); // as a lease does by the clock: due while the process is stopped
      for (const until = performance.now() + settings.leaseTtlMs; performance.now() < until; );
    };
    const stopped = Object.assign(Object.create(bus) as Bus, {
      publish: async (...given: Parameters<Bus['publish']>) => {
        const sequence = await bus.publish(...given);
        if (where === 'after that') queueMicrotask(() => queueMicrotask(beStopped));
        else beStopped();
        return sequence;
      },
      tell: (subject: string) => told.push(subject),
    });
    const fold = adder(partition, {
      onInput: ({ kind }, state) =>
        kind === 'messages'
          ? [
              {
                do: 'publish',
                message: 'part.stored',
                subject: `part.stored.${partition}`,
                body: JSON.stringify({ to: 1, sum: 7 }),
                fence: `part.stored.${partition}`,
              },
              { do: 'note', name: 'between', value: 0 },
              { do: 'tell', message: 'reading.sealed', subject: `told at ${state.to}`, body: '' },
            ]
          : undefined,
    });
    await give(7);
    const life = live(fold, stopped, partition);
    t.match(await life.ended, { kind: 'fenced' });
    t.same(told, []);
    t.same(await sums(), [1], 'what was published is there, and its successor tells it');
  });
}

t.test("works beside go on while the fold steps; what they give back is done, and their end is the life's", async (t) => {
  const { partition, bus, give, sums } = await newTest(t);
  const slow = gate();
  const noted: unknown[] = [];
  const beside: Output = {
    do: 'work',
    what: 'slow',
    beside: true,
    run: async () => {
      await slow.wait();
      return [{ do: 'note', name: 'found', value: 42 }];
    },
  };
  let begun = false;
  const life = live(
    adder(partition, {
      onInput: (input) => {
        if (input.kind === 'noted') noted.push([input.name, input.value]);
        if (input.kind !== 'messages' || begun) return undefined;
        begun = true;
        return [beside, { do: 'note', name: 'begun', value: input.messages.length }];
      },
    }),
    bus,
    partition,
  );
  await give(0);
  await slow.isReached;
  await give(2, 3);
  await life.reached(3); // although the work is not done
  t.equal((await sums()).at(-1), 3);
  t.same(noted, [['begun', 1]]);
  slow.open();
  while (noted.length < 2) await new Promise(setImmediate);
  t.same(noted[1], ['found', 42]);
  life.stop();
  t.same(await life.ended, { kind: 'stopped' });
});

t.test('how a life ends: what was thrown says it', async (t) => {
  const { partition, give } = await newTest(t);
  await give(1);
  const cases: [LifeEnd['kind'], Error][] = [
    ['lost', new RetryableError('away')],
    ['history', new HistoryError('another log')],
    ['fault', new TypeError('a mistake')],
  ];
  for (const [kind, error] of cases) {
    const failing = async () => {
      throw error;
    };
    const work = (beside: object): Output => ({ do: 'work', what: 'fail', run: failing, ...beside });
    for (const [where, fold] of Object.entries({
      step: adder(partition, {
        onInput: ({ kind }) => {
          if (kind === 'messages') throw error;
          return undefined;
        },
      }),
      begin: adder(partition, { more: { begin: failing } }),
      work: adder(partition, { onInput: ({ kind }) => (kind === 'messages' ? [work({})] : undefined) }),
      'work beside': adder(partition, {
        onInput: ({ kind }) => (kind === 'messages' ? [work({ beside: true })] : undefined),
      }),
    }))
      t.same(await live(fold, await open(t), partition).ended, { kind, error }, `${kind} in ${where}`);
  }
});

t.test('ticks come from the states, one of a kind at a time; a change of the lead is an input', async (t) => {
  const { partition, bus } = await newTest(t);
  const clock = new VirtualTimeScheduler();
  const ticks = new Subject<string>();
  const seen: string[] = [];
  let scheduled: unknown;
  let leads = false;
  let changed: () => void = () => undefined;
  const life = live(
    adder(partition, {
      more: {
        ticks: (_states, _env, scheduler) => {
          scheduled = scheduler;
          return ticks;
        },
      },
      onInput: (input) => {
        seen.push(input.kind === 'tick' ? input.tick : input.kind === 'lead' ? `lead ${input.leads}` : input.kind);
        return [];
      },
    }),
    bus,
    partition,
    {
      scheduler: clock,
      leads: () => leads,
      onLead: (call) => {
        changed = call;
        return () => undefined;
      },
    },
  );
  await life.reached(0);
  for (const tick of ['a', 'b', 'a', 'a']) ticks.next(tick);
  leads = true;
  changed();
  while (seen.length < 3) await new Promise(setImmediate);
  life.stop();
  await life.ended;
  t.equal(scheduled, clock);
  t.same(seen, ['lead true', 'a', 'b', 'stop']);
  t.notOk(ticks.observed, 'nothing is left behind');
});

t.test('reopen: a log is read again from its first kept message', async (t) => {
  const { partition, bus, give } = await newTest(t);
  await give(7, 8);
  const seen: number[] = [];
  const life = live(
    adder(partition, {
      onInput: (input) => {
        if (input.kind !== 'messages') return undefined;
        const before = seen.length;
        seen.push(...input.messages.map(({ sequence }) => sequence));
        return before < 2 && seen.length >= 2 ? [{ do: 'reopen', log: 'numbers' }] : [];
      },
    }),
    bus,
    partition,
  );
  while (seen.length < 4) await new Promise(setImmediate);
  life.stop();
  await life.ended;
  t.same(seen, [1, 2, 1, 2]);
});

t.test('F5: a life lives on one connection: a kill of the server ends it, and a new one goes on exactly', async (t) => {
  const { partition, give, sums, bus } = await newTest(t);
  await give(1, 2);
  const first = live(adder(partition), bus, partition);
  await first.reached(2);
  await nats.kill();
  t.match(await first.ended, { kind: 'lost' });
  await nats.start();
  const second = await open(t);
  const life = live(adder(partition), second, partition);
  await second.publish(`segment.sealed.${partition}`, '3');
  await life.reached(3);
  life.stop();
  await life.ended;
  const said = await sums(second);
  t.equal(said.at(-1), 3);
  t.equal(new Set(said).size, said.length);
});
