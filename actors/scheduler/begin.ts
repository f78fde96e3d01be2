/** How a scheduler begins: from the newest proved batch (S5), and from what its predecessor left open (S1). */
import type { Env } from '../../infra/actor/env.js';
import type { Beginning } from '../../infra/actor/fold.js';
import type { Bus } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { readBatchAbandoned, readBatchReady, readBatchRequested, readViewProved } from '../../protocol/messages/readers.js';
import { loadProved } from './manifest.js';
import { taskBytesMaxDefault } from './plan.js';
import { baseOf, emptyBase, type SchedulerState, type Sequenced } from './state.js';

/** Every view.proved that BATCH keeps, in order, with its sequence there. */
export const readProofs = async (bus: Bus): Promise<Sequenced<ViewProved>[]> => {
  const last = await bus.last('BATCH', 'view.proved');
  if (last === undefined) return [];
  const proofs: Sequenced<ViewProved>[] = [];
  for await (const { body, sequence } of readLog(bus, 'BATCH', { filter: 'view.proved', to: last.sequence })) {
    proofs.push({ ...readViewProved(body), sequence });
  }
  return proofs;
};

/** The newest batch without a difference: all begin from it. */
export const newestProved = <T extends ViewProved>(proofs: readonly T[]): T | undefined => proofs.findLast(isTaken);

/** Whether mergers answer from it: no difference, or repaired after one. */
export const isTaken = ({ differences, repaired }: ViewProved): boolean => differences === 0 || repaired === true;

/** The last of batch.requested, batch.ready and batch.abandoned. */
const readLastBatch = async (bus: Bus) => {
  const message = await bus.last('BATCH', 'batch.*');
  if (message === undefined) return { sequence: 0, batch: null, state: 'none' as const };
  const { sequence, subject, body } = message;
  if (subject === 'batch.requested') return { sequence, batch: readBatchRequested(body).batch, state: 'requested' as const };
  if (subject === 'batch.ready') return { sequence, batch: readBatchReady(body).batch, state: 'ready' as const };
  return { sequence, batch: readBatchAbandoned(body).batch, state: 'abandoned' as const };
};

export const beginScheduler = async (env: Env): Promise<Beginning<SchedulerState>> => {
  const { bus, settings } = env;
  const { partitions } = settings;
  const { last: batchEnd } = await bus.extent('BATCH');
  const lastBatch = await readLastBatch(bus);
  const proofs = await readProofs(bus);
  const proved = newestProved(proofs);
  const newest = proofs.at(-1);
  const manifest = proved && (await loadProved(env, proved));
  const base = proved === undefined || manifest === undefined ? emptyBase(partitions) : baseOf(proved, manifest);
  const isProved = lastBatch.batch !== null && proofs.some(({ batch }) => batch === lastBatch.batch);
  const dueAt =
    base.batch === null
      ? env.now() + Math.min(60_000, settings.batchEveryMs)
      : Math.max(env.now() + 1_000, base.requestedAt + settings.batchEveryMs);
  return {
    state: {
      partitions,
      taskBytesMax: taskBytesMaxDefault,
      base,
      files: new Map((manifest?.raw ?? []).map((file) => [file.path, { ...file }])),
      commits: Array.from({ length: partitions }, () => []),
      parts: Array.from({ length: partitions }, () => []),
      committed: new Array<number>(partitions).fill(0),
      lastCommit: new Array<number>(partitions).fill(0),
      lastPart: new Array<number>(partitions).fill(0),
      requestedSequence: 0,
      isSwept: false,
      recomputeAt: Math.max(env.now() + 5_000, (base.recomputedAt || env.now()) + settings.recomputeEveryMs),
      open: undefined,
      unproved: lastBatch.state === 'ready' && !isProved && lastBatch.batch !== null ? { batch: lastBatch.batch } : undefined,
      differing: newest !== undefined && !isTaken(newest) ? newest : undefined,
      orphan: lastBatch.state === 'requested' && lastBatch.batch !== null ? lastBatch.batch : undefined,
      lastBatch: lastBatch.batch,
      dueAt,
      asked: [],
      counts: { batches: 0, proved: 0, abandoned: 0, differences: 0 },
    },
    logs: {
      stored: { stream: 'STORED', start: 'first', held: 1_000 },
      batch: { stream: 'BATCH', start: { sequence: batchEnd + 1 }, held: 256 },
    },
    fences: { 'batch.*': lastBatch.sequence },
  };
};
