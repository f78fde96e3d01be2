/** Asks the scheduler for a batch or a rebuild, and follows it to its proof. */
import { randomUUID } from 'node:crypto';
import type { Bus } from '../infra/bus/bus.js';
import { OutOfReachError, PromiseError } from '../infra/errors.js';
import type { BatchAbandoned, ViewProved } from '../protocol/messages/batch.js';
import { readBatchAbandoned, readBatchAnswer, readViewProved } from '../protocol/messages/readers.js';

export type BatchKind = 'batch' | 'rebuild';

/** After this long without an answer the question is put again: its scheduler may be gone, and a new one knows nothing of it. */
const askAgainMs = 20_000;
/** How long nobody may listen at all: a scheduler's successor takes over within 3 s. */
const nobodyMsMax = 3_500;
const pauseMs = 250;

/**
 * Resolves with the proof of the batch that was asked for, differences or not; null: nothing was new, so none was needed.
 * @throws OutOfReachError when nobody answers, or it takes longer than `waitMs`; PromiseError when the batch was abandoned,
 * or none may start
 */
export const askBatch = async (
  bus: Bus,
  kind: BatchKind,
  waitMs: number,
  started: (batch: string) => void = () => undefined,
): Promise<ViewProved | null> => {
  const outcomes = new Map<string, ViewProved | BatchAbandoned>();
  let arrived: () => void = () => undefined;
  const note = (outcome: ViewProved | BatchAbandoned): void => {
    outcomes.set(outcome.batch, outcome);
    arrived();
  };
  const stops = [
    // before it is asked: the proof may come before the answer
    bus.hear('view.proved', ({ body }) => note(readViewProved(body))),
    bus.hear('batch.abandoned', ({ body }) => note(readBatchAbandoned(body))),
  ];
  const until = Date.now() + waitMs;
  try {
    const { batch, error } = await answerTo(bus, kind, until);
    if (error !== undefined) throw new PromiseError(`no ${kind} was started: ${error}`);
    if (batch === null) return null;
    started(batch);
    const outcome = await firstOf<ViewProved | BatchAbandoned>(
      until - Date.now(),
      bus,
      `batch ${batch} was not proved within ${Math.round(waitMs / 1000)} s`,
      (resolve) => {
        arrived = () => {
          const found = outcomes.get(batch);
          if (found !== undefined) resolve(found);
        };
        arrived();
      },
    );
    if ('reason' in outcome) throw new PromiseError(`batch ${batch} was abandoned: ${outcome.reason}`);
    return outcome;
  } finally {
    for (const stop of stops) stop();
  }
};

const answerTo = async (bus: Bus, kind: BatchKind, until: number): Promise<{ batch: string | null; error?: string }> => {
  const nobodyUntil = Date.now() + nobodyMsMax;
  const question = JSON.stringify({ kind, id: randomUUID() });
  for (;;) {
    const askedAt = Date.now();
    try {
      const timeoutMs = Math.max(1, Math.min(askAgainMs, until - askedAt));
      for await (const { body } of bus.ask('batch.asked', question, { timeoutMs })) return readBatchAnswer(body);
    } catch (error) {
      const now = Date.now();
      const isUnheard = now - askedAt < pauseMs; // nobody listens: the server says so at once
      if (!(error instanceof OutOfReachError) || bus.isClosed || now >= until || (isUnheard && now >= nobodyUntil)) throw error;
    }
    await new Promise((resolve) => {
      setTimeout(resolve, pauseMs);
    });
  }
};

const firstOf = async <T>(waitMs: number, bus: Bus, late: string, begin: (resolve: (value: T) => void) => void): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new OutOfReachError(`${late}: \`tidemark status\` shows who is at it`)), Math.max(0, waitMs));
  });
  const lost = bus.closed.then((): never => {
    throw new OutOfReachError('the connection was lost: the batch goes on, and `tidemark status` shows its proof');
  });
  lost.catch(() => undefined);
  try {
    return await Promise.race([new Promise<T>(begin), timeUp, lost]);
  } finally {
    clearTimeout(timer);
  }
};
