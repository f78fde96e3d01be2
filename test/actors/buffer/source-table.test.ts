import fc from 'fast-check';
import t from 'tap';
import {
  emptyTable,
  entryOf,
  forgetSilent,
  fromSnapshot,
  lookUp,
  rangesMax,
  type SourceEntry,
  take,
  takeMissingChanges,
  toSnapshot,
} from '../../../actors/buffer/source-table.js';

/** The ranges of a plain set of numbers. */
const rangesOf = (numbers: ReadonlySet<number>): number[][] => {
  const ranges: number[][] = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last?.[1] === n) last[1] = n + 1;
    else ranges.push([n, n + 1]);
  }
  return ranges;
};

const expected = (numbers: ReadonlySet<number>, n: number): ReturnType<typeof lookUp> => {
  if (numbers.has(n)) return 'copy';
  const before = rangesOf(numbers).length;
  const after = rangesOf(new Set([...numbers, n])).length;
  return before >= rangesMax && after > before ? 'full' : 'free';
};

const holesOf = (numbers: ReadonlySet<number>): number => (numbers.size === 0 ? 0 : Math.max(...numbers) - numbers.size);

const newEntry = () => {
  const table = emptyTable();
  return { table, entry: entryOf(table, 'metrics.web.h1', 'a', 0) };
};

t.test('B6: the table is the set of the numbers taken, with at most 64 ranges', (t) => {
  // Mostly far apart, so that 64 ranges are soon reached; the rest anywhere.
  const number = fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 1, max: 100 }).map((i) => i * 3) }, fc.integer({ min: 1, max: 300 }));
  let full = 0;
  fc.assert(
    fc.property(fc.array(number, { minLength: 100, maxLength: 300, size: 'max' }), (asked) => {
      const { table, entry } = newEntry();
      const numbers = new Set<number>();
      for (const n of asked) {
        const found = lookUp(entry, n);
        t.equal(found, expected(numbers, n), `n ${n} after ${[...numbers].join(' ')}`);
        if (found === 'full') full += 1;
        if (found !== 'free') continue;
        take(table, entry, n, n + 1);
        numbers.add(n);
        if (entry.taken.length > rangesMax) return false;
      }
      t.same(entry.taken, rangesOf(numbers));
      t.equal(table.missing.get('web') ?? 0, holesOf(numbers));
      return entry.holes === holesOf(numbers);
    }),
    { numRuns: 60 },
  );
  t.ok(full > 100, `the bound was met ${full} times`);
  t.end();
});

t.test('B6: ranges that are closed together take all the numbers below', (t) => {
  const op = fc.record({ from: fc.integer({ min: 1, max: 80 }), length: fc.integer({ min: 1, max: 30 }) });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const { table, entry } = newEntry();
      const numbers = new Set<number>();
      for (const { from, length } of ops) {
        take(table, entry, from, from + length);
        for (let n = from; n < from + length; n++) numbers.add(n);
      }
      t.same(entry.taken, rangesOf(numbers));
      return (table.missing.get('web') ?? 0) === holesOf(numbers);
    }),
  );
  t.end();
});

t.test('lookUp', (t) => {
  const { table, entry } = newEntry();
  const is = (n: number, found: string, why: string) => t.equal(lookUp(entry, n), found, why);
  is(1, 'free', 'the first');
  is(5, 'free', 'the first that comes need not be 1');
  take(table, entry, 5, 6);
  is(5, 'copy', 'the same');
  is(6, 'free', 'the next');
  is(4, 'free', 'the one before');
  is(1, 'free', 'in a hole');
  take(table, entry, 1, 5);
  t.same(entry.taken, [[1, 6]]);
  for (let n = 8; entry.taken.length < rangesMax; n += 2) take(table, entry, n, n + 1);
  const end = (entry.taken.at(-1) as readonly number[])[1] as number;
  is(end, 'free', 'the next in order opens no range');
  is(end + 1, 'full', 'a range past the last');
  is(9, 'free', 'fills a hole of one');
  is(7, 'free', 'touches the range after it');
  take(table, entry, 12, 19);
  t.equal(entry.taken.length, rangesMax - 3);
  is(end + 1, 'free', 'there is room again');
  t.end();
});

t.test('missing counts by service, gateways together; changes are told once', (t) => {
  const table = emptyTable();
  const of = (subject: string, agent: string): SourceEntry => entryOf(table, subject, agent, 0);
  take(table, of('metrics.web.h1', 'a'), 3, 4);
  take(table, of('metrics.web.h2', 'a'), 2, 3);
  take(table, of('metrics.Ticketing%20Service.h1', 'a'), 2, 3);
  take(table, of('metrics.__proto__.h1', 'a'), 2, 3);
  take(table, of('metrics.gateway', 'b'), 11, 12);
  take(table, of('metrics.db.h1', 'a'), 1, 2);
  const first = takeMissingChanges(table);
  t.same(Object.entries(first), [
    ['web', 3],
    ['Ticketing Service', 1],
    ['__proto__', 1],
    ['', 10],
  ]);
  t.same(takeMissingChanges(table), {});
  take(table, of('metrics.web.h1', 'a'), 1, 3);
  t.same(takeMissingChanges(table), { web: 1 });
  take(table, of('metrics.web.h2', 'a'), 1, 2);
  t.same(takeMissingChanges(table), { web: 0 }, 'a count that is 0 again is told');
  t.end();
});

t.test('B5: a snapshot gives the same table back', (t) => {
  const source = fc.record({
    subject: fc.constantFrom('metrics.web.h1', 'metrics.web.h2', 'metrics.__proto__.h1', 'metrics.gateway'),
    agent: fc.constantFrom('a', 'b b', '__proto__'),
    taken: fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 30 }),
    heardAt: fc.integer({ min: 0, max: 1e6 }),
  });
  fc.assert(
    fc.property(fc.array(source, { maxLength: 12 }), (sources) => {
      const table = emptyTable();
      for (const { subject, agent, taken, heardAt } of sources) {
        const entry = entryOf(table, subject, agent, heardAt);
        for (const n of taken) if (lookUp(entry, n) === 'free') take(table, entry, n, n + 1);
      }
      takeMissingChanges(table);
      t.same({ ...fromSnapshot(toSnapshot(table, 7)), lastHeard: table.lastHeard }, table, 'whoever was heard last');
      return true;
    }),
  );
  t.end();
});

t.test('a source is forgotten when it was silent for long; what it still misses stays counted', (t) => {
  const table = emptyTable();
  take(table, entryOf(table, 'metrics.web.h1', 'old', 100), 5, 6);
  take(table, entryOf(table, 'metrics.web.h1', 'new', 200), 1, 2);
  entryOf(table, 'metrics.web.h1', 'heard again', 100);
  entryOf(table, 'metrics.web.h1', 'heard again', 150);
  forgetSilent(table, 150);
  t.same(
    [...table.entries.values()].map(({ agent }) => agent),
    ['new', 'heard again'],
  );
  t.equal(table.missing.get('web'), 4);
  forgetSilent(table, 1_000);
  t.same(entryOf(table, 'metrics.web.h1', 'heard again', 1_000).heardAt, 1_000);
  t.same([...table.entries.keys()].length, 1, 'also whoever was heard last: it is another source when it comes again');
  t.end();
});

t.test('B6: a recovered table that has more ranges lets a source go on: one more, and those that touch', (t) => {
  const { table, entry } = newEntry();
  for (let n = 1; n <= 200; n += 2) take(table, entry, n, n + 1);
  const [recovered] = [...fromSnapshot(toSnapshot(table, 0)).entries.values()] as [SourceEntry];
  t.equal(lookUp(entry, 500), 'full', 'in the life that opened them');
  t.equal(lookUp(recovered, 500), 'free', 'what was lost in between is left behind');
  take(table, recovered, 500, 501);
  t.equal(lookUp(recovered, 501), 'free');
  t.equal(lookUp(recovered, 600), 'full');
  t.equal(lookUp(recovered, 100), 'free', 'a hole between two');
  t.end();
});
