/** What somebody asked for waits until what was there then is in parts and committed; then one batch answers all whose wait is over. */
import type { Output, Step } from '../../infra/actor/output.js';
import type { PlainMessage } from '../../infra/bus/bus.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { messageOf } from '../../infra/errors.js';
import type { BatchAnswer } from '../../protocol/messages/batch-asked.js';
import { readBatchAsked } from '../../protocol/messages/readers.js';
import { type Position, reaches } from '../../protocol/range.js';
import { decodeHead } from '../../protocol/segment.js';
import { startBatch } from './batch.js';
import type { Asked, SchedulerState } from './state.js';

/** When nothing of what it waits for has come for so long, a batch starts without it: nobody may be there to store it. */
const stillMsMax = 15_000;

const answer = (message: PlainMessage, body: BatchAnswer): Output => ({
  do: 'work',
  what: 'answer batch.asked',
  run: async () => {
    message.respond(JSON.stringify(body));
  },
});

const closeParts: Output = { do: 'tell', message: 'part.asked', subject: 'part.asked', body: '' };

/** Takes down a question; the same one put again keeps its place and its target. */
export const onAsked = (state: SchedulerState, message: PlainMessage, now: number): Step<SchedulerState> => {
  let question: ReturnType<typeof readBatchAsked>;
  try {
    question = readBatchAsked(message.body);
  } catch (error) {
    return [state, [answer(message, { batch: null, error: messageOf(error) })]];
  }
  const { kind, id } = question;
  const known = id === undefined ? undefined : state.asked.find((asked) => asked.id === id);
  if (known !== undefined) {
    known.message = message;
    return [state, []];
  }
  const asked: Asked = { kind, id, message, target: undefined, reached: 0, movedAt: now };
  state.asked.push(asked);
  return [state, [closeParts, lookForTarget(asked, state.partitions)]];
};

/** Where the segments end now: a batch that was asked for takes all of that. */
const lookForTarget = (asked: Asked, partitions: number): Output => ({
  do: 'work',
  what: 'look where the segments end',
  run: async ({ bus }) => {
    const target = await Promise.all(
      Array.from({ length: partitions }, async (_, p) => {
        const last = await bus.last(segmentsStream(p), `segment.sealed.${p}`);
        return last === undefined ? 0 : decodeHead(last.body).to;
      }),
    );
    return [{ do: 'note', name: 'target', value: { asked, target } }];
  },
});

const partsAndCommits = (state: SchedulerState): Position =>
  state.committed.map((to, p) => Math.min(to, state.parts[p]?.at(-1)?.to ?? (state.base.cut[p] as number)));

/** How far the waits are: noted also while a batch is open. */
export const noteProgress = (state: SchedulerState, now: number): void => {
  if (state.asked.length === 0) return;
  const position = partsAndCommits(state);
  for (const asked of state.asked) {
    const reached = asked.target?.reduce((sum, to, p) => sum + Math.min(to, position[p] as number), 0) ?? 0;
    if (reached <= asked.reached) continue;
    asked.reached = reached;
    asked.movedAt = now;
  }
};

/** Whether all is there that it asked for, or none of it has come for long. */
const isOver = ({ target, movedAt }: Asked, position: Position, now: number): boolean =>
  target !== undefined && (reaches(position, target) || now - movedAt >= stillMsMax);

/** Starts what the first asked for, once its wait is over; undefined: nobody asks. Only when no batch is open. */
export const startAsked = (state: SchedulerState, now: number): Step<SchedulerState> | undefined => {
  const [first] = state.asked;
  if (first?.target === undefined) return undefined;
  const position = partsAndCommits(state);
  const over = state.asked.filter((asked) => isOver(asked, position, now));
  if (!over.includes(first)) return [state, [closeParts]];
  const { kind } = first;
  const same = over.filter((asked) => asked.kind === kind);
  state.asked = state.asked.filter((asked) => !same.includes(asked));
  if (state.differing !== undefined && kind === 'batch') {
    const error = `batch ${state.differing.batch} differs from what it should replace: run \`tidemark rebuild\` first`;
    return [state, same.map(({ message }) => answer(message, { batch: null, error }))];
  }
  const [next, outputs] = startBatch(state, kind === 'batch' ? 'asked' : 'rebuild', kind === 'batch' ? [] : 'all', now);
  const batch = next.open?.requested.batch ?? null;
  return [next, [...outputs, ...same.map((asked) => answer(asked.message, batch === null ? noneFor(asked, position) : { batch }))]];
};

/** Why there is no batch: nothing is new, or what is new cannot be taken yet. */
const noneFor = ({ target }: Asked, position: Position): BatchAnswer => {
  const behind = (target as Position).flatMap((to, p) => (to > (position[p] as number) ? [p] : []));
  if (behind.length === 0) return { batch: null };
  const seconds = stillMsMax / 1_000;
  const error = `what is new in ${behind.length === 1 ? 'partition' : 'partitions'} ${behind.join(', ')} was not stored within ${seconds} s: \`tidemark status\` shows whether a windower and an uploader are at it`;
  return { batch: null, error };
};
