import t from 'tap';
import { ahead, atOnce } from '../../infra/at-once.js';

const gate = () => {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
};

t.test('as many as are allowed are worked on at once, and what they give is in order', async (t) => {
  const gates = Array.from({ length: 5 }, gate);
  const begun: number[] = [];
  const all = atOnce([0, 1, 2, 3, 4], 2, async (i) => {
    begun.push(i);
    await gates[i]?.opened;
    return i * 10;
  });
  t.same(begun, [0, 1]);
  for (const { open } of gates.toReversed()) open();
  t.same(await all, [0, 10, 20, 30, 40]);
  t.same(await atOnce([], 3, async () => 1), []);
});

t.test('after a failure nothing more is begun; it is thrown when all that had begun have ended', async (t) => {
  const other = gate();
  let ended = 0;
  const begun: number[] = [];
  const all = atOnce([0, 1, 2, 3], 2, async (i) => {
    begun.push(i);
    if (i === 1) throw new TypeError('the second');
    await other.opened;
    ended += 1;
  });
  setImmediate(other.open);
  await t.rejects(all, { message: 'the second' });
  t.same([begun, ended], [[0, 1], 1]);
});

t.test(
  'what is needed next is got ahead, a bounded number at a time, and comes in order; who gets one hears himself why it failed',
  async (t) => {
    const gates = Array.from({ length: 6 }, gate);
    const begun: number[] = [];
    const things = (async function* () {
      yield* [0, 1, 2, 3, 4, 5];
    })();
    const got = ahead(things, 2, async (i) => {
      begun.push(i);
      await gates[i]?.opened;
      if (i === 1) throw new TypeError('the second');
    });
    const first = got.next();
    await new Promise((resolve) => setImmediate(resolve));
    t.same(begun, [0, 1, 2], 'the first and two behind it');
    for (const { open } of gates.toReversed()) open();
    t.equal((await first).value, 0);
    const rest: number[] = [];
    for await (const thing of got) rest.push(thing);
    t.same(rest, [1, 2, 3, 4, 5]);
  },
);
