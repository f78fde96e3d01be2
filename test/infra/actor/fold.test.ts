import { Subject, VirtualTimeScheduler } from 'rxjs';
import t from 'tap';
import type { LifeEnd } from '../../../infra/actor/fold.js';
import type { Output } from '../../../infra/actor/output.js';
import { HistoryError, RetryableError } from '../../../infra/errors.js';
import { adder, gate, live, nats, newTest, open } from './adder.js';

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
