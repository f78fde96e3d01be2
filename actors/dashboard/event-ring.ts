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

/** Events that go together when they are overwritten: of one gathering, one text after the other. */
interface Kept {
  /** Counted from the first byte that was ever written. */
  readonly from: number;
  readonly to: number;
  /** Of its last event. */
  readonly position: Position;
}

const keptBytesMin = 32 * 1024;
const eventEnd = '\n\n';
const dataField = '\ndata: ';

const eventOf = (text: string): ViewEvent => {
  const { service, position } = JSON.parse(text.slice(text.indexOf(dataField) + dataField.length)) as ViewUpdated;
  return { service, position, text: Buffer.from(text + eventEnd) };
};

/** The texts lie in one piece of memory, overwritten from its beginning: two hundred events a second leave nothing to collect. */
export class EventRing {
  readonly #bytes: Buffer;
  #kept: Kept[] = [];
  #written = 0;
  #floor: Floor | undefined;
  /** What is kept, read back; until something is added. */
  #events: readonly ViewEvent[] | undefined;

  constructor(bytesMax: number) {
    this.#bytes = Buffer.allocUnsafeSlow(bytesMax);
  }

  /** Forgets everything: what comes goes on from here. */
  begin(floor: Floor): void {
    this.#kept = [];
    this.#events = undefined;
    this.#floor = floor;
  }

  /** @param events by position */
  add(events: readonly ViewEvent[]): void {
    this.#events = undefined;
    let from = this.#written;
    for (const [i, { text, position }] of events.entries()) {
      this.#write(text);
      if (this.#written - from < keptBytesMin && i + 1 < events.length) continue;
      this.#kept.push({ from, to: this.#written, position });
      from = this.#written;
    }
    const gone = this.#kept.findLastIndex((kept) => this.#written - kept.from > this.#bytes.length) + 1;
    if (gone === 0) return;
    this.#floor = { position: (this.#kept[gone - 1] as Kept).position, included: false };
    this.#kept.splice(0, gone);
  }

  /**
   * Everything that came after a position; what is at it comes again. Undefined: not all of it is here.
   * @param hears which services
   */
  since(position: Position, hears: (service: string) => boolean): ViewEvent[] | undefined {
    const floor = this.#floor;
    if (floor === undefined || !reaches(position, floor.position)) return undefined;
    if (!floor.included && samePosition(position, floor.position)) return undefined;
    this.#events ??= this.#kept.flatMap((kept) => this.#read(kept).split(eventEnd).slice(0, -1).map(eventOf));
    return this.#events.filter(
      (event) => hears(event.service) && (!reaches(position, event.position) || samePosition(position, event.position)),
    );
  }

  #write(text: Buffer): void {
    const size = this.#bytes.length;
    for (let done = 0; done < text.length; ) {
      const at = this.#written % size;
      const copied = text.copy(this.#bytes, at, done, done + size - at);
      done += copied;
      this.#written += copied;
    }
  }

  #read({ from, to }: Kept): string {
    const [start, end] = [from % this.#bytes.length, to % this.#bytes.length];
    const parts = start < end ? [this.#bytes.subarray(start, end)] : [this.#bytes.subarray(start), this.#bytes.subarray(0, end)];
    return Buffer.concat(parts).toString('utf8');
  }
}
