/**
 * Fencing on real processes: an owner that is stopped past its lease and goes on writes nothing that counts, notices, and
 * joins again as a newcomer.
 */
import t, { type Test } from 'tap';
import type { ActorStatus } from '../../protocol/messages/actor-status.js';
import { readActorStatus } from '../../protocol/messages/readers.js';
import type { ActorVictim } from '../../scripts/chaos/victims.js';
import { until } from '../until.js';
import { startUnderLoad, type UnderLoad } from './under-load.js';

const partitioned = ['buffer', 'uploader', 'windower'];
const leading = ['scheduler', 'merger'];
const actors = [...partitioned, ...leading];

/** What shows that a successor writes: its lease alone would not. */
const outputs: Readonly<Record<string, [stream: (share: number) => string, subject: (share: number) => string]>> = {
  buffer: [(p) => `SEGMENTS-${p}`, (p) => `segment.sealed.${p}`],
  uploader: [() => 'STORED', (p) => `raw.stored.${p}`],
  windower: [() => 'REALTIME', (p) => `realtime.updated.${p}`],
  scheduler: [() => 'BATCH', () => 'batch.*'],
  merger: [() => 'BATCH', () => 'view.proved'],
};

interface Owner {
  readonly actor: string;
  readonly instance: string;
  readonly share: number;
}

const statuses = async ({ bus }: UnderLoad): Promise<ActorStatus[]> =>
  [...(await (await bus.bucket('ACTORS', { ttlMs: 60_000 })).all()).values()].map(({ value }) => readActorStatus(value));

const holderOf = async ({ bus }: UnderLoad, { actor, share }: Owner): Promise<string | undefined> => {
  const lease = await (await bus.bucket('LEASES', { ttlMs: 1_500 })).get(`${actor}.lease.${share}`);
  return lease && Buffer.from(lease.value).toString();
};

/** The leases that these processes have, one for each actor. */
const ownersIn = async (system: UnderLoad, processes: readonly ActorVictim[]): Promise<Owner[]> => {
  const pids = processes.map(({ pid }) => pid);
  const owners = (await statuses(system))
    .filter(({ pid }) => pids.includes(pid))
    .map(({ actor, instance, partitions }) => ({ actor, instance, share: partitions[0] ?? 0 }));
  const held: Owner[] = [];
  for (const owner of owners) if ((await holderOf(system, owner)) === owner.instance) held.push(owner);
  return held;
};

const isLedByOne = async (system: UnderLoad, actor: string): Promise<boolean> => {
  const leaders = (await statuses(system)).filter(
    (one) => one.actor === actor && (actor === 'scheduler' ? one.state === 'working' : one.counts.leads === 1),
  );
  return leaders.length === 1 && leaders[0]?.instance === (await holderOf(system, { actor, instance: '', share: 0 }));
};

/** Stops these processes until others have their leases and have written; then lets them go on. @returns who was struck. */
const stopPastLeases = async (t: Test, system: UnderLoad, processes: readonly ActorVictim[]): Promise<string[]> => {
  const owners = await until(async () => {
    const found = await ownersIn(system, processes);
    return found.length >= partitioned.length ? found : undefined;
  });
  const stoppedAt = performance.now();
  for (const owner of processes) owner.pause();
  await Promise.all(
    owners.map(async (owner) => {
      await until(async () => {
        const holder = await holderOf(system, owner);
        return holder !== undefined && holder !== owner.instance ? true : undefined;
      });
      const tookMs = Math.round(performance.now() - stoppedAt);
      t.ok(tookMs < 10_000, `${owner.actor}: another has its lease after ${tookMs} ms`);
      const [stream, subject] = outputs[owner.actor] as (typeof outputs)[string];
      const last = async (): Promise<number> => (await system.bus.last(stream(owner.share), subject(owner.share)))?.sequence ?? 0;
      const before = await last();
      await until(async () => ((await last()) > before ? true : undefined));
    }),
  );
  for (const owner of processes) owner.resume();
  const resumedAt = Date.now();
  for (const { actor, instance } of owners) {
    const said = await until(async () => (await statuses(system)).find((one) => one.instance === instance && one.at > resumedAt));
    t.notMatch(said, { state: 'failed' }, `${actor}: goes on`);
  }
  for (const actor of partitioned) await system.untilShared(actor, 2);
  for (const actor of leading) {
    await until(async () => ((await isLedByOne(system, actor)) ? true : undefined));
    t.pass(`${actor}: one leads, and it has the lease`);
  }
  return owners.map(({ actor }) => actor);
};

t.test('F3: an owner that was stopped past its lease and goes on writes nothing that counts, and joins again as a newcomer', async (t) => {
  const system = await startUnderLoad(t, { seed: 31 });
  const workers = await system.start('workers', ['mapper', 'reducer']);
  const alone = await Promise.all(actors.map((actor) => system.start(actor, [actor])));
  for (const actor of actors) await until(async () => ((await system.working(actor)).length === 1 ? true : undefined));
  const together = await system.start('together', actors);
  for (const actor of partitioned) await system.untilShared(actor, 2);
  await system.load.start(system.nats.url);
  const struck = [...(await stopPastLeases(t, system, alone)), ...(await stopPastLeases(t, system, [together]))];
  t.same(
    actors.filter((actor) => !struck.includes(actor)),
    [],
    'an owner of each was stopped',
  );
  t.ok(
    [workers, together, ...alone].every(({ isRunning }) => isRunning),
    'no process ended',
  );
  await system.isExact(t);
});
