import { mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import t from 'tap';
import { readActorStatus } from '../../../protocol/messages/readers.js';
import { bruteForce, compareRows } from '../../system/brute-force.js';
import { publishAll, type Reading, startSystem } from '../../system/system.js';
import { until } from '../../until.js';

const readingsOf = (from: number, to: number): Reading[] =>
  Array.from({ length: to - from }, (_, i) => ({
    service: ['web', 'db'][i % 2] as string,
    host: 'h',
    timestamp: Date.UTC(2026, 9, 30, 23, 50) + (from + i) * 7_000,
    cpu: (from + i) % 100,
    ram: 1.5,
    disk: 50,
  }));

t.test('M3: latest.json follows each proof, is put right by the leader, and nobody inside reads it', async (t) => {
  const system = await startSystem(t);
  const latest = path.join(system.data, 'views/batch/latest.json');
  const manifestOf = (batch: string): Promise<Buffer> => readFile(path.join(system.data, `views/batch/${batch}.json`));
  const latestIs = async (batch: string): Promise<true | undefined> => {
    const there = await readFile(latest).catch(() => undefined);
    return there?.equals(await manifestOf(batch)) === true ? true : undefined;
  };

  const first = await publishAll(system, readingsOf(0, 200));
  t.match(await system.batch(), { batch: '000001', differences: 0 });
  t.ok(await until(() => latestIs('000001')), 'the bytes of the proved manifest');

  for (const [what, spoil] of [
    ['other content', () => writeFile(latest, '{"batch":"999999","files":[]}')],
    ['torn', async () => writeFile(latest, (await manifestOf('000001')).subarray(0, 40))],
    ['gone', () => rm(latest)],
  ] as const) {
    await system.stop();
    await spoil();
    system.start();
    const { rows, terms } = await system.rows(first);
    t.equal(terms.batch, '000001', what);
    t.same(compareRows(rows, bruteForce(readingsOf(0, 200))), [], `${what}: answers do not depend on it`);
    t.ok(await until(() => latestIs('000001')), `${what}: put right`);
  }

  await system.stop();
  await rm(latest);
  await mkdir(latest); // no file can take this name, as none can on a full disk
  system.start();
  t.same(compareRows((await system.rows(first)).rows, bruteForce(readingsOf(0, 200))), [], 'cannot be written: answers go on');
  const leader = async () => {
    const told = await (await system.bus.bucket('ACTORS', { ttlMs: 60_000 })).all();
    return [...told.values()]
      .map(({ value }) => readActorStatus(value))
      .find(({ actor, counts }) => actor === 'merger' && counts.leads === 1);
  };
  await until(leader);
  await system.rows(first); // answered by who leads: the try was before
  t.notOk((await leader())?.trouble, 'by the life that tried in vain');
  await rmdir(latest);
  t.ok(await until(() => latestIs('000001')), 'and tried again');

  await writeFile(latest, 'nothing of use');
  const second = await publishAll(system, readingsOf(200, 300));
  t.match(await system.batch(), { batch: '000002', differences: 0 }, 'the next batch does not depend on it either');
  t.ok(await until(() => latestIs('000002')));
  t.same(compareRows((await system.rows(second)).rows, bruteForce(readingsOf(0, 300))), []);
});
