import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { openBus } from '../../../infra/bus/nats.js';
import { OutOfReachError } from '../../../infra/errors.js';
import { isAlive } from '../../../infra/process.js';
import { freePorts, temporaryFolder } from '../../servers.js';

const cli = path.join(import.meta.dirname, '../../../scripts/cli.js');

interface Started {
  readonly child: ChildProcess;
  readonly data: string;
  readonly flags: string[];
  readonly ended: Promise<number | null>;
  /** Resolves when its output matches. */
  says(pattern: RegExp): Promise<string>;
  text(): string;
}

const flagsFor = async (data: string): Promise<string[]> => {
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  return ['--data', data, '--nats-port', String(port), '--nats-http-port', String(httpPort), '--process', 'node'];
};

const start = (t: Test, data: string, flags: string[]): Started => {
  const child = spawn(process.execPath, [cli, 'start', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const listeners = new Set<() => void>();
  const hear = (chunk: Buffer) => {
    text += chunk.toString();
    for (const listener of listeners) listener();
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code));
  });
  const says = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = () => {
        const found = pattern.exec(text)?.[0];
        if (found !== undefined) {
          listeners.delete(look);
          resolve(found);
        }
      };
      listeners.add(look);
      void ended.then(() => reject(new OutOfReachError(`ended before it said ${pattern}:\n${text}`)));
      look();
    });
  t.teardown(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  return { child, data, flags, ended, says, text: () => text };
};

/** Of the processes that run now: pid to command line. */
const processesNaming = (text: string): Map<number, string> => {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' });
  const lines = stdout
    .split('\n')
    .map((line) => /^ *(\d+) (.*)$/.exec(line))
    .filter((match) => match !== null);
  return new Map(lines.filter((match) => match[2]?.includes(text)).map((match) => [Number(match[1]), match[2] ?? '']));
};

const childrenOf = (pid: number): number[] => {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent, ...args]) => Number(parent) === pid && args.join(' ').includes('actor-process'))
    .map(([child]) => Number(child));
};

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await sleep(50);
};

t.test('a system starts, refuses a second one on its data, and a stop leaves nothing behind', async (t) => {
  const data = temporaryFolder(t);
  const flags = await flagsFor(data);
  const first = start(t, data, flags);
  await first.says(/Tidemark runs\.[\s\S]*stop {6}Ctrl-C/);
  const pages = /pages {5}(http:\/\/\S+)/.exec(first.text())?.[1] ?? '';
  t.equal((await fetch(pages)).status, 200, 'the pages answer as soon as their address is printed');
  t.match(first.text(), `data      ${data}`);
  t.match(first.text(), /measured {2}machine, nats-server, tidemark, node/);
  const second = start(t, data, flags);
  t.equal(await second.ended, 4);
  t.match(second.text(), `a Tidemark with pid ${first.child.pid} runs on ${data} already`);
  const children = childrenOf(first.child.pid ?? 0);
  t.equal(children.length, 3, 'buffers, layers, dashboard');
  if (process.platform === 'linux') {
    for (const pid of children) {
      t.match(readFileSync(`/proc/${pid}/environ`, 'utf8'), /\0MALLOC_ARENA_MAX=1\0|^MALLOC_ARENA_MAX=1\0/, 'one arena (decision 0019)');
      t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /--max-semi-space-size=4\0--heap-growing-percent=\d+\0/, 'bounded heaps');
    }
  }
  const nats = `nats://127.0.0.1:${flags[flags.indexOf('--nats-port') + 1]}`;
  const stranger = await openBus({ nats }, 'a stranger');
  await t.rejects(stranger.last('STORED', 'raw.stored.0'), 'who comes without credentials reads no log');
  await t.rejects(stranger.publish('segment.sealed.0', 'x'), 'and publishes none');
  await stranger.close();
  first.child.kill('SIGINT');
  t.equal(await first.ended, 0, first.text());
  t.notOk(existsSync(path.join(data, 'lock')));
  t.same([...processesNaming(data).keys()], []);
  t.notOk(children.some(isAlive));
});

t.test('whatever of its own dies is brought back', async (t) => {
  const data = temporaryFolder(t);
  const system = start(t, data, await flagsFor(data));
  await system.says(/stop {6}Ctrl-C/);
  const natsPid = () => Number(readFileSync(path.join(data, 'nats.pid'), 'utf8'));
  const [child] = childrenOf(system.child.pid ?? 0);
  process.kill(child ?? 0, 'SIGKILL');
  await system.says(/brought back/);
  const said = system.text().length;
  await until(() => /\bmachine .*\bat\b/.test(system.text().slice(said))); // the one that died measured, and does again
  const before = natsPid();
  process.kill(before, 'SIGKILL');
  await until(() => natsPid() !== before && isAlive(natsPid()));
  await until(() => childrenOf(system.child.pid ?? 0).length === 3);
  system.child.kill('SIGTERM');
  t.equal(await system.ended, 0);
  t.same([...processesNaming(data).keys()], []);
});

t.test('after a kill of start its children end, and the next one takes the server and the data on', async (t) => {
  const data = temporaryFolder(t);
  const flags = await flagsFor(data);
  const killed = start(t, data, flags);
  await killed.says(/stop {6}Ctrl-C/);
  const children = childrenOf(killed.child.pid ?? 0);
  const natsPid = readFileSync(path.join(data, 'nats.pid'), 'utf8');
  killed.child.kill('SIGKILL');
  await killed.ended;
  await until(() => !children.some(isAlive));
  const next = start(t, data, flags);
  await next.says(/nats-server 2\.\d+\.\d+, ran already[\s\S]*stop {6}Ctrl-C/);
  t.equal(readFileSync(path.join(data, 'nats.pid'), 'utf8'), natsPid);
  next.child.kill('SIGINT');
  t.equal(await next.ended, 0);
  t.notOk(isAlive(Number(natsPid)));
});
