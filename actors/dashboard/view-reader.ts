/**
 * The view, as the dashboard asks for it: over one connection that is opened anew when it is lost.
 *
 * D1  What is answered never goes back in position, whichever merger answers.
 */
import { turns } from '../../infra/at-once.js';
import type { Bus } from '../../infra/bus/bus.js';
import { askBlocks, type QueryOptions } from '../../infra/client/query.js';
import { OutOfReachError } from '../../infra/errors.js';
import type { Terms } from '../../protocol/messages/view.js';
import { type Position, reaches } from '../../protocol/range.js';
import type { ViewQuestion } from './parameters.js';

/** Questions that mergers have from here at a time. */
const questionsMax = 8;

const highest = (a: Position, b: Position): Position =>
  Array.from({ length: Math.max(a.length, b.length) }, (_, p) => Math.max(a[p] ?? 0, b[p] ?? 0));

/** A merger answered, and says that it has not got as far in time. */
const isNotReached = (error: unknown): boolean => error instanceof OutOfReachError && error.message.startsWith('the view has got to');

/** A connection, or a new one after it was lost. */
export class ConnectionKept {
  #bus: Promise<Bus> | undefined;

  constructor(readonly open: () => Promise<Bus>) {}

  /** @throws OutOfReachError */
  async get(): Promise<Bus> {
    const bus = await this.#bus?.catch(() => undefined);
    if (bus !== undefined && !bus.isClosed) return bus;
    const opening = this.open();
    opening.catch(() => undefined);
    this.#bus = opening;
    return opening;
  }

  async close(): Promise<void> {
    await (await this.#bus?.catch(() => undefined))?.close();
  }
}

/** Whoever answers questions, chunk by chunk. */
export type Asks = Pick<ViewReader, 'ask'>;

export class ViewReader {
  readonly #turn = turns(questionsMax);
  /** The newest position that was answered. */
  #reached: Position = [];

  constructor(readonly connection: ConnectionKept) {}

  /** @param take sees each chunk (row-blocks.ts), in order. @throws UsageError, OutOfReachError, PromiseError */
  ask(question: ViewQuestion, take: (chunk: Uint8Array) => Terms): Promise<Terms> {
    return this.#turn(async () => {
      const bus = await this.connection.get();
      const floor = this.#reached;
      const options: QueryOptions = {
        from: question.from,
        to: question.to,
        step: question.step,
        zone: question.zone,
        after: highest(question.after, floor),
        waitMs: question.waitMs,
        ...(question.services === undefined ? {} : { services: question.services }),
      };
      try {
        const terms = await askBlocks(bus, options, take);
        this.#reached = highest(this.#reached, terms.position);
        return terms;
      } catch (error) {
        // The data may be another by now (`recover`): whoever asks next is not held up by a position of the old one.
        if (isNotReached(error) && reaches(floor, question.after)) this.#reached = [];
        throw error;
      }
    });
  }
}
