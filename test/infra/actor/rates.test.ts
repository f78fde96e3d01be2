import t from 'tap';
import { Rates } from '../../../infra/actor/rates.js';

const status = (places: Record<string, number>, counts: Record<string, number> = {}) => ({
  actor: 'uploader',
  instance: 'one',
  partitions: Object.keys(places).map(Number),
  places,
  counts,
});

t.test('records a second, of the last ten seconds alone', (t) => {
  const rates = new Rates();
  t.equal(rates.of(status({ 0: 100, 1: 50 }), 1_000), undefined, 'not known at first');
  t.equal(rates.of(status({ 0: 1_100, 1: 50 }), 2_000), 1_000);
  t.equal(rates.of(status({ 0: 1_100, 1: 550 }), 3_000), 750);
  t.equal(rates.of(status({ 0: 1_100, 1: 550 }), 14_000), undefined, 'the others are too old');
  t.equal(rates.of(status({ 0: 1_100, 1: 550 }), 15_000), 0);
  t.end();
});

t.test('another partition, or a new life, begins anew', (t) => {
  const rates = new Rates();
  rates.of(status({ 0: 100 }), 1_000);
  t.equal(rates.of(status({ 0: 200, 1: 1_000_000 }), 2_000), undefined);
  t.equal(rates.of(status({ 0: 210, 1: 1_000_000 }), 3_000), 10);
  const counting = new Rates();
  counting.of(status({ 0: 5 }, { records: 900 }), 1_000);
  t.equal(counting.of(status({ 0: 5 }, { records: 3 }), 2_000), undefined);
  t.equal(counting.of(status({ 0: 5 }, { records: 23 }), 3_000), 20, 'what it counts itself comes first');
  t.equal(counting.of(status({}), 4_000), undefined);
  const others = new Rates();
  const other = (at: number) => others.of({ ...status({ 0: at }), actor: 'scheduler' }, at);
  t.same([other(1_000), other(2_000)], [undefined, undefined], 'no records go through a scheduler');
  t.end();
});
