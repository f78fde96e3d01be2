import t from 'tap';
import { type Following, followUpdate, judge, lastOf, openPart } from '../../../actors/merger/realtime-reader.js';
import { UpdateChunks } from '../../../actors/merger/update-chunks.js';
import { Files, Partition } from './flow.js';

const open = { from: 100, to: 150 };

const cases: [what: string, update: { from: number; since: number; to: number }, verdict: string][] = [
  ['the next one of the same owner', { from: 100, since: 150, to: 160 }, 'applied'],
  ['one of a new owner that reaches further', { from: 100, since: 120, to: 160 }, 'applied'],
  ['one of a new owner that has all of it', { from: 100, since: 100, to: 200 }, 'applied'],
  ['a copy, which may say more of what was refused', { from: 100, since: 120, to: 150 }, 'applied'],
  ['an old one', { from: 100, since: 100, to: 149 }, 'ignored'],
  ['the part is closed, the next one open', { from: 150, since: 150, to: 170 }, 'next'],
  ['closed, and nothing in the next one yet', { from: 150, since: 150, to: 150 }, 'next'],
  ['one before it was missed', { from: 100, since: 151, to: 160 }, 'rebuild'],
  ['the beginning of the next part was missed', { from: 150, since: 155, to: 170 }, 'rebuild'],
  ['a whole part was missed', { from: 170, since: 170, to: 180 }, 'rebuild'],
  ['an owner that closed it earlier', { from: 140, since: 140, to: 160 }, 'rebuild'],
  ['an owner that closed it earlier, and is not further', { from: 140, since: 140, to: 150 }, 'ignored'],
];

t.test('W1: an update is applied only where it continues what is here', async (t) => {
  for (const [what, update, verdict] of cases) t.equal(judge(open, update), verdict, what);
});

const following = (changed: string[] = []): Following => ({
  lateBefore: 0,
  mayGoBack: false,
  changed: (service, minute) => changed.push(`${service} ${minute}`),
});

const readings = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    service: `s${i % 2}`,
    at: Date.UTC(2026, 10, 23) + i * 30_000,
    cpu: i,
    ram: 1,
    disk: 2,
    refusedBefore: 0,
  }));

t.test('W1: an update whose rows are not the records of its range is applied not at all', async (t) => {
  const partition = new Partition(0, new Files());
  partition.readings.push(...readings(10));
  const chain = [openPart(0, 0)];
  t.equal(followUpdate(chain, partition.update(0, 0, 4), following()), 'applied');
  const before = JSON.stringify(lastOf(chain).rows.toRows());
  t.equal(followUpdate(chain, { ...partition.update(0, 4, 8), to: 9 }, following()), 'rebuild');
  t.equal(lastOf(chain).to, 4);
  t.equal(JSON.stringify(lastOf(chain).rows.toRows()), before);
});

t.test('only rows that became others are called changed', async (t) => {
  const partition = new Partition(0, new Files());
  partition.readings.push(...readings(8));
  const chain = [openPart(0, 0)];
  followUpdate(chain, partition.update(0, 0, 6), following());
  const changed: string[] = [];
  t.equal(followUpdate(chain, partition.update(0, 0, 8), following(changed)), 'applied');
  t.same(changed.length, 2, 'the rows of the two readings that are new');
});

t.test('W1: an update in chunks counts when its last chunk is there, whole or not at all', async (t) => {
  const partition = new Partition(0, new Files());
  partition.readings.push(...readings(10));
  const update = partition.update(0, 0, 10);
  const chunk = (index: number) => ({ ...update, rows: update.rows.slice(index * 3, index * 3 + 3) });
  const total = Math.ceil(update.rows.length / 3);
  const chunks = new UpdateChunks();
  for (let i = 0; i < total - 1; i++) t.equal(chunks.add(chunk(i), { index: i, total }), undefined);
  t.same(chunks.add(chunk(total - 1), { index: total - 1, total }), update);
  t.equal(chunks.add(chunk(total - 1), { index: total - 1, total }), undefined, 'the last one alone');
  chunks.add(chunk(0), { index: 0, total });
  t.equal(chunks.add({ ...chunk(1), to: 11 }, { index: 1, total }), undefined, 'of another update');
  chunks.add(chunk(0), { index: 0, total });
  t.equal(chunks.add(update, undefined), update, 'one without chunks drops what was begun');
  t.equal(chunks.add(chunk(1), { index: 1, total }), undefined);
});
