import fc from 'fast-check';
import t from 'tap';
import { RefusedTally } from '../../protocol/refused-tally.js';

const bytesMax = 2_048;
const reasons = ['not JSON', 'cpu below 0', "host is not the subject's"];
const one = fc.tuple(
  fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('', '__proto__', 'web', '\u0001'.repeat(180))),
  fc.constantFrom(...reasons),
  fc.integer({ min: 1, max: 9e9 }),
);

t.test('counts by service stay below their size whatever the names, and sums by reason are right', (t) => {
  let collapsed = 0;
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 300, size: 'max' }), (counts) => {
      const tally = new RefusedTally(bytesMax);
      for (const [service, reason, count] of counts) tally.add(service, reason, count);
      const refused = tally.toRefused();
      const text = JSON.stringify(refused);
      t.ok(Buffer.byteLength(text) <= tally.bytes, `${Buffer.byteLength(text)} bytes of ${tally.bytes}`);
      t.ok(tally.bytes <= bytesMax + 200);
      for (const reason of reasons) {
        const sum = counts.reduce((all, [, of, count]) => all + (of === reason ? count : 0), 0);
        const told = Object.values(refused).reduce((all, by) => all + (by[reason] ?? 0), 0);
        if (sum !== told) t.fail(`${reason}: ${told} of ${sum}`);
      }
      if (counts.some(([service]) => !Object.hasOwn(refused, service))) collapsed += 1;
    }),
    { numRuns: 100 },
  );
  t.ok(collapsed > 10, `${collapsed} runs had no room for all`);
  t.equal(new RefusedTally(bytesMax).isEmpty, true);
  t.end();
});
