import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { OutOfReachError } from '../../../infra/errors.js';
import { startOf } from '../../../infra/process.js';
import { lockData } from '../../../scripts/start/data-lock.js';
import { temporaryFolder } from '../../servers.js';

t.test('a second start on the same folder is refused, and says who has it', (t) => {
  const data = temporaryFolder(t);
  const release = lockData(data);
  t.throws(
    () => lockData(data),
    new OutOfReachError(
      `a Tidemark with pid ${process.pid} runs on ${data} already: ask that one (npx tidemark query …), stop it, or give another folder with --data`,
    ),
  );
  release();
  t.notOk(existsSync(path.join(data, 'lock')));
  lockData(data)();
  t.same(readdirSync(data), [], 'nothing is left beside');
  t.end();
});

t.test('the lock of a process that is gone is taken over, also when its pid went to another', (t) => {
  const data = temporaryFolder(t);
  const file = path.join(data, 'lock');
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  for (const content of [JSON.stringify({ pid: gone, started: '1' }), JSON.stringify({ pid: process.pid, started: '1' }), '']) {
    writeFileSync(file, content);
    lockData(data)();
  }
  writeFileSync(file, JSON.stringify({ pid: process.pid, started: startOf(process.pid) }));
  t.throws(() => lockData(data), { code: 'E_OUT_OF_REACH' });
  t.end();
});

t.test("the end of one who lost the lock leaves the new holder's alone", (t) => {
  const data = temporaryFolder(t);
  const release = lockData(data);
  const file = path.join(data, 'lock');
  writeFileSync(file, JSON.stringify({ pid: process.ppid, started: startOf(process.ppid) }));
  release();
  t.ok(existsSync(file));
  t.end();
});
