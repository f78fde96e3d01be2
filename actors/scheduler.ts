/**
 * Scheduler: makes the batch view anew, from the old cut to a new one. One instance leads, others stand by.
 *
 * in    raw.stored, part.stored      what is committed, and where parts end
 *       range.mapped, services.reduced, range.failed, services.failed, view.proved
 *       batch.asked                  a batch or a rebuild now
 * out   batch.requested, batch.ready, batch.abandoned   fenced as one
 *       range.assigned, services.assigned               the tasks
 *       part.asked                   to the windowers, before a batch that somebody asked for
 * owns  views/batch/<batch>.json
 *
 * S1  batch.requested, batch.ready and batch.abandoned share one fence, so a successor may abandon its predecessor's batch.
 * S2  The cut is the newest end of a stored part at or below the committed offset; tasks are all commits that overlap [C, C').
 * S5  A batch builds on the newest proved one; none starts while one is open, unproved, or found to differ.
 * S6  A batch is ready only if the records of its view sum to the offsets in its cut.
 */
import { distinctUntilChanged, map, merge, switchMap, timer } from 'rxjs';
import type { Env } from '../infra/actor/env.js';
import { every } from '../infra/actor/every.js';
import type { FoldDefinition, Input } from '../infra/actor/fold.js';
import type { Output, Step } from '../infra/actor/output.js';
import type { LogMessage } from '../infra/bus/bus.js';
import { FencedError, RetryableError } from '../infra/errors.js';
import {
  readBatchAbandoned,
  readPartStored,
  readRangeMapped,
  readRawStored,
  readServicesReduced,
  readTaskFailed,
  readViewProved,
} from '../protocol/messages/readers.js';
import { type Position, sumPosition } from '../protocol/range.js';
import { noteProgress, onAsked, startAsked } from './scheduler/asked.js';
import { abandon, onMapped, onReduced, startBatch } from './scheduler/batch.js';
import { beginScheduler, isTaken } from './scheduler/begin.js';
import { cleanUpAfterProof, sweepAtBeginning } from './scheduler/cleanup.js';
import { chooseDates } from './scheduler/recompute.js';
import { type Asked, noteCommit, notePart, realtimeRows, rebase, type SchedulerState } from './scheduler/state.js';

/** A batch starts early when the real-time view has this many rows: mergers hold them in memory. */
const realtimeRowsMax = 1_000_000;
/** Timers of more than 2^31 ms fire at once. */
const maxTimerMs = 2 ** 31 - 1;

const isIdle = (state: SchedulerState): boolean => state.open === undefined && state.unproved === undefined && state.orphan === undefined;

const onBatchMessage = (state: SchedulerState, message: LogMessage): Output[] => {
  const { open } = state;
  const isOpen = (batch: string): boolean => open?.requested.batch === batch;
  switch (message.subject) {
    case 'range.mapped': {
      const mapped = readRangeMapped(message.body);
      return open && isOpen(mapped.batch) ? onMapped(state, open, mapped) : [];
    }
    case 'services.reduced': {
      const reduced = readServicesReduced(message.body);
      return open && isOpen(reduced.batch) ? onReduced(state, open, reduced) : [];
    }
    case 'range.failed':
    case 'services.failed': {
      const failed = readTaskFailed(message.body);
      return isOpen(failed.batch) ? abandon(state, failed.batch, `${message.subject} ${failed.task}: ${failed.reason}`) : [];
    }
    case 'batch.requested':
      if (open) state.requestedSequence = message.sequence;
      return [];
    case 'batch.abandoned': {
      const { batch } = readBatchAbandoned(message.body);
      if (isOpen(batch)) throw new FencedError(`batch ${batch} was abandoned by another scheduler`); // what is abandoned here is not open any more
      return [];
    }
    case 'batch.ready':
      state.unproved = open?.requested ?? state.unproved; // a predecessor's is known since the beginning
      return [];
    case 'view.proved':
      return onProved(state, message);
    default:
      return [];
  }
};

const onProved = (state: SchedulerState, message: LogMessage): Output[] => {
  const proved = readViewProved(message.body);
  if (state.unproved?.batch !== proved.batch) return [];
  const { open } = state;
  state.open = undefined;
  state.unproved = undefined;
  if (!isTaken(proved)) {
    state.differing = proved;
    state.counts.differences += proved.differences;
    return [];
  }
  state.differing = undefined;
  state.counts.proved += 1;
  if (open === undefined) {
    // a predecessor's batch: what it drafted is in its manifest
    return [
      {
        do: 'work',
        what: 'take on a proved batch',
        run: async () => {
          throw new RetryableError(`batch ${proved.batch} is proved: begin from it`);
        },
      },
    ];
  }
  const before = state.base;
  rebase(state, proved, open.draft);
  return [cleanUpAfterProof(state, before)];
};

/** Once a moment: what was asked for, what is due, what grew too large. */
const check = (state: SchedulerState, now: number): Step<SchedulerState> => {
  noteProgress(state, now);
  if (state.orphan !== undefined) return [state, abandon(state, state.orphan, 'its scheduler is gone')];
  if (!state.isSwept && isIdle(state)) {
    state.isSwept = true;
    return [state, [sweepAtBeginning(state)]];
  }
  const started = isIdle(state) ? startAsked(state, now) : undefined;
  if (started !== undefined) return started;
  if (isIdle(state) && state.differing === undefined && realtimeRows(state) > realtimeRowsMax) return startBatch(state, 'size', [], now);
  return [state, []];
};

const onTick = (
  state: SchedulerState,
  tick: string,
  now: number,
  { batchEveryMs, recomputeEveryMs }: Env['settings'],
): Step<SchedulerState> => {
  if (tick === 'check') return check(state, now);
  if (tick === 'recompute') return recompute(state, now, recomputeEveryMs);
  if (!isIdle(state) || state.differing !== undefined) {
    state.dueAt = now + 1_000;
    return [state, []];
  }
  state.dueAt = now + batchEveryMs;
  return startBatch(state, state.base.batch === null ? 'first' : 'schedule', [], now);
};

/** Once in a while rows are made anew from all their raw data, so that an error that crept in once cannot stay. */
const recompute = (state: SchedulerState, now: number, everyMs: number): Step<SchedulerState> => {
  if (!isIdle(state) || state.differing !== undefined || state.base.batch === null) {
    state.recomputeAt = now + Math.min(everyMs, 5_000);
    return [state, []];
  }
  state.recomputeAt = now + everyMs;
  return startBatch(state, 'recompute', chooseDates(state.files.values(), state.base.recomputed, everyMs), now);
};

const step = (state: SchedulerState, input: Input, env: Env): Step<SchedulerState> => {
  switch (input.kind) {
    case 'messages': {
      if (input.log === 'batch') return [state, input.messages.flatMap((message) => onBatchMessage(state, message))];
      for (const message of input.messages) {
        const { sequence, subject, body } = message;
        if (subject.startsWith('raw.')) noteCommit(state, { ...readRawStored(body), sequence });
        else if (subject.startsWith('part.')) notePart(state, { ...readPartStored(body), sequence });
      }
      return [state, []];
    }
    case 'tick':
      return onTick(state, input.tick, input.now, env.settings);
    case 'heard':
      return onAsked(state, input.message, input.now);
    case 'noted': {
      const { asked, target } = input.value as { asked: Asked; target: Position };
      asked.target = target;
      return [state, []];
    }
    default:
      return [state, []];
  }
};

export const scheduler: FoldDefinition<SchedulerState> = {
  name: 'scheduler',
  share: 'single',
  produces: ['batch.requested', 'batch.ready', 'batch.abandoned', 'range.assigned', 'services.assigned', 'part.asked'],
  hears: [{ subject: 'batch.asked' }],
  begin: beginScheduler,
  step,
  ticks: (states, env, clock) =>
    merge(
      every(250, 'check', clock),
      states.pipe(
        map((state) => state.dueAt),
        distinctUntilChanged(),
        switchMap((dueAt) => timer(Math.min(maxTimerMs, Math.max(0, dueAt - env.now())), clock)),
        map(() => 'schedule'),
      ),
      states.pipe(
        map((state) => state.recomputeAt),
        distinctUntilChanged(),
        switchMap((recomputeAt) => timer(Math.min(maxTimerMs, Math.max(0, recomputeAt - env.now())), clock)),
        map(() => 'recompute'),
      ),
    ),
  place: (state) => sumPosition(state.base.cut),
  counts: (state) => ({ ...state.counts, realtimeRows: realtimeRows(state), open: state.open ? 1 : 0 }),
};
