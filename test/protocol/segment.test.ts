import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { noChain, recordNumbers, type SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { decodeHead, decodeSegment, encodeSegment, nextChain } from '../../protocol/segment.js';

const name = fc.oneof(fc.string({ unit: 'grapheme', minLength: 1 }), fc.constantFrom('__proto__', 'Ticketing Service', '../up', 'a\nb'));
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });

const segment = fc
  .record({
    from: fc.nat({ max: 2 ** 40 }),
    lines: fc.array(
      fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify({ text })),
      { maxLength: 6 },
    ),
    services: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
    taken: fc.array(fc.record({ subject: name, agent: name, ranges: fc.array(fc.tuple(count, count), { maxLength: 3 }) }), {
      maxLength: 3,
    }),
    refused: fc.uniqueArray(fc.tuple(name, fc.uniqueArray(fc.tuple(name, count), { maxLength: 2, selector: ([reason]) => reason })), {
      maxLength: 3,
      selector: ([service]) => service,
    }),
    missing: fc.uniqueArray(fc.tuple(name, count), { maxLength: 3, selector: ([service]) => service }),
  })
  .chain((given) =>
    fc.record({
      given: fc.constant(given),
      numbers: fc.array(fc.double({ noNaN: true }), {
        minLength: given.lines.length * recordNumbers.width,
        maxLength: given.lines.length * recordNumbers.width,
      }),
    }),
  )
  .map(({ given, numbers }) => {
    const lines = given.lines.map((line) => `${line}\n`).join('');
    const head: SegmentHead = {
      partition: 3,
      from: given.from,
      to: given.from + given.lines.length,
      metrics: { sequence: 7, received: 8, lines: -1 },
      taken: given.taken,
      refused: Object.fromEntries(given.refused.map(([service, reasons]) => [service, Object.fromEntries(reasons)])),
      missing: Object.fromEntries(given.missing),
      services: given.services,
      lineBytes: Buffer.byteLength(lines),
    };
    return { head, lines, numbers };
  });

t.test('a segment is read as it was written, whatever its names are', (t) => {
  fc.assert(
    fc.property(segment, fc.nat({ max: 9 }), ({ head, lines, numbers }, shift) => {
      const body = encodeSegment(head, Buffer.from(lines), numbers);
      // As a message: somewhere in a larger buffer, aligned to nothing.
      const within = new Uint8Array(body.byteLength + shift + 3).fill(10);
      within.set(body, shift);
      const decoded = decodeSegment(within.subarray(shift, shift + body.byteLength));
      t.equal(JSON.stringify(decoded.head), JSON.stringify(head));
      t.same(Object.entries(decoded.head.refused), Object.entries(head.refused));
      t.equal(JSON.stringify(decodeHead(body)), JSON.stringify(head));
      t.equal(Buffer.from(decoded.lines).toString(), lines);
      return (
        decoded.records === head.to - head.from &&
        numbers.every((number, i) => Object.is(decoded.numbers[i], number)) &&
        decoded.numbers.length === numbers.length
      );
    }),
  );
  t.end();
});

t.test('a segment of another length than its head says is refused', (t) => {
  fc.assert(
    fc.property(
      segment.filter(({ numbers }) => numbers.length > 0),
      fc.integer({ min: 1, max: 20 }),
      ({ head, lines, numbers }, bytes) => {
        const body = encodeSegment(head, Buffer.from(lines), numbers);
        t.throws(() => decodeSegment(body.subarray(0, body.byteLength - bytes)));
        t.throws(() => decodeSegment(Buffer.concat([body, Buffer.alloc(bytes)])));
        return true;
      },
    ),
    { numRuns: 30 },
  );
  t.throws(() => decodeSegment(Buffer.from('')));
  t.throws(() => decodeSegment(Buffer.from('{}\n')), { code: 'E_MALFORMED' });
  t.end();
});

t.test('the chain is sha256 of the chain before and the bytes: each byte before it counts', (t) => {
  const bodies = ['one', 'two', 'three'].map((text) => Buffer.from(text));
  const chainOf = (all: readonly Uint8Array[]): string => all.reduce<string>(nextChain, noChain);
  const inHex = (text: string): string => createHash('sha256').update(text).digest('hex');
  t.equal(chainOf(bodies), inHex(`${inHex(`${inHex(`${noChain}one`)}two`)}three`));
  t.not(chainOf(bodies), chainOf([bodies[1] as Buffer, bodies[0] as Buffer, bodies[2] as Buffer]));
  t.not(chainOf(bodies), chainOf([Buffer.from('onf'), ...bodies.slice(1)]));
  t.end();
});
