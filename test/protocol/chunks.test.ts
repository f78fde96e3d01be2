import fc from 'fast-check';
import t from 'tap';
import { chunkBytesMax, formatChunk, groupBySize, parseChunk } from '../../protocol/messages/chunks.js';

t.test("a chunk's number is written and read", (t) => {
  t.equal(formatChunk(0, 4), '1/4');
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 99_999 }), fc.nat(), (total, any) => {
      const read = parseChunk(formatChunk(any % total, total));
      return read?.index === any % total && read.total === total;
    }),
  );
  for (const text of ['', '0/4', '5/4', '1', '1/', '/4', '1/4 ', ' 1/4', '1/4/5', '-1/4', '1.0/4', '1e0/4', 'a/b', '1/0', '1/9999999999']) {
    t.equal(parseChunk(text), undefined, JSON.stringify(text));
  }
  t.end();
});

t.test('groups keep every item in order, and the bound unless one item alone passes it', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 })), fc.integer({ min: 1, max: 60 }), (sizes, max) => {
      const groups = groupBySize(sizes, (size) => size, max);
      return (
        JSON.stringify(groups.flat()) === JSON.stringify(sizes) &&
        groups.length >= 1 &&
        (sizes.length === 0 || groups.every((group) => group.length > 0)) &&
        groups.every((group) => group.length === 1 || group.reduce((sum, size) => sum + size + 1, 0) <= max)
      );
    }),
    { numRuns: 1000 },
  );
  t.strictSame(
    groupBySize([], () => 1),
    [[]],
    'an empty answer is one chunk',
  );
  t.ok(
    groupBySize(
      Array.from({ length: 100_000 }, () => 100),
      (size) => size,
    ).every((group) => group.length * 101 < chunkBytesMax),
  );
  t.end();
});
