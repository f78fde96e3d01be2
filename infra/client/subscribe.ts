/**
 * Changes of the merged view as they happen, and from a position on.
 *
 * C3  A service's updates never go back in position; what was seen already is not given again after a lost connection.
 * C4  Where VIEWS has forgotten what came after the position, that is said (`missed`) before anything else is given, with
 *     the rows as they are now.
 */
import { chunkHeader, parseChunk } from '../../protocol/messages/chunks.js';
import { readViewUpdated } from '../../protocol/messages/readers.js';
import type { ViewUpdated } from '../../protocol/messages/view.js';
import type { ViewRow } from '../../protocol/minute-row.js';
import { encodeName } from '../../protocol/name-code.js';
import { type Position, reaches, samePosition } from '../../protocol/range.js';
import type { Bus, LogMessage, LogStart } from '../bus/bus.js';
import { RetryableError } from '../errors.js';
import { queryView } from './query.js';

export interface SubscribeOptions {
  /** Default: every service. */
  services?: readonly string[];
  /** Go on from here: a position that an answer or an update gave; what is at it may come again. Default: from now on. */
  since?: Position;
  /** Where rows begin that are given when changes were missed. Default `now-1d`. */
  missedFrom?: string | number;
}

/** One service's rows that changed, whole and merged. */
export interface ViewChange extends ViewUpdated {
  rows: ViewRow[];
  /** Some changes before this one are gone: these are all rows from `missedFrom` on, as they are now. */
  missed?: true;
}

export interface Subscription extends AsyncIterable<ViewChange> {
  /** Ends the iteration. */
  close(): Promise<void>;
}

const takeMax = 200;
const pauseMsMin = 200;
const pauseMsMax = 2_000;

interface Begun {
  readonly change: ViewUpdated;
  readonly total: number;
  next: number;
}

class ViewSubscription implements Subscription {
  #bus: Bus | undefined;
  #isClosed = false;
  #wake: () => void = () => undefined;
  readonly #stopped: Promise<void>;
  /** Where this subscription began; everything strictly below was seen. */
  #since: Position | undefined;
  /** The newest position that was given, over all services. */
  #reached: Position = [];
  readonly #seen = new Map<string, Position>();
  readonly #begun = new Map<string, Begun>();
  readonly #subjects: ReadonlySet<string> | undefined;

  constructor(
    readonly open: () => Promise<Bus>,
    readonly options: SubscribeOptions,
  ) {
    this.#since = options.since;
    const { services } = options;
    this.#subjects =
      services === undefined || services.length === 0
        ? undefined
        : new Set(services.map((service) => `view.updated.${encodeName(service)}`));
    this.#stopped = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake();
    await this.#bus?.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ViewChange> {
    let pauseMs = pauseMsMin;
    try {
      this.#bus = await this.open(); // nobody there at the beginning is an error; later on it is waited for
      while (!this.#isClosed) {
        try {
          this.#bus ??= await this.open();
          for await (const change of this.#follow(this.#bus)) {
            pauseMs = pauseMsMin;
            yield change;
          }
        } catch (error) {
          if (this.#isClosed) return;
          if (this.#bus?.isClosed === false && !(error instanceof RetryableError)) throw error;
        }
        await this.#bus?.close().catch(() => undefined);
        this.#bus = undefined;
        await this.#pause(pauseMs);
        pauseMs = Math.min(pauseMs * 2, pauseMsMax);
      }
    } finally {
      await this.close();
    }
  }

  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#stopped,
      new Promise((resolve) => {
        timer = setTimeout(resolve, ms);
      }),
    ]);
    clearTimeout(timer);
  }

  /** One connection's worth; ends when it is lost. */
  async *#follow(bus: Bus): AsyncGenerator<ViewChange> {
    this.#begun.clear();
    const [only, ...others] = this.#subjects ?? [];
    const filter = only !== undefined && others.length === 0 ? only : 'view.updated.*';
    const isResumed = this.#since !== undefined;
    const start = await this.#start(bus);
    if (isResumed && (await this.#isGone(bus))) yield* this.#current(bus);
    const reader = await bus.read('VIEWS', { filter, start });
    try {
      while (!this.#isClosed) {
        for (const message of reader.take(takeMax)) {
          const change = this.#accept(message);
          if (change !== undefined) yield change;
        }
        await reader.ready(); // or the connection is lost: whoever would wait for that too, message by message, would never forget one
        if (bus.isClosed) return;
      }
    } finally {
      await reader.close().catch(() => undefined);
    }
  }

  /** From now on means: behind the newest update that is there. */
  async #start(bus: Bus): Promise<LogStart> {
    if (this.#since !== undefined) return 'first';
    const { last } = await bus.extent('VIEWS');
    const newest = last === 0 ? undefined : await bus.at('VIEWS', last);
    this.#since = newest === undefined ? [] : readViewUpdated(newest.body).position;
    return { sequence: last + 1 };
  }

  /** C4: whether VIEWS may have forgotten something that came after the position. */
  async #isGone(bus: Bus): Promise<boolean> {
    const since = reaches(this.#reached, this.#since ?? []) ? this.#reached : (this.#since ?? []);
    const { first, messages } = await bus.extent('VIEWS');
    if (first <= 1) return false;
    const oldest = messages === 0 ? undefined : await bus.at('VIEWS', first);
    if (oldest !== undefined) return !reaches(since, readViewUpdated(oldest.body).position);
    const { terms } = await queryView(bus, { from: 0, to: 60, step: 'range' });
    return !reaches(since, terms.position);
  }

  async *#current(bus: Bus): AsyncGenerator<ViewChange> {
    const { services } = this.options;
    const { rows, terms } = await queryView(bus, {
      from: this.options.missedFrom ?? 'now-1d',
      to: 'now+1d',
      ...(services === undefined ? {} : { services }),
    });
    const byService = new Map<string, ViewRow[]>((services ?? []).map((service) => [service, []]));
    for (const row of rows) {
      const known = byService.get(row.service);
      if (known === undefined) byService.set(row.service, [row]);
      else known.push(row);
    }
    this.#since = terms.position;
    this.#seen.clear();
    for (const [service, ofService] of byService) {
      yield { service, position: terms.position, batch: terms.batch, rows: ofService, missed: true };
    }
  }

  /** A whole update that was not seen yet. */
  #accept(message: LogMessage): ViewChange | undefined {
    if (this.#subjects !== undefined && !this.#subjects.has(message.subject)) return undefined;
    const update = readViewUpdated(message.body);
    const seen = this.#seen.get(update.service);
    if (seen !== undefined && reaches(seen, update.position)) return undefined; // C3
    if (seen === undefined && this.#isBefore(update.position)) return undefined;
    const whole = this.#assemble(update, parseChunk(message.header(chunkHeader) ?? '1/1'));
    if (whole === undefined) return undefined;
    this.#seen.set(whole.service, whole.position);
    this.#reached = whole.position;
    return whole;
  }

  /** Updates of several services may have one position: those at the beginning itself are given again rather than lost. */
  #isBefore(position: Position): boolean {
    const since = this.#since ?? [];
    return reaches(since, position) && !samePosition(since, position);
  }

  #assemble(update: ViewUpdated, chunk: { index: number; total: number } | undefined): ViewUpdated | undefined {
    if (chunk === undefined || chunk.total === 1) return update;
    const begun = this.#begun.get(update.service);
    if (chunk.index === 0) {
      this.#begun.set(update.service, { change: update, total: chunk.total, next: 1 });
      return undefined;
    }
    const goesOn = begun?.next === chunk.index && begun.total === chunk.total && reaches(begun.change.position, update.position);
    if (begun === undefined || !goesOn) {
      this.#begun.delete(update.service);
      return undefined;
    }
    for (const row of update.rows) begun.change.rows.push(row);
    begun.next += 1;
    if (begun.next < begun.total) return undefined;
    this.#begun.delete(update.service);
    return begun.change;
  }
}

/** @param open gives a connection of the subscription's own, each time anew */
export const subscribeView = (open: () => Promise<Bus>, options: SubscribeOptions): Subscription => new ViewSubscription(open, options);
