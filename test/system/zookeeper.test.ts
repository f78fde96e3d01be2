/**
 * Leases in ZooKeeper, on three real servers and real processes under load: whatever happens to the ensemble or to a session,
 * everything acknowledged is in the view once. How long each output was silent is printed. One fault runs with every
 * `npm test`; TIDEMARK_TEST_HDFS=all runs all.
 */
import t, { type Test } from 'tap';
import { Recovery } from '../../scripts/chaos/recovery.js';
import type { ActorVictim } from '../../scripts/chaos/victims.js';
import type { Zookeeper } from '../../scripts/stack/zookeeper.js';
import { jarsOrSkip, startTestZookeeper } from '../stack.js';
import { until } from '../until.js';
import { startUnderLoad, type UnderLoad } from './under-load.js';

t.setTimeout(900_000); // of a machine that has much else to do

const partitioned = ['buffer', 'uploader', 'windower'];
const outputs = ['segment.sealed', 'raw.stored', 'realtime.updated'].flatMap((name) => [0, 1, 2, 3].map((p) => `${name}.${p}`));
const sessionMs = 3_000;

interface Scene {
  readonly system: UnderLoad;
  readonly zookeeper: Zookeeper;
  readonly first: ActorVictim;
  readonly second: ActorVictim;
}

/** Two processes share the partitions under load when `strike` is called; afterwards both do again, and everything is there once. */
const strikeUnderLoad = async (
  t: Test,
  zookeeper: Zookeeper,
  { seed, silentMsMax }: { seed: number; silentMsMax: number },
  strike: (scene: Scene) => Promise<void>,
): Promise<void> => {
  const flags = ['--coordinator', `zookeeper://${zookeeper.connect}/test-${seed}`, '--zookeeper-session', `${sessionMs}ms`];
  const system = await startUnderLoad(t, { seed, flags });
  const rest = await system.start('rest', ['scheduler', 'mapper', 'reducer', 'merger']);
  const first = await system.start('first', partitioned);
  const second = await system.start('second', partitioned);
  for (const actor of partitioned) await system.untilShared(actor, 2);
  await system.load.start(system.nats.url);
  const recovery = new Recovery(system.nats.url);
  await recovery.start();
  t.teardown(() => recovery.stop());
  await recovery.seenAll(outputs.length);
  recovery.watchGaps();
  await strike({ system, zookeeper, first, second });
  await recovery.eachAgain(outputs);
  for (const actor of partitioned) await system.untilShared(actor, 2);
  const silentMs = Object.values(recovery.gapsMs(outputs));
  t.comment(`longest silence of an output: ${Math.min(...silentMs)} to ${Math.max(...silentMs)} ms`);
  t.ok(Math.max(...silentMs) < silentMsMax, `at most ${Math.max(...silentMs)} ms of silence`);
  t.ok(
    [rest, first, second].every(({ isRunning }) => isRunning),
    'no process ended',
  );
  await system.isExact(t);
};

const leaderOf = async (zookeeper: Zookeeper): Promise<number> => {
  for (;;) {
    const roles = await Promise.all([0, 1, 2].map((server) => zookeeper.role(server)));
    if (roles.includes('leader')) return roles.indexOf('leader');
  }
};

/** No instance has a partition. */
const allStopped = (system: UnderLoad): Promise<true> =>
  until(async () => {
    const working = await Promise.all(partitioned.map((actor) => system.working(actor)));
    return working.flat().length === 0 ? true : undefined;
  });

const faults: readonly (readonly [name: string, silentMsMax: number, strike: (scene: Scene) => Promise<void>])[] = [
  [
    'the leader of three is killed, and comes back',
    20_000,
    async ({ zookeeper }) => {
      const leader = await leaderOf(zookeeper);
      await zookeeper.end(leader, 'SIGKILL');
      await leaderOf(zookeeper);
      await zookeeper.start(leader);
    },
  ],
  [
    'the quorum is lost: work on leases stops, questions are answered; it comes back',
    60_000,
    async ({ system, zookeeper }) => {
      const leader = await leaderOf(zookeeper);
      const others = [0, 1, 2].filter((server) => server !== leader);
      await Promise.all([leader, others[0] as number].map((server) => zookeeper.end(server, 'SIGKILL')));
      await allStopped(system);
      await Promise.all([leader, others[0] as number].map((server) => zookeeper.start(server)));
    },
  ],
  [
    'a session expires while its process is stopped: others take over, and it joins again as a newcomer',
    20_000,
    async ({ system, first, second }) => {
      second.pause();
      for (const actor of partitioned) {
        await until(async () => (await system.working(actor)).find(({ pid, partitions }) => pid === first.pid && partitions.length === 4));
      }
      second.resume();
    },
  ],
  [
    'the ensemble is away for longer than a session, and comes back',
    60_000,
    async ({ system, zookeeper }) => {
      const servers = [0, 1, 2];
      await Promise.all(servers.map((server) => zookeeper.end(server, 'SIGKILL')));
      const awayUntil = performance.now() + 2 * sessionMs;
      await allStopped(system);
      await until(async () => (performance.now() > awayUntil ? true : undefined));
      await Promise.all(servers.map((server) => zookeeper.start(server)));
    },
  ],
];

const jars = await jarsOrSkip(t);
if (jars !== undefined) {
  const zookeeper = await startTestZookeeper(t, { jars, servers: 3, tickMs: 500 });
  const isWhole = process.env.TIDEMARK_TEST_HDFS === 'all';
  for (const [i, [name, silentMsMax, strike]] of faults.slice(0, isWhole ? faults.length : 1).entries()) {
    t.test(name, (t) => strikeUnderLoad(t, zookeeper, { seed: 70 + i, silentMsMax }, strike));
  }
}
