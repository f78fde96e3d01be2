/** `recover` of a system whose files are in a real HDFS: the store lost or kept, and a change-over that was cut off. */
import type { Test } from 'tap';
import { openStorage } from '../../infra/storage/open.js';
import { sumPosition } from '../../protocol/range.js';
import { changeOver, finishChangeOver } from '../../scripts/recover/change-over.js';
import { homesOf } from '../../scripts/recover/homes.js';
import type { Hdfs } from '../../scripts/stack/hdfs.js';
import { temporaryFolder } from '../servers.js';
import { bruteForce, compareRows } from './brute-force.js';
import { readingsOf } from './guarded.js';
import { startRecoverable } from './recovering.js';
import { publishAll } from './system.js';

export const recovering = (t: Test, hdfs: Hdfs): void => {
  t.test('K1: on HDFS, from what a kept store has and from the raw files alone: the same rows, and all goes on', async (t) => {
    const one = await startRecoverable(t, { storage: `${hdfs.url}/recovered?user=tidemark`, partitions: '2', uploadEvery: '500ms' });
    const readings = [readingsOf(1, 900), readingsOf(2, 400)];
    await publishAll(one.system, readings[0] ?? [], { agent: 'round0' });
    await one.batch();
    let position = await publishAll(one.system, readings[1] ?? [], { agent: 'round1' });
    const isRight = async (what: string): Promise<void> => {
      const { rows, terms } = await one.rows(position);
      t.same(compareRows(rows, bruteForce(readings.flat())), [], what);
      t.equal(sumPosition(terms.position), 1_300, `${what}: nothing twice`);
      t.equal((await one.verify()).differences, 0, `${what}: verify`);
    };
    for (const [what, keepsStore, partitions] of [
      ['with the store, in three partitions', true, 3],
      ['without it', false, undefined],
    ] as const) {
      await one.lose(keepsStore);
      const report = await one.recover(partitions === undefined ? {} : { partitions });
      t.match(report, { partitions: 3, records: 1_300, lost: 0, damaged: 0, old: null }, what);
      position = report.position;
      await one.nats.start();
      await one.start(3);
      await isRight(what);
    }
    const homes = homesOf(one.settings);
    for (const name of ['recovering', 'recover.json']) t.notOk(await homes.storage.exists(name), name);
    await one.rows(await publishAll(one.system, readingsOf(3, 100), { agent: 'round2' }));
    t.match(await one.batch(), { differences: 0 }, 'the next batch');
    await one.stop();
  });

  t.test('K5: on HDFS, a change-over that was cut off is finished, and nobody opens the data before', async (t) => {
    const settings = { storage: `${hdfs.url}/cut-off?user=tidemark`, data: temporaryFolder(t), copiesBytesMax: 2 ** 20 };
    const homes = homesOf(settings);
    const put = (folder: string, text: string) => homes.storage.write(`${folder}/file`, text);
    const change = { folders: ['raw', 'views', 'nats'], aside: 'before', keepsOld: true, report: 'made anew' };
    await put('raw', 'old');
    await put('views', 'old');
    await put('recovering/raw', 'new');
    await homes.server.make('recovering/nats');
    await homes.storage.write('recover.json', JSON.stringify(change));
    await homes.storage.make('before');
    await homes.storage.move('raw', 'before/raw'); // so far it had got
    await t.rejects(openStorage(settings), { code: 'E_SETTINGS', message: /cut off .*tidemark recover/ });
    t.match(await finishChangeOver(homes), { report: 'made anew' });
    const texts = await Promise.all(['raw', 'before/raw', 'views'].map((folder) => homes.storage.read(`${folder}/file`)));
    t.same(texts, ['new', 'old', 'old']);
    t.ok(await homes.server.exists('nats'));
    await (await openStorage(settings)).close();
    await put('recovering/views', 'newer');
    await homes.server.make('recovering');
    await changeOver(homes, { ...change, folders: ['views'], aside: 'before-2', keepsOld: false });
    t.equal(await homes.storage.read('views/file'), 'newer');
    t.notOk(await homes.storage.exists('before-2'), 'the old is gone');
    t.equal(await finishChangeOver(homes), undefined);
  });
};
