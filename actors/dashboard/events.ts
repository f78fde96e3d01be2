/**
 * Events for any number of readers from one subscription: changed rows are gathered for a moment, each event is written
 * as text once, and all readers get the same bytes.
 *
 * D3  A reader that gives the id of its last event gets everything after it, or `reload` when that is not here any more.
 * D4  A reader that does not read is dropped once it has more waiting than a bound; nobody else waits for it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Bus, LogMessage } from '../../infra/bus/bus.js';
import { queryView } from '../../infra/client/query.js';
import { messageOf } from '../../infra/errors.js';
import { chunkHeader, parseChunk } from '../../protocol/messages/chunks.js';
import { readViewUpdated } from '../../protocol/messages/readers.js';
import type { ViewUpdated } from '../../protocol/messages/view.js';
import type { ViewRow } from '../../protocol/minute-row.js';
import { type Position, reaches, samePosition } from '../../protocol/range.js';
import { type EventRing, type ViewEvent, viewEvent } from './event-ring.js';

/** So many of VIEWS' last messages are read at a start, so that readers of a dashboard before may go on. */
const backMax = 2_000;
const takeMax = 500;
const gatherMsMin = 100;
const gatherMsMax = 1_000;
const pauseMs = 500;

export interface EventListener {
  events(events: readonly ViewEvent[]): void;
  proved(body: string): void;
  reload(reason: string): void;
  heartbeat(): void;
}

interface Gathering {
  position: number[];
  batch: string | null;
  readonly rows: Map<string, ViewRow>;
}

export class EventFeed {
  readonly listeners = new Set<EventListener>();
  readonly #chunks = new Map<string, { rows: ViewRow[]; next: number; total: number; position: Position }>();
  readonly #gathering = new Map<string, Gathering>();
  /** The last sequence of VIEWS that was read, and its receipt time: another there is another log. */
  #read: { sequence: number; received: number } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    readonly ring: EventRing,
    readonly open: () => Promise<Bus>,
    readonly log: Logger,
  ) {}

  /** Until it is stopped; a connection of its own, which it replaces. */
  async follow(stop: AbortSignal): Promise<void> {
    const beating = setInterval(() => {
      for (const listener of [...this.listeners]) listener.heartbeat();
    }, 15_000);
    while (!stop.aborted) {
      let bus: Bus | undefined;
      try {
        bus = await this.open();
        await this.#followOn(bus, stop);
      } catch (error) {
        if (!stop.aborted) this.log.debug({ reason: messageOf(error) }, 'events lost, begins again');
      }
      await bus?.close().catch(() => undefined);
      if (!stop.aborted) await sleep(pauseMs, undefined, { signal: stop }).catch(() => undefined);
    }
    clearInterval(beating);
    clearTimeout(this.#timer);
  }

  async #followOn(bus: Bus, stop: AbortSignal): Promise<void> {
    const unhear = bus.hear('view.proved', ({ body }) => {
      const text = Buffer.from(body).toString('utf8');
      for (const listener of [...this.listeners]) listener.proved(text);
    });
    const reader = await bus.read('VIEWS', { filter: 'view.updated.*', start: { sequence: await this.#start(bus) } });
    const close = (): void => void reader.close();
    stop.addEventListener('abort', close);
    try {
      while (!stop.aborted) {
        for (const message of reader.take(takeMax)) this.#add(message);
        await reader.ready(); // or it is closed, or its connection is lost
        if (bus.isClosed) return;
      }
    } finally {
      unhear();
      stop.removeEventListener('abort', close);
      await reader.close().catch(() => undefined);
    }
  }

  /** Where to go on in VIEWS. What was missed cannot be told: readers ask anew. */
  async #start(bus: Bus): Promise<number> {
    const { first, last, messages } = await bus.extent('VIEWS');
    const before = this.#read;
    if (before !== undefined && before.sequence + 1 >= first && before.sequence <= last) {
      const there = before.sequence >= first ? await bus.at('VIEWS', before.sequence) : undefined;
      if (before.sequence < first || there?.received === before.received) return before.sequence + 1;
    }
    const isFirst = before === undefined;
    this.#chunks.clear();
    this.#gathering.clear();
    const start = isFirst ? Math.max(first, last - backMax + 1) : last + 1;
    this.ring.begin(await this.#floor(bus, start, messages > 0 && start <= last));
    if (!isFirst) for (const listener of [...this.listeners]) listener.reload('changes were missed while the connection was lost');
    return start;
  }

  /** The position from which on everything is in the ring. */
  async #floor(bus: Bus, start: number, hasMessages: boolean): Promise<{ position: Position; included: boolean }> {
    if (start <= 1) return { position: [], included: true };
    const oldest = hasMessages ? await bus.at('VIEWS', start) : undefined;
    // Others of the same position may lie before the oldest: that one itself is not enough.
    if (oldest !== undefined) return { position: readViewUpdated(oldest.body).position, included: false };
    const { terms } = await queryView(bus, { from: 0, to: 60, step: 'range' });
    return { position: terms.position, included: true };
  }

  #add(message: LogMessage): void {
    this.#read = { sequence: message.sequence, received: message.received };
    const update = this.#whole(readViewUpdated(message.body), parseChunk(message.header(chunkHeader) ?? '1/1'));
    if (update === undefined) return;
    const { service, position, batch } = update;
    const known = this.#gathering.get(service);
    const gathering = known ?? { position, batch, rows: new Map<string, ViewRow>() };
    if (known === undefined) this.#gathering.set(service, gathering);
    gathering.position = position;
    gathering.batch = batch;
    for (const row of update.rows) gathering.rows.set(row.time_stamp, row);
    this.#timer ??= setTimeout(() => this.#give(), Math.min(gatherMsMax, Math.max(gatherMsMin, this.listeners.size)));
  }

  /** Many readers are given less often, and more at a time. */
  #give(): void {
    this.#timer = undefined;
    const events = [...this.#gathering].map(([service, { position, batch, rows }]) =>
      viewEvent({ service, position, batch, rows: [...rows.values()] }),
    );
    this.#gathering.clear();
    events.sort((a, b) => (samePosition(a.position, b.position) ? 0 : reaches(b.position, a.position) ? -1 : 1));
    this.ring.add(events);
    for (const listener of [...this.listeners]) listener.events(events);
  }

  /** An update counts when its last chunk is there. */
  #whole(update: ViewUpdated, chunk: { index: number; total: number } | undefined): ViewUpdated | undefined {
    if (chunk === undefined || chunk.total === 1) return update;
    const begun = this.#chunks.get(update.service);
    if (chunk.index === 0) {
      this.#chunks.set(update.service, { rows: [...update.rows], next: 1, total: chunk.total, position: update.position });
      return undefined;
    }
    this.#chunks.delete(update.service);
    if (begun?.next !== chunk.index || begun.total !== chunk.total || !samePosition(begun.position, update.position)) return undefined;
    for (const row of update.rows) begun.rows.push(row);
    begun.next += 1;
    if (begun.next === begun.total) return { ...update, rows: begun.rows };
    this.#chunks.set(update.service, begun);
    return undefined;
  }
}
