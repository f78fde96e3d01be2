/**
 * A host runs one fold on this instance: for each share that it holds one life after another, until it is stopped.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { ActorStatus } from '../../protocol/messages/actor-status.js';
import type { Bus } from '../bus/bus.js';
import type { Coordinator, Membership } from '../coordination/coordinator.js';
import { messageOf, OutOfReachError } from '../errors.js';
import type { Env } from './env.js';
import { type FoldDefinition, type LifeEnd, runLife } from './fold.js';
import { Trouble } from './trouble.js';

export type WorldOfActors = Omit<Env, 'bus' | 'instance'> & {
  /** A new connection, for one life. */
  readonly openBus: (name: string) => Promise<Bus>;
  readonly coordinator: Coordinator;
};

/** One share of an actor, for health and metrics. */
export interface ShareSeen {
  readonly partition: number;
  /** Counts begin anew with each life. */
  readonly life: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Whether its life has begun. */
  readonly isAlive: boolean;
  /** Why the last one ended. */
  readonly trouble: string | undefined;
}

/** One value that is read for a scrape of metrics (infra/ops/metrics.ts). */
export interface SampleRead {
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface RunningActor {
  readonly name: string;
  readonly instance: string;
  /** Rejects when the process must not go on (history, a mistake of ours); resolves after a clean stop. */
  readonly ended: Promise<void>;
  status(): ActorStatus;
  shares?(): readonly ShareSeen[];
  /** How many lives ended, by how they did. */
  ends?(): Readonly<Record<string, number>>;
  collect?(): Promise<readonly SampleRead[]>;
}

const pauseMsMin = 50;
const pauseMsMax = 2_000;

export const newInstance = (): string => randomBytes(4).toString('hex');

const baseStatus = (actor: string, instance: string, state: string): ActorStatus => ({
  actor,
  instance,
  pid: process.pid,
  host: hostname(),
  state,
  partitions: [],
  places: {},
  counts: {},
  at: Date.now(),
});

interface Share {
  readonly stop: AbortController;
  readonly lost: AbortController;
  ended: Promise<void>;
  place: number;
  counts: Record<string, number>;
  life: number;
  isAlive: boolean;
  trouble: string | undefined;
}

/** Starts a fold on this instance. `stop` ends it cleanly. @throws never: see `ended`. */
export const hostFold = <State>(fold: FoldDefinition<State>, world: WorldOfActors, stop: AbortSignal): RunningActor => {
  const instance = newInstance();
  const log = world.log.child({ actor: fold.name, instance });
  const shares = new Map<number, Share>();
  const leadHandlers = new Set<() => void>();
  let leads = false;
  let state = 'standby';
  let isEnding = false;
  const ends: Record<string, number> = { lost: 0, fenced: 0, history: 0, fault: 0 };
  const trouble = new Trouble();
  let failed: Error | undefined;
  let fail: (error: Error) => void = () => undefined;
  const failure = new Promise<never>((_, reject) => {
    fail = (error) => {
      failed ??= error;
      state = 'failed';
      reject(error);
    };
  });
  failure.catch(() => undefined);
  const setLeads = (value: boolean): void => {
    leads = value;
    for (const changed of leadHandlers) changed();
  };

  const start = (partition: number): void => {
    const share: Share = {
      stop: new AbortController(),
      lost: new AbortController(),
      ended: Promise.resolve(),
      place: 0,
      counts: {},
      life: 0,
      isAlive: false,
      trouble: undefined,
    };
    shares.set(partition, share);
    share.ended = liveOn(partition, share).finally(() => {
      if (shares.get(partition) === share) shares.delete(partition);
    });
  };

  const liveOn = async (partition: number, share: Share): Promise<void> => {
    let pauseMs = pauseMsMin;
    while (!share.stop.signal.aborted && !share.lost.signal.aborted) {
      const startedAt = performance.now();
      const end = await oneLife(partition, share);
      share.isAlive = false;
      if (end.kind === 'stopped') return;
      ends[end.kind] = (ends[end.kind] ?? 0) + 1;
      share.trouble = end.error.message;
      trouble.note(end.error, `partition ${partition}: `);
      if (share.lost.signal.aborted) {
        log.info({ partition }, 'lease gone');
        return;
      }
      const reason = { partition, reason: end.error.message };
      if (end.kind === 'history') {
        log.error(reason, 'history does not fit');
        fail(end.error);
        return;
      }
      if (end.kind === 'fault') {
        log.error({ ...reason, stack: end.error.stack }, 'a mistake of ours');
        fail(end.error);
        return;
      }
      log.warn({ ...reason, kind: end.kind }, 'life ended, starts again');
      if (performance.now() - startedAt > 10_000) pauseMs = pauseMsMin;
      await pause(pauseMs, share);
      pauseMs = Math.min(pauseMs * 2, pauseMsMax);
    }
  };

  const oneLife = async (partition: number, share: Share): Promise<LifeEnd> => {
    share.life += 1;
    share.counts = {};
    let bus: Bus;
    try {
      bus = await world.openBus(`${fold.name} ${partition} ${instance}`);
    } catch (error) {
      if (error instanceof OutOfReachError) return { kind: 'lost', error };
      throw error;
    }
    try {
      return await runLife(fold, { ...world, bus, log: log.child({ partition }), instance }, partition, {
        stop: share.stop.signal,
        lost: share.lost.signal,
        leads: () => leads,
        onLead: (changed) => {
          leadHandlers.add(changed);
          return () => leadHandlers.delete(changed);
        },
        seen: (report) => {
          share.place = report.place;
          share.counts = report.counts;
          share.isAlive = true;
          share.trouble = undefined;
        },
      });
    } finally {
      await bus.close();
    }
  };

  const stopShare = async (partition: number): Promise<void> => {
    const share = shares.get(partition);
    share?.stop.abort();
    await share?.ended;
  };

  const run = async (): Promise<void> => {
    const count = fold.share === 'partition' ? world.settings.partitions : 1;
    let membership: Membership | undefined;
    if (fold.share === 'each') start(0);
    membership = await world.coordinator.join(
      fold.name,
      instance,
      count,
      fold.share === 'each'
        ? { gained: () => setLeads(true), lost: () => setLeads(false), wanted: () => undefined }
        : {
            gained: (partition) => {
              if (isEnding) return; // leave() gives it back
              log.info({ partition }, 'took over');
              start(partition);
            },
            lost: (partition) => shares.get(partition)?.lost.abort(),
            wanted: (partition) => void stopShare(partition).then(() => membership?.release(partition)),
          },
    );
    await Promise.race([aborted(stop), failure]).finally(async () => {
      isEnding = true;
      if (!failed) state = 'stopping';
      await Promise.all([...shares.keys()].map(stopShare));
      await membership?.leave();
    });
  };

  const ended = run();
  ended.catch(() => undefined);
  return {
    name: fold.name,
    instance,
    ended,
    ends: () => ends,
    shares: () => [...shares].map(([partition, { life, counts, isAlive, trouble }]) => ({ partition, life, counts, isAlive, trouble })),
    status: () => ({
      ...baseStatus(fold.name, instance, state === 'standby' && (fold.share === 'each' || shares.size > 0) ? 'working' : state),
      partitions: fold.share === 'partition' ? [...shares.keys()].sort((a, b) => a - b) : [],
      places: Object.fromEntries([...shares].map(([partition, share]) => [partition, share.place])),
      counts: addCounts(
        [...shares.values()].map((share) => share.counts),
        fold.share === 'each' && leads ? { leads: 1 } : {},
      ),
      ...(failed ? { error: messageOf(failed) } : {}),
      ...trouble.shown,
    }),
  };
};

const addCounts = (all: Record<string, number>[], sum: Record<string, number>): Record<string, number> => {
  for (const counts of all) for (const [name, value] of Object.entries(counts)) sum[name] = (sum[name] ?? 0) + value;
  return sum;
};

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const pause = (ms: number, share: Share): Promise<void> =>
  new Promise((resolve) => {
    const signals = [share.stop.signal, share.lost.signal];
    const end = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    for (const signal of signals) signal.addEventListener('abort', end);
  });

export { aborted, baseStatus };
