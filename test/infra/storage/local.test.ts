import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, readlink, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { FolderSyncs } from '../../../infra/storage/disk.js';
import { type LocalStorage, openLocalStorage } from '../../../infra/storage/local.js';
import { temporaryFolder } from '../../servers.js';
import { mountSmallDisk, noSmallDisk } from '../../system/small-disk.js';
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

/** Files below a folder that this process has open. */
const openBelow = async (root: string): Promise<string[]> => {
  const names = await readdir('/proc/self/fd');
  const files = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
  return files.filter((file) => file.startsWith(`${root}/`));
};

t.test('no file stays open when it is closed, also of appends that were under way, or met in one file', async (t) => {
  const root = t.testdir();
  const storage = await openLocalStorage(root);
  await storage.create('raw/d/f', Buffer.from('one\n'));
  await storage.create('raw/d/g', Buffer.from('one\n'));
  await storage.append('raw/d/f', Buffer.from('two\n'), 4);
  await Promise.allSettled([1, 2, 3].map(() => storage.append('raw/d/f', Buffer.from('three\n'), 8)));
  const underWay = storage.append('raw/d/g', Buffer.from('two\n'), 4);
  await storage.close();
  await underWay;
  t.strictSame(await openBelow(root), []);
});

t.test('many that are put into one folder at once are all there, and what cannot be synced is said to each', async (t) => {
  const storage = await open(t);
  const paths = Array.from({ length: 40 }, (_, i) => `views/batch/s${i % 20}/${i}`);
  await Promise.all(paths.map((path) => storage.create(path, Buffer.from(path))));
  t.strictSame(await storage.list('views'), [...paths].sort());
  const syncs = new FolderSyncs();
  const root = t.testdir();
  const none = join(root, 'none');
  const told = await Promise.allSettled([syncs.sync(none), syncs.sync(none), syncs.sync(root)]);
  t.strictSame(
    told.map(({ status }) => status),
    ['rejected', 'rejected', 'fulfilled'],
  );
  await mkdir(none);
  await syncs.sync(none);
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

/** `views` and `raw` are disks of their own, as an operator may have it; what is made lies on another one. */
const onOtherDisks = async (t: Test): Promise<LocalStorage> => {
  const root = temporaryFolder(t);
  for (const folder of ['views', 'raw']) mountSmallDisk(t, '16m', join(root, folder));
  const storage = await openLocalStorage(root);
  t.teardown(() => storage.close());
  return storage;
};

t.test('folders that are disks of their own', { skip: noSmallDisk }, (t) => {
  storageContract(t, onOtherDisks);

  t.test('nothing stays of copies, of killed processes neither; a full one keeps nobody from trying again', async (t) => {
    const root = temporaryFolder(t);
    const disk = mountSmallDisk(t, '1m', join(root, 'views'));
    const storage = await openLocalStorage(root);
    t.teardown(() => storage.close());
    const [, mine = ''] = /work[/]\d+(-.*)$/.exec(storage.workFolder) ?? [];
    await mkdir(join(root, 'views/batch'));
    await writeFile(join(root, 'views/batch', `.999999999${mine}`), 'half');
    disk.fill();
    const made = join(storage.workFolder, 'made');
    await writeFile(made, Buffer.alloc(10_000));
    await t.rejects(storage.adopt(made, 'views/batch/x'), { code: 'E_STORAGE', message: /ENOSPC/ });
    await t.rejects(storage.replace('views/batch/latest.json', Buffer.alloc(10_000)), { code: 'E_STORAGE', message: /ENOSPC/ });
    t.strictSame(await readdir(join(root, 'views/batch')), []);
    disk.free();
    await storage.adopt(made, 'views/batch/x');
    await storage.replace('views/batch/latest.json', Buffer.alloc(10_000));
    t.strictSame(await readdir(join(root, 'views/batch')), ['latest.json', 'x']);
    t.strictSame(await storage.list('views'), ['views/batch/latest.json', 'views/batch/x']);
    t.strictSame(await readdir(storage.workFolder), []);
  });
  t.end();
});
