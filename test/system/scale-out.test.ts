/** Several instances of every actor in processes of their own: an even share each, and what follows when one goes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import t, { type Test } from 'tap';
import { openBus } from '../../infra/bus/nats.js';
import { credentialsFor } from '../../infra/bus/users.js';
import { Recovery } from '../../scripts/chaos/recovery.js';
import { readStatus } from '../../scripts/status/status.js';
import { freePorts, temporaryFolder } from '../servers.js';
import { until } from '../until.js';
import { startUnderLoad, type UnderLoad } from './under-load.js';

const cli = path.join(import.meta.dirname, '../../scripts/cli.js');
const partitioned = ['buffer', 'uploader', 'windower'];

const openRecovery = async (t: Test, { nats }: UnderLoad): Promise<Recovery> => {
  const recovery = new Recovery(nats.url);
  await recovery.start();
  t.teardown(() => recovery.stop());
  return recovery;
};

/** The promise is 3 s and 1 s, and that is what a machine of its own measures; beside other tests a process may wait for its turn. */
const killedMsMax = 10_000;
const stoppedMsMax = 5_000;

t.test('partitions are shared evenly; a killed process is replaced within 3 s, a clean stop hands over within 1 s', async (t) => {
  const system = await startUnderLoad(t, { seed: 21 });
  await system.start('rest', ['scheduler', 'mapper', 'reducer', 'merger']);
  const first = await system.start('first', partitioned);
  const second = await system.start('second', partitioned);
  for (const actor of partitioned) {
    const shared = await system.untilShared(actor, 2);
    t.same(
      shared.map(({ partitions }) => partitions.length),
      [2, 2],
      `${actor}: two partitions each`,
    );
    t.same(shared.flatMap(({ partitions }) => partitions).sort(), [0, 1, 2, 3], `${actor}: each partition once`);
    t.same(new Set(shared.map(({ pid }) => pid)), new Set([first.pid, second.pid]));
  }
  await system.load.start(system.nats.url);
  const recovery = await openRecovery(t, system);
  await recovery.seenAll(12);

  const killed = await recovery.worksOn(second.pid);
  t.equal(killed.length, 6);
  await second.kill();
  recovery.killed(killed);
  await recovery.settled();
  const { times } = recovery;
  t.comment(times);
  for (const [output, { count, maxMs }] of Object.entries(times)) {
    if (output !== 'disturbed') t.ok(count === 2 && maxMs < killedMsMax, `${output}: works again after ${maxMs} ms`);
  }

  await second.start();
  // By pid: what the killed one said last, and the other before it took over, would look shared too.
  const handed = await until(async () => {
    const [one, other] = await Promise.all([first, second].map(({ pid }) => recovery.worksOn(pid)));
    return one?.length === 6 && other?.length === 6 ? one : undefined;
  });
  for (const actor of partitioned) await system.untilShared(actor, 2);
  t.equal(handed.length, 6);
  recovery.watchGaps();
  await first.stop();
  await recovery.eachAgain(handed);
  const gaps = recovery.gapsMs(handed);
  t.comment(gaps);
  for (const [subject, ms] of Object.entries(gaps)) t.ok(ms < stoppedMsMax, `${subject}: silent for ${ms} ms`);
  await system.isExact(t);
});

t.test('start --instances 2 runs each actor in two processes, and brings one back that dies', async (t) => {
  const data = temporaryFolder(t);
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const flags = ['--data', data, '--nats-port', String(port), '--nats-http-port', String(httpPort), '--log-level', 'warn'];
  const child = spawn(process.execPath, [cli, 'start', '--instances', '2', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  await once(child.stdout, 'data');
  const bus = await openBus({ nats: `nats://127.0.0.1:${port}`, natsCreds: credentialsFor({ data }, 'operator') }, 'test');
  t.teardown(() => bus.close());
  const shared = (actor: string) =>
    until(async () => {
      const found = (await readStatus(bus, { data })).actors.filter((one) => one.actor === actor && one.state === 'working');
      return found.length === 2 && found.every(({ partitions }) => partitions.length === 2) ? found : undefined;
    });
  for (const actor of partitioned) {
    const pids = new Set((await shared(actor)).map(({ pid }) => pid));
    t.equal(pids.size, 2, `${actor} in two processes`);
  }
  const { actors } = await readStatus(bus, { data });
  for (const actor of ['scheduler', 'mapper', 'reducer', 'merger']) {
    t.equal(new Set(actors.filter((one) => one.actor === actor).map(({ pid }) => pid)).size, 2, `${actor} in two processes`);
  }
  const [dies] = await shared('buffer');
  process.kill(dies?.pid as number, 'SIGKILL');
  await until(async () => ((await shared('buffer')).some(({ pid }) => pid === dies?.pid) ? undefined : true));
  t.pass('brought back, and shares again');
  child.kill('SIGTERM');
  t.same(await ended, [0, null], 'a clean stop');
});
