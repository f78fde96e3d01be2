import t from 'tap';
import type { Output } from '../../../infra/actor/output.js';
import type { Bus } from '../../../infra/bus/bus.js';
import { RetryableError } from '../../../infra/errors.js';
import { adder, gate, live, newTest, open, settings } from './adder.js';

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

const stops = ['while its publish was answered', 'after that'].flatMap((where) => [
  { where, last: 'tells' },
  { where, last: 'does' },
]);
for (const { where, last } of stops) {
  t.test(`an owner that was stopped ${where} ${last} nothing after its lease has expired`, async (t) => {
    const { partition, bus, give, sums } = await newTest(t);
    const told: string[] = [];
    const done = async (): Promise<void> => {
      told.push('done');
    };
    const tell: Output = { do: 'tell', message: 'reading.sealed', subject: 'told', body: '' };
    const work: Output = { do: 'work', what: 'answer', run: done };
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
      onInput: ({ kind }) =>
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
              last === 'tells' ? tell : work,
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
