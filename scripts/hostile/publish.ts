/** Publishes messages as a stranger would: with an answer to each, and nothing kept but what is unanswered. */
import { setTimeout } from 'node:timers/promises';
import type { Bus } from '../../infra/bus/bus.js';
import { messageOf } from '../../infra/errors.js';
import type { Message } from './expected.js';

const unansweredMax = 64;
const fullPauseMs = 200;

/** Resolves when METRICS has all of them; waits while it is full. @throws RetryableError when nobody answers */
export const publishMessages = async (bus: Bus, messages: Iterable<Message>): Promise<number> => {
  const unanswered = new Set<Promise<unknown>>();
  let failed: unknown;
  let count = 0;
  for (const message of messages) {
    const publishing = publishOne(bus, message)
      .catch((error: unknown) => {
        failed ??= error;
      })
      .finally(() => unanswered.delete(publishing));
    unanswered.add(publishing);
    count += 1;
    if (unanswered.size >= unansweredMax) await Promise.race(unanswered);
    if (failed !== undefined) throw failed;
  }
  await Promise.all(unanswered);
  if (failed !== undefined) throw failed;
  return count;
};

const publishOne = async (bus: Bus, { subject, header, oldest, body }: Message): Promise<void> => {
  const headers = header && {
    'Tidemark-Agent': header.agent,
    'Tidemark-N': String(header.n),
    ...(oldest === undefined ? {} : { 'Tidemark-Oldest': String(oldest) }),
  };
  for (;;) {
    try {
      await bus.publish(subject, body, { timeoutMs: 60_000, ...(headers ? { headers } : {}) });
      return;
    } catch (error) {
      if (!/maximum (bytes|messages) exceeded/.test(messageOf(error))) throw error;
      await setTimeout(fullPauseMs);
    }
  }
};
