/**
 * What is away, slow or deaf: sources keep their readings, `status` and the logs say what is going on, what is not concerned goes on, and
 * everything arrives. nats-server is away for 8 seconds; with --all for a minute, and storage is slower.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { queryExact } from '../../infra/client/query.js';
import { usageOf } from '../../scripts/bench/bench-system.js';
import type { ActorVictim } from '../../scripts/chaos/victims.js';
import { openInTime, readStatus } from '../../scripts/status/status.js';
import { until } from '../until.js';
import { startUnderLoad, type UnderLoad } from './under-load.js';

/** What each operation of the storage takes longer. */
const slowMs = process.argv.includes('--all') ? '500' : '150';
const awayMs = process.argv.includes('--all') ? 60_000 : 8_000;
t.setTimeout(280_000 + awayMs);

const cli = path.join(import.meta.dirname, '../../scripts/cli.js');
/** Beside other tests a process may wait for its turn. */
const flags = ['--lease-ttl', '5s'];
const MiB = 2 ** 20;
/** Under this load the processes differ by some MiB from one moment to the next; what would grow with time grows by more. */
const growthBytesMax = 160 * MiB;

const startAll = async (system: UnderLoad, environment: Readonly<Record<string, string>> = {}): Promise<readonly ActorVictim[]> => {
  const processes = [
    await system.start('buffer', ['buffer'], environment),
    await system.start('layers', ['uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger'], environment),
  ];
  await until(async () => ((await system.bus.logs()).some(({ name }) => name === 'VIEWS') ? true : undefined));
  await system.load.start(system.nats.url);
  await untilSealed(system, 1);
  return processes;
};

const untilSealed = async ({ load }: UnderLoad, more: number): Promise<void> => {
  const { sealed } = load.counts;
  await until(() => (load.counts.sealed >= sealed + more ? true : undefined));
};

const inView = async ({ bus }: UnderLoad): Promise<number> =>
  (await queryExact(bus, { from: 0, to: 60_000, waitMs: 1_000 })).terms.position.reduce((sum, to) => sum + to, 0);

const untilViewed = async (system: UnderLoad, more: number): Promise<void> => {
  const before = await until(() => inView(system).catch(() => undefined));
  await until(async () => ((await inView(system).catch(() => 0)) >= before + more ? true : undefined));
};

const memoryOf = (processes: readonly ActorVictim[]): number => processes.reduce((sum, { pid }) => sum + usageOf(pid).rssBytes, 0);

const isBounded = (t: Test, before: number, after: number): void => {
  const grown = Math.round((after - before) / MiB);
  t.ok(after - before < growthBytesMax, `memory: ${Math.round(before / MiB)} MiB before, ${grown} MiB more now`);
};

t.test(`nats-server away for ${awayMs / 1_000} s under load: nothing ends, nothing is lost, and all goes on when it is back`, async (t) => {
  const system = await startUnderLoad(t, { seed: 61, flags });
  const processes = await startAll(system);
  await untilViewed(system, 500);
  const before = memoryOf(processes);
  await system.nats.kill();
  const { added } = system.load.counts;
  const sinceMs = performance.now();
  const status = await readStatus(await openInTime({ nats: system.nats.url }).catch((error: Error) => error), system);
  t.match(status.problems, [/the NATS server does not answer: nothing is taken/]);
  await sleep(awayMs - (performance.now() - sinceMs)); // it is away so long: the fault itself
  const log = readFileSync(system.logFile, 'utf8');
  for (const says of [/"actor":"buffer".*no NATS server at .*"life ended, starts again"/, /"leases cannot be renewed, will retry"/])
    t.match(log, says);
  t.ok(
    processes.every(({ isRunning }) => isRunning),
    'every process waits',
  );
  const kept = system.load.counts.added - added;
  t.ok(kept > 0, `${kept} readings were taken by their sources meanwhile, which keep them`);
  await system.nats.start();
  const backAt = performance.now();
  await untilSealed(system, 1);
  const sealedAfterMs = Math.round(performance.now() - backAt);
  await system.reconnect();
  await untilViewed(system, 500);
  isBounded(t, before, memoryOf(processes));
  await system.isExact(t);
  t.comment({ awayMs, kept, sealedAfterMs, readings: system.load.accepted.length, copies: system.load.counts.copies });
});

t.test(
  'slow storage: sealing and the real-time view keep their pace, memory is bounded, and status says how far uploads lag',
  async (t) => {
    const system = await startUnderLoad(t, { seed: 62, flags });
    const processes = await startAll(system, { TIDEMARK_SLOW_STORAGE: slowMs });
    await untilViewed(system, 500);
    const before = memoryOf(processes);
    const { sealed } = system.load.counts;
    const since = performance.now();
    await untilSealed(system, 3_000);
    const perSecond = Math.round(((system.load.counts.sealed - sealed) * 1_000) / (performance.now() - since));
    await untilViewed(system, 1_000);
    const lag = await until(async () => {
      const uploader = (await readStatus(system.bus, system)).actors.find(({ actor }) => actor === 'uploader');
      return (uploader?.lag?.records ?? 0) > 100 ? uploader?.lag : undefined;
    });
    t.ok(lag.seconds > 0.2, `status: the uploader is ${lag.records} records and ${lag.seconds} s behind`);
    isBounded(t, before, memoryOf(processes));
    await system.isExact(t);
    t.comment({ perSecond, lag, readings: system.load.accepted.length });
  },
);

t.test('actors that are started while nats-server is away wait for it', async (t) => {
  const system = await startUnderLoad(t, { seed: 64, flags });
  await system.nats.kill();
  const process = await system.start('all', ['buffer', 'uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger']);
  await until(() => (/no NATS server answers at .* Waits 10 s for it/.test(readFileSync(system.logFile, 'utf8')) ? true : undefined));
  await system.nats.start();
  await system.reconnect();
  await until(async () => ((await system.bus.logs()).some(({ name }) => name === 'VIEWS') ? true : undefined));
  await system.load.start(system.nats.url);
  await untilSealed(system, 100);
  t.ok(process.isRunning, 'the process that waited has sealed 100 readings');
  await system.isExact(t);
});

/** A subscriber in its own words that asks for everything and then never reads. */
const deafSubscriber = async (t: Test, port: number): Promise<Socket> => {
  const socket = connectSocket(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('CONNECT {"verbose":false,"name":"deaf"}\r\nSUB view.updated.> 1\r\nSUB noise.> 2\r\nPING\r\n');
  socket.pause();
  t.teardown(() => socket.destroy());
  return socket;
};

t.test('subscribers that do not read: the server cuts one off, a `watch` waits, and nobody else notices', async (t) => {
  const system = await startUnderLoad(t, { seed: 63, flags });
  await startAll(system);
  const watch = spawn(process.execPath, [cli, 'watch', '--nats', system.nats.url], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(watch, 'exit');
  t.teardown(async () => {
    watch.kill('SIGKILL');
    await ended;
  });
  await once(watch.stdout, 'readable'); // it is there; nothing more is read for now
  const before = usageOf(watch.pid as number).rssBytes;
  const deaf = await deafSubscriber(t, system.nats.port);
  const isCut = until(() => (/Slow Consumer/.test(readFileSync(path.join(system.nats.data, 'nats.log'), 'utf8')) ? true : undefined));
  const noise = setInterval(() => {
    for (let i = 0; i < 20; i++) system.bus.tell('noise.loud', Buffer.alloc(500_000)); // the view alone would take longer to fill its bounds
  }, 50);
  t.teardown(() => clearInterval(noise));
  await isCut;
  clearInterval(noise);
  t.pass('nats-server calls it a slow consumer and closes its connection');
  deaf.destroy();
  await untilSealed(system, 1_000);
  await untilViewed(system, 1_000);
  isBounded(t, before, usageOf(watch.pid as number).rssBytes);
  await system.load.drain();
  const newest = system.load.accepted.length;
  let text = '';
  const position = new Map<string, number>();
  watch.stdout.on('data', (chunk: Buffer) => {
    const lines = (text + chunk.toString()).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const change = JSON.parse(line) as { service: string; position: number[] };
      const sum = change.position.reduce((total, to) => total + to, 0);
      if (sum < (position.get(change.service) ?? 0)) t.fail(`${change.service} went back`);
      position.set(change.service, sum);
    }
  });
  await until(() => (Math.max(...position.values()) >= newest ? true : undefined));
  t.pass(`read again, the watch gets to the newest of ${newest} readings`);
  await system.isExact(t);
});
