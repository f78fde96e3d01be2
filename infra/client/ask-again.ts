/**
 * Asks, and asks again while nobody has begun to answer: a question that an instance had in hand when it was killed or
 * stopped is lost with it, and nobody would know before the time is up. Who begins first answers; the others are not heard.
 */
import type { Bus, PlainMessage } from '../bus/bus.js';

/** After so long without a word. Few times, each later: an answer may take its time, and others ask too. */
const againAfterMs = [1_000, 3_000, 7_000];

type Asking = AsyncIterator<PlainMessage>;
type First = readonly [asking: Asking, result: IteratorResult<PlainMessage>];

/** As `bus.ask`. @throws OutOfReachError when nobody is there, or nobody answers within `timeoutMs` */
export const askAgain = async function* (
  bus: Bus,
  subject: string,
  body: Uint8Array | string,
  { timeoutMs }: { timeoutMs: number },
): AsyncGenerator<PlainMessage> {
  const askings: Asking[] = [];
  const timers: NodeJS.Timeout[] = [];
  let answering: Asking | undefined;
  try {
    const [asking, first] = await new Promise<First>((resolve, reject) => {
      const ask = (): void => {
        const one = bus.ask(subject, body, { timeoutMs })[Symbol.asyncIterator]();
        askings.push(one);
        one.next().then((result) => resolve([one, result]), reject);
      };
      ask();
      timers.push(...againAfterMs.filter((ms) => ms < timeoutMs).map((ms) => setTimeout(ask, ms)));
    });
    answering = asking;
    for (const timer of timers) clearTimeout(timer);
    for (let next = first; next.done !== true; next = await asking.next()) yield next.value;
  } finally {
    for (const timer of timers) clearTimeout(timer);
    for (const one of askings) {
      const left = one.return?.(undefined);
      if (one === answering) await left;
      else left?.catch(() => undefined); // it still waits for what will not come
    }
  }
};
