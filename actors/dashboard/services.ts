/**
 * Every service there ever was, with its first and last minute: found by days, then by hours, then by minutes. A day
 * whose number of messages has not changed has the same first and last minute as before, so little is asked twice.
 */
import { eachBlockRow } from '../../protocol/messages/row-blocks.js';
import type { Step, Terms } from '../../protocol/messages/view.js';
import { formatMinute } from '../../protocol/time.js';
import type { ViewReader } from './view-reader.js';

export interface ServiceList {
  readonly services: readonly { readonly service: string; readonly first: string; readonly last: string }[];
  readonly first: string | null;
  readonly last: string | null;
  readonly terms: Terms;
}

interface Edge {
  /** Beginning of the day, ms. */
  readonly day: number;
  readonly messages: number;
  /** The first or last minute in it, ms. */
  minute: number;
}

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const waitMs = 10_000;
/** Readings may be of tomorrow, and of any time since 2000. */
const everything = { from: Date.UTC(2000, 0), to: Date.UTC(2100, 0) };

type Seen = (service: string, start: number, messages: number) => void;

export class ServiceFinder {
  readonly #first = new Map<string, Edge>();
  readonly #last = new Map<string, Edge>();

  constructor(readonly reader: ViewReader) {}

  async find(): Promise<ServiceList> {
    const first = new Map<string, Edge>();
    const last = new Map<string, Edge>();
    const terms = await this.#ask(everything.from, everything.to, 'day', undefined, (service, day, messages) => {
      if (!first.has(service)) first.set(service, { day, messages, minute: Number.NaN });
      last.set(service, { day, messages, minute: Number.NaN });
    });
    await this.#complete(first, this.#first, (a, b) => Math.min(a, b));
    await this.#complete(last, this.#last, (a, b) => Math.max(a, b));
    const services = [...first]
      .map(([service, { minute }]) => ({ service, first: minute, last: last.get(service)?.minute ?? minute }))
      .sort((a, b) => (a.service < b.service ? -1 : 1));
    return {
      services: services.map((one) => ({ service: one.service, first: formatMinute(one.first), last: formatMinute(one.last) })),
      first: services.length === 0 ? null : formatMinute(services.reduce((min, one) => Math.min(min, one.first), Number.POSITIVE_INFINITY)),
      last: services.length === 0 ? null : formatMinute(services.reduce((max, one) => Math.max(max, one.last), 0)),
      terms,
    };
  }

  /** The outermost minutes of those whose day changed: those of one day together. */
  async #complete(found: Map<string, Edge>, known: Map<string, Edge>, outer: (a: number, b: number) => number): Promise<void> {
    const byDay = new Map<number, string[]>();
    for (const [service, edge] of found) {
      const before = known.get(service);
      if (before?.day === edge.day && before.messages === edge.messages) edge.minute = before.minute;
      else byDay.set(edge.day, [...(byDay.get(edge.day) ?? []), service]);
    }
    for (const [day, services] of byDay) {
      const hours = await this.#outermost(day, day + dayMs, 'hour', services, outer);
      const byHour = new Map<number, string[]>();
      for (const [service, hour] of hours) byHour.set(hour, [...(byHour.get(hour) ?? []), service]);
      for (const [hour, ofHour] of byHour) {
        const minutes = await this.#outermost(hour, hour + hourMs, 'minute', ofHour, outer);
        for (const service of ofHour) {
          const edge = found.get(service) as Edge;
          edge.minute = minutes.get(service) ?? hour;
          known.set(service, edge);
        }
      }
    }
  }

  async #outermost(from: number, to: number, step: Step, services: string[], outer: (a: number, b: number) => number) {
    const starts = new Map<string, number>();
    await this.#ask(from, to, step, services, (service, start) => {
      const before = starts.get(service);
      starts.set(service, before === undefined ? start : outer(before, start));
    });
    return starts;
  }

  #ask(from: number, to: number, step: Step, services: readonly string[] | undefined, seen: Seen): Promise<Terms> {
    return this.reader.ask(
      { from, to, step, services, zone: 'UTC', after: [], waitMs },
      (chunk) => eachBlockRow(chunk, (service, start, { messages }) => seen(service, start, messages)).terms,
    );
  }
}
