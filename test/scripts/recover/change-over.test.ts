import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { openLocalStorage } from '../../../infra/storage/local.js';
import { type ChangeOver, changeOver, finishChangeOver } from '../../../scripts/recover/change-over.js';
import { homesOf } from '../../../scripts/recover/homes.js';
import { temporaryFolder } from '../../servers.js';

const change = (keepsOld: boolean): ChangeOver<{ text: string }> => ({
  folders: ['raw', 'views', 'minutes'],
  aside: 'before',
  keepsOld,
  report: { text: 'made anew' },
});

/** Old data without minutes, new data without views. */
const made = (t: Test) => {
  const data = temporaryFolder(t);
  for (const [folder, text] of [
    ['raw', 'old'],
    ['views', 'old'],
    ['recovering/raw', 'new'],
    ['recovering/minutes', 'new'],
  ] as const) {
    mkdirSync(path.join(data, folder), { recursive: true });
    writeFileSync(path.join(data, folder, 'file'), text);
  }
  const read = (name: string): string | undefined => {
    const file = path.join(data, name, 'file');
    return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  };
  const isChanged = (t: Test): void => {
    t.same([read('raw'), read('views'), read('minutes')], ['new', undefined, 'new']);
    t.notOk(existsSync(path.join(data, 'recovering')));
    t.notOk(existsSync(path.join(data, 'recover.json')));
  };
  return { data, read, isChanged };
};

t.test('K5: the folders change places; the old ones stay aside if they are to', async (t) => {
  const { data, read, isChanged } = made(t);
  await changeOver(homesOf({ data, storage: 'local' }), change(true));
  isChanged(t);
  t.same([read('before/raw'), read('before/views'), read('before/minutes')], ['old', 'old', undefined]);
  t.equal(await finishChangeOver(homesOf({ data, storage: 'local' })), undefined, 'there is nothing to finish');
  const another = made(t);
  await changeOver(homesOf({ data: another.data, storage: 'local' }), change(false));
  another.isChanged(t);
  t.notOk(existsSync(path.join(another.data, 'before')));
});

t.test('K5: one that was cut off at any step is finished, and nobody opens the data before', async (t) => {
  const steps: ((data: string) => void)[] = [
    (data) => mkdirSync(path.join(data, 'before')),
    (data) => renameSync(path.join(data, 'raw'), path.join(data, 'before/raw')),
    (data) => renameSync(path.join(data, 'recovering/raw'), path.join(data, 'raw')),
    (data) => renameSync(path.join(data, 'views'), path.join(data, 'before/views')),
    (data) => renameSync(path.join(data, 'recovering/views'), path.join(data, 'views')),
    (data) => renameSync(path.join(data, 'recovering/minutes'), path.join(data, 'minutes')),
  ];
  for (let done = 0; done <= steps.length; done++) {
    const { data, read, isChanged } = made(t);
    mkdirSync(path.join(data, 'recovering/views'));
    writeFileSync(path.join(data, 'recover.json'), JSON.stringify(change(true)));
    for (const step of steps.slice(0, done)) step(data);
    await t.rejects(openLocalStorage(data), { code: 'E_SETTINGS', message: /cut off .*tidemark recover/ });
    t.match(await finishChangeOver(homesOf({ data, storage: 'local' })), { report: { text: 'made anew' } }, `after ${done} steps`);
    isChanged(t);
    t.equal(read('before/raw'), 'old');
    await (await openLocalStorage(data)).close();
  }
});
