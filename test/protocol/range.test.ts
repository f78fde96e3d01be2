import fc from 'fast-check';
import t from 'tap';
import {
  addRange,
  countHoles,
  countRanges,
  hasNumber,
  intersect,
  type Range,
  type Ranges,
  reaches,
  samePosition,
  sumPosition,
  unionRanges,
  withOffset,
  zeroPosition,
} from '../../protocol/range.js';

const limit = 40;
const pairs = fc.array(fc.tuple(fc.integer({ min: 0, max: limit }), fc.integer({ min: 0, max: limit })), {
  maxLength: 12,
});
const build = (added: readonly (readonly [number, number])[]): Ranges =>
  added.reduce<Ranges>((ranges, [from, to]) => addRange(ranges, from, to), []);
const numbers = (added: readonly (readonly [number, number])[]): Set<number> => {
  const set = new Set<number>();
  for (const [from, to] of added) for (let n = from; n < to; n++) set.add(n);
  return set;
};
const isNormal = (ranges: Ranges): boolean => ranges.every(([from, to], i) => from < to && (i === 0 || (ranges[i - 1] as Range)[1] < from));

t.test('ranges are the set of the numbers added, sorted, apart from each other, in any order', (t) => {
  fc.assert(
    fc.property(pairs, pairs, (a, b) => {
      const ranges = build(a);
      const set = numbers(a);
      for (let n = 0; n <= limit; n++) if (hasNumber(ranges, n) !== set.has(n)) return false;
      const both = unionRanges(ranges, build(b));
      return (
        isNormal(ranges) &&
        isNormal(both) &&
        countRanges(ranges) === set.size &&
        JSON.stringify(both) === JSON.stringify(build([...b, ...a].reverse())) &&
        countRanges(both) === numbers([...a, ...b]).size
      );
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test('adding changes no list that was there', (t) => {
  fc.assert(
    fc.property(pairs, fc.integer({ min: 0, max: limit }), fc.integer({ min: 0, max: limit }), (a, from, to) => {
      const ranges = build(a);
      const before = JSON.stringify(ranges);
      addRange(ranges, from, to);
      return JSON.stringify(ranges) === before;
    }),
  );
  t.end();
});

t.test('holes are the numbers from the lowest to the end that are in no range', (t) => {
  fc.assert(
    fc.property(pairs, fc.integer({ min: 0, max: limit + 5 }), (a, lowest) => {
      const set = numbers(a);
      const end = Math.max(-1, ...set) + 1;
      let holes = 0;
      for (let n = lowest; n < end; n++) if (!set.has(n)) holes += 1;
      return countHoles(build(a), lowest) === holes;
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test('intersect is what two ranges share', (t) => {
  const range = fc.tuple(fc.integer({ min: 0, max: limit }), fc.integer({ min: 0, max: limit }));
  fc.assert(
    fc.property(range, range, (a, b) => {
      const shared = [...numbers([a])].filter((n) => numbers([b]).has(n));
      const found = intersect(a, b);
      return JSON.stringify(found === undefined ? [] : [...numbers([found])]) === JSON.stringify(shared);
    }),
  );
  t.end();
});

t.test('positions', (t) => {
  t.strictSame(zeroPosition(3), [0, 0, 0]);
  t.equal(sumPosition([120, 88, 0, 431]), 639);
  t.equal(sumPosition([]), 0);
  t.strictSame(withOffset([1, 2, 3], 1, 7), [1, 7, 3]);
  t.ok(samePosition([1, 2], [1, 2]));
  t.notOk(samePosition([1, 2], [1, 2, 0]));
  t.notOk(samePosition([1, 2], [1, 3]));
  for (const [a, b, expected] of [
    [[3, 3], [3, 3], true],
    [[3, 3], [2, 3], true],
    [[3, 3], [4, 0], false],
    [[3, 3], [], true],
    [[3, 3], [3], true],
    [[3, 3], [4], false],
    [[], [0, 0], true],
    [[3], [3, 1], false],
    [[3], [3, 0], true],
  ] as const)
    t.equal(reaches(a, b), expected, `${JSON.stringify(a)} reaches ${JSON.stringify(b)}`);
  t.end();
});
