import fc from 'fast-check';
import t from 'tap';
import { parseSubject } from '../../../protocol/name-code.js';
import { isRefusal, readLine } from '../../../protocol/reading.js';
import { isLate, madeUpLine, madeUpServices, noise } from '../../../scripts/demo/made-up.js';

const services = madeUpServices(12);
const anInstant = fc.integer({ min: Date.UTC(2001, 0, 1), max: Date.UTC(2026, 0, 1) });

t.test('made-up readings are accepted, and the same seed gives the same ones', async (t) => {
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom(...services), anInstant, (seed, service, at) => {
      const line = madeUpLine(seed, service, at);
      const read = readLine(Buffer.from(line), {
        subject: parseSubject(`metrics.${service.name}.${service.host}`),
        received: Date.now(),
      });
      return !isRefusal(read) && read.at === at && line === madeUpLine(seed, service, at);
    }),
  );
  t.pass('for any seed, service and instant');
  const at = Date.UTC(2026, 0, 5, 12);
  const lines = [1, 2].flatMap((seed) => services.map((service) => madeUpLine(seed, service, at).replace(/^.*timestamp/, '')));
  t.equal(new Set(lines).size, lines.length, 'other seeds and services, other readings');
});

t.test('the noise is spread evenly, and some readings are late', async (t) => {
  const [service] = services;
  const tenths = new Array<number>(10).fill(0);
  let late = 0;
  for (let i = 0; i < 20_000; i++) {
    const at = 1764000000000 + i * 10_000;
    const tenth = Math.floor(noise(1, 2, at) * 10);
    tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    if (service !== undefined && isLate(1, service, at)) late++;
  }
  t.ok(tenths.length === 10 && tenths.every((count) => count > 1800 && count < 2200), `${tenths}`);
  t.ok(late > 50 && late < 150, `${late} of 20,000`);
});
