/**
 * Merger: lays the batch view and the real-time view side by side, proves each new batch view, and answers.
 *
 * in    realtime.updated, part.stored              what is beyond the cut
 *       batch.requested, batch.ready, batch.abandoned, view.proved
 *       view.asked                                 any merger answers
 * out   view.proved                                the leading merger's; fenced by itself
 *       view.updated                               the leading merger's: whole merged rows that changed
 * owns  views/batch/latest.json
 *
 * M1  The view never goes back for a reader of this merger, or of any if it passes its last position.
 * M2  It swaps on view.proved without a difference, in one step.
 * M3  latest.json is a copy for others: the leader checks it against BATCH and puts it right; nothing here reads it.
 * M4  A new batch view is compared, row by row, with the old one and the lower half before anybody answers from it.
 */
import type { Env } from '../infra/actor/env.js';
import { every } from '../infra/actor/every.js';
import type { FoldDefinition, Input } from '../infra/actor/fold.js';
import type { Output, Step } from '../infra/actor/output.js';
import type { LogMessage, PlainMessage } from '../infra/bus/bus.js';
import { messageOf, PromiseError, RetryableError, UsageError } from '../infra/errors.js';
import type { BatchReady, Manifest, ViewProved } from '../protocol/messages/batch.js';
import { chunkHeader, formatChunk, parseChunk, workingHeader } from '../protocol/messages/chunks.js';
import type { PartStored } from '../protocol/messages/part-stored.js';
import {
  readBatchAbandoned,
  readBatchReady,
  readBatchRequested,
  readPartStored,
  readRealtimeUpdated,
  readViewAsked,
  readViewProved,
} from '../protocol/messages/readers.js';
import { sumPosition } from '../protocol/range.js';
import { answerQuestion } from './merger/answer.js';
import { type Comparison, compareViews } from './merger/proof.js';
import { publishUpdates, sayUnsaid } from './merger/publish-updates.js';
import { readQuestion } from './merger/question.js';
import { applyOrFault, beginMerger, isNotAsStored, loadPartOrFault, type MergerState, warmMonths } from './merger/state.js';
import {
  addToUpper,
  applyProved,
  applyUpdate,
  beginUpper,
  dropUpper,
  hasStored,
  lowerParts,
  positionOf,
  swapIfReady,
} from './merger/view.js';
import { loadEach, loadParts } from './merger/view-files.js';
import { isTaken } from './scheduler/begin.js';
import { loadManifestOf, loadProved } from './scheduler/manifest.js';

/** Changed rows go out this often at most: many changes of a row are one update. */
const updateEveryMs = 20;
const latestAgainMs = 2_000;

const onUpdates = (state: MergerState, messages: readonly LogMessage[]): Output[] => {
  let isMissing = false;
  for (const message of messages) {
    const chunk = parseChunk(message.header(chunkHeader) ?? '1/1') ?? { index: 0, total: 1 };
    const whole = state.chunks.add(readRealtimeUpdated(message.body), chunk);
    if (whole && applyUpdate(state.view, whole) === 'rebuild') isMissing = true;
  }
  return isMissing ? [readUpdatesAgain(state)] : [];
};

/** W1: what is here stays until what is built beside it has got as far. */
const readUpdatesAgain = (state: MergerState): Output => {
  state.chunks.clear();
  return { do: 'reopen', log: 'realtime' };
};

const onParts = (state: MergerState, messages: readonly LogMessage[]): Output[] =>
  messages.map(
    (message): Output => ({
      do: 'work',
      what: 'add a stored part',
      run: (env) => addPart(state, readPartStored(message.body), env),
    }),
  );

const addPart = async (state: MergerState, part: PartStored, env: Env): Promise<Output[]> => {
  const { outcome, fault } = await applyOrFault(env, state.view, part);
  state.broken ??= fault;
  return outcome === 'rebuild' ? [readUpdatesAgain(state)] : [];
};

/** BATCH in order; while a proved view waits to be taken over, nothing further. */
const drainBatch = (state: MergerState): Output[] => [
  {
    do: 'work',
    what: 'follow BATCH',
    run: async (env) => {
      const outputs: Output[] = [];
      while (state.view.proved === null) {
        const message = state.waiting.shift();
        if (message === undefined) break;
        await onBatchMessage(state, message, env);
        if (swap(state, env)) outputs.push(...copyLatest(state));
      }
      return outputs;
    },
  },
];

const onBatchMessage = async (state: MergerState, message: LogMessage, env: Env): Promise<void> => {
  switch (message.subject) {
    case 'batch.requested': {
      const { batch, cut } = readBatchRequested(message.body);
      return buildUpper(state, batch, cut, env);
    }
    case 'batch.ready':
      state.ready = readBatchReady(message.body);
      return undefined;
    case 'batch.abandoned':
      return dropUpper(state.view, readBatchAbandoned(message.body).batch);
    case 'view.proved':
      return onProved(state, readViewProved(message.body), env);
    default:
      return undefined;
  }
};

const buildUpper = async (state: MergerState, batch: string, cut: readonly number[], env: Env): Promise<void> => {
  const { view } = state;
  state.brokenUpper = undefined;
  const { viewFiles } = await env.engine();
  for await (const { part, rows: read } of loadEach(env.storage, viewFiles, beginUpper(view, batch, cut))) {
    const { rows, fault } = await loadPartOrFault(env, part, read);
    if (fault !== undefined) state.brokenUpper = { batch, reason: fault.reason };
    else addToUpper(view, batch, part, rows);
  }
};

const onProved = async (state: MergerState, proved: ViewProved, env: Env): Promise<void> => {
  if (state.ready?.batch === proved.batch) state.ready = undefined;
  const { batch, cut, differences, examples } = proved;
  if (!isTaken(proved)) {
    env.log.error({ batch, differences, examples }, 'batch view differs');
    return;
  }
  const { view } = state;
  const isNew = applyProved(view, proved, await loadProved(env, proved));
  if (isNew && view.upper?.batch !== batch) await buildUpper(state, batch, cut, env);
};

/** M2, M3. @returns whether it swapped. */
const swap = (state: MergerState, env: Env): boolean => {
  if (!swapIfReady(state.view)) return false;
  state.counts.swaps += 1;
  warmMonths(state.months, state.view);
  sayUnsaid(state);
  if (state.broken && state.broken.to <= (state.view.batch?.cut[state.broken.partition] ?? 0)) state.broken = undefined;
  env.log.info({ batch: state.view.batch?.batch, cut: state.view.batch?.cut }, 'answers from a new batch view');
  return true;
};

/** After every step: what may have become possible by it. */
const follow = (state: MergerState, env: Env): Output[] => {
  const outputs: Output[] = [];
  const swapped = swap(state, env);
  if (swapped) outputs.push(...copyLatest(state), ...drainBatch(state));
  if (!state.gate.isEmpty) state.gate.reached(positionOf(state.view));
  outputs.push(...prove(state));
  return outputs;
};

const copyLatest = (state: MergerState): Output[] =>
  state.leads && state.view.batch !== null ? [writeLatest(state, state.view.batch.manifest)] : [];

/** M3: the same bytes as the manifest's; written only if what is there is something else. A full disk is not worth a life: answers go on. */
const writeLatest = (state: MergerState, { batch }: Manifest): Output => ({
  do: 'work',
  what: 'copy the manifest to latest.json',
  run: async ({ storage, log, now }) => {
    const path = 'views/batch/latest.json';
    state.latestAgainAt = undefined;
    try {
      const wanted = await storage.read(`views/batch/${batch}.json`);
      const there = await storage.read(path).catch(() => undefined);
      if (there === undefined || !wanted.equals(there)) await storage.replace(path, wanted);
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error;
      log.warn({ batch, reason: error.message }, 'latest.json is not written, will retry');
      state.latestAgainAt = now() + latestAgainMs;
    }
  },
});

/** M4: beside the answers, once all of the lower half is here. */
const prove = (state: MergerState): Output[] => {
  const { ready, view } = state;
  if (!state.leads || ready === undefined || state.proving !== undefined || view.proved !== null) return [];
  if (ready.base !== (view.batch?.batch ?? null) || !hasStored(view, ready.cut)) return [];
  state.proving = ready.batch;
  return [{ do: 'work', what: `prove batch ${ready.batch}`, beside: true, run: (env) => compare(state, ready, env) }];
};

const compare = async (state: MergerState, ready: BatchReady, env: Env): Promise<Output[]> => {
  const { batch, cut, manifest } = ready;
  const { requestedAt, ...found } = await compareNew(state, ready, env);
  const body: ViewProved = { batch, cut, ...found, manifest, requestedAt };
  state.counts.proofs += 1;
  state.counts.differences += found.mended ?? found.differences;
  return [
    { do: 'publish', message: 'view.proved', subject: 'view.proved', body: JSON.stringify(body), fence: 'view.proved' },
    { do: 'note', name: 'proved', value: batch },
  ];
};

type Outcome = Comparison & Pick<ViewProved, 'requestedAt' | 'repaired' | 'mended'>;

/** A file that is not what was named is a difference that is known before the first row. */
const compareNew = async (state: MergerState, ready: BatchReady, env: Env): Promise<Outcome> => {
  const differs = (reason: string): Comparison => ({ records: ready.records, rows: ready.rows, differences: 1, examples: [reason] });
  let manifest: Manifest;
  try {
    manifest = await loadManifestOf(env, ready);
  } catch (error) {
    if (!isNotAsStored(error)) throw error;
    return { ...differs(messageOf(error)), requestedAt: env.now() };
  }
  const { requestedAt } = manifest;
  const found = await compareWithOld(state, ready, manifest, env).catch((error: unknown) => {
    if (!isNotAsStored(error)) throw error;
    return differs(messageOf(error));
  });
  const isUpperWhole = state.brokenUpper?.batch !== ready.batch;
  const isRepaired = found.differences > 0 && ready.isRebuild === true && isUpperWhole && (await isRightByRecount(manifest, env));
  // Against the raw data it does not differ; against the old view it did, and mends that.
  return isRepaired ? { ...found, differences: 0, repaired: true, mended: found.differences, requestedAt } : { ...found, requestedAt };
};

const compareWithOld = async (
  { view, months, broken, brokenUpper }: MergerState,
  ready: BatchReady,
  manifest: Manifest,
  env: Env,
): Promise<Comparison> => {
  const fault = broken?.reason ?? (brokenUpper?.batch === ready.batch ? brokenUpper.reason : undefined);
  if (fault !== undefined) throw new PromiseError(fault);
  const { viewFiles } = await env.engine();
  const lower = await loadParts(env.storage, viewFiles, lowerParts(view, ready.cut));
  return compareViews(view.batch, lower, manifest, months);
};

/** After a difference `rebuild` made the rows anew; code of its own counts them a second time. */
const isRightByRecount = async (manifest: Manifest, env: Env): Promise<boolean> => {
  const differences = await env.recount(env, manifest).catch((error: unknown) => {
    if (!isNotAsStored(error)) throw error;
    return [messageOf(error)];
  });
  if (differences.length > 0) env.log.error({ batch: manifest.batch, differences }, 'the rebuilt view differs from a second count');
  return differences.length === 0;
};

const answer = (state: MergerState, message: PlainMessage, now: number): Output => ({
  do: 'work',
  what: 'answer view.asked',
  beside: true,
  run: async ({ log }) => {
    try {
      if (state.broken)
        throw new PromiseError(`${state.broken.reason}: nothing is answered until \`tidemark rebuild\` has made the view anew`);
      const question = readQuestion(readViewAsked(message.body), now);
      if (!(await state.gate.wait(positionOf(state.view), question.after, question.waitMs))) {
        const position = positionOf(state.view).join(',');
        refuse(
          message,
          `the view has got to ${position}, not yet to ${question.after.join(',')}, within ${question.waitMs} ms`,
          'E_OUT_OF_REACH',
        );
        return;
      }
      const bodies = await sayingThatItWorks(message, question.progress, answerQuestion(state.view, state.months, question));
      for (const [i, body] of bodies.entries()) message.respond(body, { [chunkHeader]: formatChunk(i, bodies.length) });
      state.counts.answers += 1;
    } catch (error) {
      const isAsked = error instanceof UsageError || (error as { code?: string }).code === 'E_MALFORMED';
      if (!isAsked) log.error({ reason: messageOf(error) }, 'a question could not be answered');
      refuse(message, messageOf(error), isAsked ? 'E_USAGE' : ((error as { code?: string }).code ?? 'E_FAILED'));
    }
  },
});

const workingFirstMs = 500;
const workingEveryMs = 2_000;

/** Very many files that are not in memory take longer than anybody waits without a word. */
const sayingThatItWorks = async <T>(message: PlainMessage, isAsked: boolean, work: Promise<T>): Promise<T> => {
  if (!isAsked) return await work;
  const say = (): void => message.respond('', { [workingHeader]: '1' });
  let repeated: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    say();
    repeated = setInterval(say, workingEveryMs);
  }, workingFirstMs);
  try {
    return await work;
  } finally {
    clearTimeout(first);
    clearInterval(repeated);
  }
};

const refuse = (message: PlainMessage, error: string, code: string): void => message.respond(JSON.stringify({ error, code }));

const handle = (state: MergerState, input: Input): Output[] => {
  switch (input.kind) {
    case 'messages':
      if (input.log === 'realtime') return onUpdates(state, input.messages);
      if (input.log === 'stored') return onParts(state, input.messages);
      state.waiting.push(...input.messages);
      return drainBatch(state);
    case 'tick':
      return [...publishUpdates(state), ...((state.latestAgainAt ?? Number.POSITIVE_INFINITY) <= input.now ? copyLatest(state) : [])];
    case 'heard':
      return [answer(state, input.message, input.now)];
    case 'lead':
      state.leads = input.leads;
      return input.leads ? copyLatest(state) : [];
    case 'noted':
      if (input.name === 'proved') {
        state.ready = undefined; // said: before it comes back by BATCH nobody compares it again
        state.proving = undefined;
      } else {
        state.isUpdating = false;
        state.counts.updates += input.value as number;
      }
      return [];
    case 'stop':
      state.gate.close();
      return publishUpdates(state);
  }
};

const step = (state: MergerState, input: Input): Step<MergerState> => [
  state,
  [...handle(state, input), { do: 'work', what: 'follow', run: async (env) => follow(state, env) }],
];

export const merger: FoldDefinition<MergerState> = {
  name: 'merger',
  share: 'each',
  produces: ['view.proved', 'view.updated'],
  hears: [{ subject: 'view.asked', queue: 'merger' }],
  begin: beginMerger,
  step,
  ticks: (_states, _env, scheduler) => every(updateEveryMs, 'update', scheduler),
  messagesPerStepMax: 200,
  place: (state) => sumPosition(positionOf(state.view)),
  counts: (state) => ({ ...state.counts, batch: Number(state.view.batch?.batch ?? 0) }),
};
