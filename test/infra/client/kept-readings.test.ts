import fc from 'fast-check';
import t from 'tap';
import { KeptReadings, newlyIn } from '../../../infra/client/kept-readings.js';
import { addRange, hasNumber, type Ranges } from '../../../protocol/range.js';

const body = Buffer.from('{}');

t.test('what is newly in a list of ranges is what the other lacks', async (t) => {
  const someRanges = fc
    .array(fc.tuple(fc.nat(40), fc.nat(6)))
    .map((pairs) => pairs.reduce<Ranges>((ranges, [from, length]) => addRange(ranges, from, from + length), []));
  fc.assert(
    fc.property(someRanges, someRanges, (now, before) => {
      const fresh = newlyIn(now, before);
      for (let n = 0; n < 60; n++) {
        if (hasNumber(fresh, n) !== (hasNumber(now, n) && !hasNumber(before, n))) return false;
      }
      return true;
    }),
  );
  t.pass('for any two lists');
});

t.test('a message is kept until all of its readings are named, in whatever order and pieces', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 30 }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 20 })), { maxLength: 20 }),
      (sizes, names) => {
        const kept = new KeptReadings();
        const messages: { n: number; lines: number }[] = [];
        let n = 1;
        for (const lines of sizes) {
          kept.add(n, lines, body);
          messages.push({ n, lines });
          n += lines;
        }
        let sealed: Ranges = [];
        for (const [from, length] of names) {
          const before = sealed;
          sealed = addRange(sealed, from, from + length);
          kept.seal(sealed, newlyIn(sealed, before));
        }
        const left = messages.filter((one) => {
          for (let i = one.n; i < one.n + one.lines; i++) if (!hasNumber(sealed, i)) return true;
          return false;
        });
        const sent: number[] = [];
        for (let next = kept.next(1); next !== undefined; next = kept.next(1)) sent.push(next.n);
        return (
          kept.readings === left.reduce((sum, one) => sum + one.lines, 0) &&
          kept.bytes === left.length * body.length &&
          kept.oldest === left[0]?.n &&
          sent.join() === left.map((one) => one.n).join() &&
          messages.every((one) => kept.holds(one.n) === left.includes(one))
        );
      },
    ),
  );
  t.pass('for any messages and any acknowledgements');
});

t.test('only what is overdue is sent again, oldest first, and no more than asked for', async (t) => {
  const kept = new KeptReadings();
  for (let n = 1; n <= 6; n++) kept.add(n, 1, body);
  for (let at = 1; at <= 5; at++) kept.next(at * 100);
  kept.seal([[2, 3]], [[2, 3]]);
  kept.sendAgain(350, Number.MAX_SAFE_INTEGER, 1);
  t.equal(kept.next(1000)?.n, 1, 'the oldest');
  t.equal(kept.next(1000)?.n, 6, 'then what was never sent');
  t.equal(kept.next(1000), undefined);
  kept.sendAgain(450, 4, 10);
  t.equal(kept.next(2000)?.n, 3, 'only below the bound');
  t.equal(kept.next(2000), undefined);
  kept.sendAllAgain();
  t.strictSame(
    [1, 2, 3, 4, 5].map(() => kept.next(3000)?.n),
    [1, 3, 4, 5, 6],
  );
});

t.test('what is given up is the oldest', async (t) => {
  const kept = new KeptReadings();
  for (let n = 1; n <= 5000; n += 2) kept.add(n, 2, body);
  for (let i = 0; i < 2000; i++) kept.giveUpOldest();
  t.equal(kept.oldest, 4001);
  t.equal(kept.readings, 1000);
  t.equal(kept.next(1)?.n, 4001);
});
