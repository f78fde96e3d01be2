/** The newest events, as the text that readers get, with a bound: who was away for a moment goes on from its last one. */
import type { ViewUpdated } from '../../protocol/messages/view.js';
import { type Position, reaches, samePosition } from '../../protocol/range.js';

export interface ViewEvent {
  readonly service: string;
  readonly position: Position;
  readonly text: Buffer;
}

/** Server-sent: JSON has no line breaks of its own. */
export const viewEvent = (update: ViewUpdated): ViewEvent => ({
  service: update.service,
  position: update.position,
  text: Buffer.from(`id: ${update.position.join(',')}\nevent: view\ndata: ${JSON.stringify(update)}\n\n`),
});

export interface Floor {
  readonly position: Position;
  /** Whether who is exactly there has missed nothing. */
  readonly included: boolean;
}

export class EventRing {
  #events: ViewEvent[] = [];
  #bytes = 0;
  #floor: Floor | undefined;

  constructor(readonly bytesMax: number) {}

  /** Forgets everything: what comes goes on from here. */
  begin(floor: Floor): void {
    this.#events = [];
    this.#bytes = 0;
    this.#floor = floor;
  }

  add(events: readonly ViewEvent[]): void {
    for (const event of events) {
      this.#events.push(event);
      this.#bytes += event.text.length;
    }
    if (this.#bytes <= this.bytesMax) return;
    let gone = 0;
    while (this.#bytes > this.bytesMax * 0.75 && gone < this.#events.length) {
      const event = this.#events[gone] as ViewEvent;
      this.#bytes -= event.text.length;
      this.#floor = { position: event.position, included: false };
      gone += 1;
    }
    this.#events = this.#events.slice(gone);
  }

  /**
   * Everything that came after a position; what is at it comes again. Undefined: not all of it is here.
   * @param hears which services
   */
  since(position: Position, hears: (service: string) => boolean): ViewEvent[] | undefined {
    const floor = this.#floor;
    if (floor === undefined || !reaches(position, floor.position)) return undefined;
    if (!floor.included && samePosition(position, floor.position)) return undefined;
    return this.#events.filter(
      (event) => hears(event.service) && (!reaches(position, event.position) || samePosition(position, event.position)),
    );
  }
}
