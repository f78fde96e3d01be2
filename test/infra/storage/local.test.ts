import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { type LocalStorage, openLocalStorage } from '../../../infra/storage/local.js';
import { storageContract } from './storage.contract.js';

const open = async (t: Test): Promise<LocalStorage> => {
  const storage = await openLocalStorage(t.testdir());
  t.teardown(() => storage.close());
  return storage;
};

storageContract(t, open);

t.test("U3: bytes that somebody else wrote at a file's end are noticed", async (t) => {
  const root = t.testdir();
  const storage = await openLocalStorage(root);
  t.teardown(() => storage.close());
  await storage.create('raw/d/f', Buffer.from('one\n'));
  await storage.append('raw/d/f', Buffer.from('two\n'), 4);
  await appendFile(join(root, 'raw/d/f'), 'torn');
  await t.rejects(storage.append('raw/d/f', Buffer.from('three\n'), 8), { code: 'E_APPEND' });
  t.equal(await storage.length('raw/d/f'), 12);
});

t.test('a file that is changed after it was checked is checked again', async (t) => {
  const root = t.testdir();
  const storage = await openLocalStorage(root);
  t.teardown(() => storage.close());
  await storage.create('views/x', Buffer.from('content'));
  const named = { bytes: 7, sha256: createHash('sha256').update('content').digest('hex') };
  await storage.local('views/x', named);
  await writeFile(join(root, 'views/x'), 'CONTENT');
  await t.rejects(storage.local('views/x', named), { code: 'E_PROMISE' });
});

t.test("the work folder is the process's own; what a killed process left there goes at the next start", async (t) => {
  const root = t.testdir();
  const first = await openLocalStorage(root);
  t.teardown(() => first.close());
  const work = dirname(first.workFolder);
  t.equal(work, join(root, 'work'));
  const machine = first.workFolder
    .slice(work.length + 1)
    .split('-')
    .slice(2)
    .join('-');
  const left = join(work, `999999999-00000000-${machine}`); // no such process: above the highest id
  const elsewhere = join(work, '999999999-00000000-another');
  await mkdir(left);
  await writeFile(join(left, 'half'), 'x');
  await mkdir(elsewhere);
  const second = await openLocalStorage(root);
  t.teardown(() => second.close());
  await t.rejects(stat(left), { code: 'ENOENT' });
  t.ok(await stat(elsewhere), "another machine's stays");
  t.ok(await stat(first.workFolder), 'that of a process which runs stays');
  t.not(second.workFolder, first.workFolder);
  await second.close();
  t.notOk((await readdir(work)).includes(second.workFolder.slice(work.length + 1)), 'and goes when it is closed');
});

t.test('nothing is left in the work folder by what it made', async (t) => {
  const storage = await open(t);
  await storage.create('a', Buffer.from('a'));
  await t.rejects(storage.create('a', Buffer.from('b')));
  await storage.replace('a', Buffer.from('c'));
  const made = join(storage.workFolder, 'made');
  await writeFile(made, 'd');
  await storage.adopt(made, 'a');
  t.strictSame(await readdir(storage.workFolder), []);
});
