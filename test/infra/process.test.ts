/** Processes by pid: who has ended, and who only seems to have. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { isAlive, startOf } from '../../infra/process.js';
import { until } from '../until.js';

t.test('who runs is alive; who has ended is not', async (t) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const pid = child.pid as number;
  t.ok(isAlive(pid));
  t.match(startOf(pid), /^\d*$/);
  child.kill('SIGKILL');
  await until(async () => (isAlive(pid) ? undefined : true));
  t.notOk(isAlive(0));
});

const leaderGoesFirst = `
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(60)).start()
ctypes.CDLL(None).pthread_exit(None)
`;

t.test('whose first thread is gone while another runs is alive: it still holds ports and files', async (t) => {
  if (process.platform !== 'linux' || spawnSync('python3', ['--version']).status !== 0) {
    t.pass('needs Linux and Python', { skip: true });
    return;
  }
  const child = spawn('python3', ['-c', leaderGoesFirst], { stdio: 'ignore' });
  const pid = child.pid as number;
  t.teardown(() => child.kill('SIGKILL'));
  await until(async () => (/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')) ? true : undefined));
  t.ok(isAlive(pid), 'its other thread runs');
  child.kill('SIGKILL');
  await until(async () => (isAlive(pid) ? undefined : true));
});
