/** For tests of the runtime of folds: a small fold that adds up the numbers of a log, and says the sum so far. */
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Env } from '../../../infra/actor/env.js';
import { type FoldDefinition, type Input, type LifeControl, type LifeEnd, runLife } from '../../../infra/actor/fold.js';
import type { Output, Work } from '../../../infra/actor/output.js';
import type { Bus, LogMessage } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { loadSettings } from '../../../infra/config.js';
import { startNats } from '../../servers.js';

export const nats = await startNats(t);
export const partitions = 16;
await ensureStreams({ nats: nats.url, partitions, metricsBytesMax: 2 ** 21, segmentsBytesMax: 2 ** 21 });
export const { settings } = loadSettings({}, { env: {} });

/** Each test has a partition of its own: numbers in its SEGMENTS, sums in STORED. */
let partitionsUsed = 0;

export interface Sum {
  to: number;
  sum: number;
  held: number;
}

export interface Options {
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

export const adder = (partition: number, options: Options = {}): FoldDefinition<Sum> => ({
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

export const open = async (t: Test): Promise<Bus> => {
  const bus = await openBus({ nats: nats.url }, 'test');
  t.teardown(() => bus.close());
  return bus;
};

/** One life: how it ends, how to end it, and when it has got so far. */
export const live = (fold: FoldDefinition<Sum>, bus: Bus, partition: number, more: Partial<LifeControl> = {}) => {
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

export const newTest = async (t: Test) => {
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

export const readAll = async (bus: Bus, stream: string, filter?: string): Promise<LogMessage[]> => {
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

export const gate = () => {
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
