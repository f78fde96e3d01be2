/** A batch from its request to its manifest: what is asked of mappers and reducers, and what becomes of their answers. */
import type { Output, Step } from '../../infra/actor/output.js';
import { FileMissingError, messageOf } from '../../infra/errors.js';
import type { MessageName } from '../../protocol/catalogue.js';
import type {
  BatchReady,
  BatchRequested,
  RangeAssigned,
  RangeMapped,
  ServicesAssigned,
  ServicesReduced,
} from '../../protocol/messages/batch.js';
import { samePosition, sumPosition } from '../../protocol/range.js';
import { writeManifest } from './manifest.js';
import { chooseBuckets, chooseCut, chooseInputs, type Dates, dateOfRawPath, isCountable, nextBatchId, splitTasks } from './plan.js';
import { countsAt, type OpenBatch, rawAt, type SchedulerState } from './state.js';

/** Requested, ready and abandoned are fenced as one (S1). */
const fence = 'batch.*';

const publish = (message: MessageName, body: unknown, fenced = false): Output => ({
  do: 'publish',
  message,
  subject: message,
  body: JSON.stringify(body),
  ...(fenced ? { fence } : {}),
});

/** Starts a batch if there is anything new, or anything to make anew. */
export const startBatch = (state: SchedulerState, reason: string, dates: Dates, now: number): Step<SchedulerState> => {
  const { base } = state;
  const cut = chooseCut(
    base.cut,
    state.parts.map((parts) => parts.map(({ to }) => to)),
    state.committed,
  );
  const commits = state.commits.flat();
  if (samePosition(cut, base.cut) && (dates.length === 0 || sumPosition(cut) === 0)) return [state, []];
  if (!isCountable(base.cut, dates, commits)) return [state, []];
  const groups = chooseInputs(base.cut, cut, dates, state.files, commits);
  const tasks = splitTasks(groups, state.taskBytesMax);
  const batch = nextBatchId(state.lastBatch);
  const requested: BatchRequested = {
    batch,
    base: base.batch,
    from: [...base.cut],
    cut: [...cut],
    dates: dates === 'all' ? dates : [...dates],
    requestedAt: now,
    reason,
    mapTasks: tasks.length,
    reduceTasks: chooseBuckets(groups, state.taskBytesMax),
  };
  const { refused, missing } = countsAt(state, cut);
  const made = dates === 'all' ? datesOf(tasks) : [...dates, ...newDates(state, tasks)];
  const recomputed = { ...(dates === 'all' ? {} : base.recomputed), ...Object.fromEntries(made.map((date) => [date, { batch, at: now }])) };
  const { raw, indexes, index } = rawAt(state, cut, batch);
  state.lastBatch = batch;
  state.open = {
    requested,
    expected: tasks.flat().reduce((sum, { records }) => sum + records, 0),
    mapped: new Map(),
    reduced: new Map(),
    index,
    draft: {
      batch,
      base: base.batch,
      cut: [...cut],
      requestedAt: now,
      raw,
      indexes,
      recomputed,
      refused,
      missing,
      format: 1,
      recomputedAt: reason === 'recompute' ? now : base.recomputedAt,
    },
  };
  state.counts.batches += 1;
  const assigned = tasks.map(
    (inputs, task): Output =>
      publish('range.assigned', {
        batch,
        task,
        inputs,
        output: `minutes/${batch}/${task}.parquet`,
      } satisfies RangeAssigned),
  );
  return [state, [publish('batch.requested', requested, true), ...assigned]];
};

/** A date's first records are all its raw data. */
const newDates = (state: SchedulerState, tasks: readonly (readonly { path: string }[])[]): string[] => {
  const known = new Set([...state.files.keys()].map(dateOfRawPath));
  return datesOf(tasks).filter((date) => !known.has(date) && state.base.recomputed[date] === undefined);
};

const datesOf = (tasks: readonly (readonly { path: string }[])[]): string[] => [
  ...new Set(tasks.flat().map(({ path }) => dateOfRawPath(path))),
];

export const abandon = (state: SchedulerState, batch: string, reason: string): Output[] => {
  if (state.open?.requested.batch === batch) state.open = undefined;
  if (state.orphan === batch) state.orphan = undefined;
  state.counts.abandoned += 1;
  return [
    publish('batch.abandoned', { batch, reason }, true),
    {
      do: 'work',
      what: 'log',
      run: async ({ log }) => {
        log.error({ batch, reason }, 'batch abandoned');
      },
    },
  ];
};

/** All ranges are mapped: the reducers' turn. */
export const onMapped = (state: SchedulerState, open: OpenBatch, mapped: RangeMapped): Output[] => {
  if (open.mapped.has(mapped.task)) return []; // done twice: the first counts, the second is the same
  open.mapped.set(mapped.task, mapped);
  if (open.mapped.size < open.requested.mapTasks) return [];
  const inputs = [...open.mapped.values()].sort((a, b) => a.task - b.task);
  const found = inputs.reduce((sum, { records }) => sum + records, 0);
  const { batch, reduceTasks, dates } = open.requested;
  if (found !== open.expected) return abandon(state, batch, `the mappers found ${found} records, the commits promise ${open.expected}`);
  return Array.from({ length: reduceTasks }, (_, task) =>
    publish('services.assigned', {
      batch,
      task,
      buckets: reduceTasks,
      inputs: inputs.map(({ file, records }) => ({ ...file, records })),
      base: dates === 'all' ? null : state.base.manifest,
      dates,
      output: `minutes/${batch}/services-${task}.json`,
    } satisfies ServicesAssigned),
  );
};

/** All services are reduced: the manifest, if the sum is right (S6). */
export const onReduced = (state: SchedulerState, open: OpenBatch, reduced: ServicesReduced): Output[] => {
  if (open.reduced.has(reduced.task)) return [];
  open.reduced.set(reduced.task, reduced);
  const { batch, base, cut, reduceTasks } = open.requested;
  if (open.reduced.size < reduceTasks) return [];
  const all = [...open.reduced.values()].sort((a, b) => a.task - b.task);
  const records = all.reduce((sum, one) => sum + one.records, 0);
  if (records !== sumPosition(cut)) {
    return abandon(state, batch, `msg_num of the new view sums to ${records}, the offsets in its cut to ${sumPosition(cut)}`);
  }
  return [
    {
      do: 'work',
      what: 'write the manifest',
      run: async (env) => {
        const written = await writeManifest(
          env,
          open,
          all.map(({ listing }) => listing),
        ).catch((error: unknown) => {
          if (error instanceof FileMissingError) return messageOf(error); // a successor abandoned this batch and cleaned up: then that is refused
          throw error;
        });
        if (typeof written === 'string') return abandon(state, batch, written);
        const { manifest, rows } = written;
        return [
          publish(
            'batch.ready',
            { batch, base, cut, manifest, rows, records, isRebuild: open.requested.dates === 'all' } satisfies BatchReady,
            true,
          ),
        ];
      },
    },
  ];
};
