import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { totalmem } from 'node:os';
import t from 'tap';
import { cpuBetween, parseStat, readProcesses, typedName } from '../../../infra/probe/processes.js';

t.test('a process may have any character in its name', async (t) => {
  const stat = parseStat('17 (a) b (c) S 1 17 17 0 -1 4194560 500 0 0 0 250 150 0 0 20 0 1 0 987 1000000 321 18446744073709551615 1');
  t.strictSame(stat, { name: 'a) b (c', cpuMs: 4000, started: 987, rssPages: 321 });
  t.equal(parseStat(''), undefined);
  t.equal(parseStat('17 (cut) S 1'), undefined);
});

t.test('a program has the name that was typed', async (t) => {
  t.equal(typedName('/usr/bin/node', 'MainThread'), 'node');
  t.equal(typedName('/opt/a-rather-long-program-name', 'a-rather-long-p'), 'a-rather-long-program-name');
  t.equal(typedName('/opt/My Programs/my program', 'my program'), 'my program');
  t.equal(typedName('sshd: root@pts/0', 'sshd'), 'sshd');
  t.equal(typedName('-bash', 'bash'), 'bash');
  t.equal(typedName('', 'kworker/0:1'), undefined);
});

t.test('cpu is the difference between two looks, of the same process', async (t) => {
  const use = (pid: number, started: number, cpuMs: number) => ({
    pid,
    name: 'p',
    ownName: 'p',
    started,
    cpuMs,
    ramPercent: 1,
  });
  t.strictSame(
    cpuBetween([use(1, 5, 1000), use(2, 5, 1000)], [use(1, 5, 1500), use(2, 6, 20), use(3, 7, 10)], 1000),
    [50, 0, 0],
    'a pid that was given away, and one that is new, have used nothing yet',
  );
});

t.test('this process is among all, with its memory', async (t) => {
  const own = (await readProcesses()).find(({ pid }) => pid === process.pid);
  const [alone] = await readProcesses([process.pid]);
  t.ok(own);
  t.equal(own?.name, 'node');
  const rss = ((alone?.ramPercent ?? 0) / 100) * totalmem();
  t.ok(Math.abs(rss - process.memoryUsage.rss()) < 0.2 * process.memoryUsage.rss(), `${rss} bytes`);
});

t.test('processes that ended are not among those asked for', async (t) => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const pid = child.pid as number;
  t.equal((await readProcesses([pid])).length, 1);
  child.stdin.end();
  await once(child, 'exit');
  t.strictSame(await readProcesses([pid]), []);
});
