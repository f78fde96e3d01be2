import t from 'tap';
import { bruteForce, compareRows } from './brute-force.js';
import { publishAll, type Reading, startSystem } from './system.js';

t.setTimeout(120_000); // of a machine that has much else to do

/** Ties, late readings, several dates, names that are none. */
const someReadings = (count: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({
    service: ['web', 'db', 'Ticketing Service', '__proto__'][i % 4] as string,
    host: `h${i % 3}`,
    timestamp: Date.UTC(2026, 9, 30) + ((i * 7919) % 300_000) * 1_000 + (i % 1_000),
    cpu: (i * 37) % 101,
    ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
    disk: i % 2 === 0 ? 50 : 33.333333,
  }));

t.test('every acknowledged reading is in the answer exactly once, before and after batches', async (t) => {
  const system = await startSystem(t);
  const readings = someReadings(3_000);
  const position = await publishAll(system, readings.slice(0, 2_000));
  t.same(compareRows((await system.rows(position)).rows, bruteForce(readings.slice(0, 2_000))), []);
  const first = await system.batch();
  t.match(first, { batch: '000001', differences: 0, records: 2_000 });
  const further = await publishAll(system, readings.slice(2_000));
  const { rows, terms } = await system.rows(further);
  t.same(compareRows(rows, bruteForce(readings)), []);
  t.equal(terms.batch, '000001');
  t.match(await system.batch(), { batch: '000002', differences: 0, records: 3_000 });
  t.equal(await system.batch(), null, 'nothing is new');
  t.same(compareRows((await system.rows(further)).rows, bruteForce(readings)), []);
  t.ok(compareRows((await system.rows(further)).rows, bruteForce(readings.slice(1))).length > 0, 'one reading fewer is noticed');
});
