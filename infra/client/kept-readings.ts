/**
 * What a source has published and nobody has acknowledged yet: messages in the order of their n, each with the readings
 * [n, n + lines). Pure: no clock, no connection.
 */
import type { Range, Ranges } from '../../protocol/range.js';

export interface KeptMessage {
  readonly n: number;
  readonly lines: number;
  readonly body: Uint8Array;
  /** When it was sent last, ms; 0: not yet. */
  sentAtMs: number;
  /** How often it was sent after the first time. */
  copies: number;
  /** Named whole by an acknowledgement, or given up: kept no longer. */
  gone: boolean;
}

/** Below this many messages that are gone, the array is not made shorter. */
const compactAfter = 1024;

/** The parts of `now` that are not in `before`. */
export const newlyIn = (now: Ranges, before: Ranges): Range[] => {
  const fresh: Range[] = [];
  for (const [from, to] of now) {
    let start = from;
    for (const [oldFrom, oldTo] of before) {
      if (oldTo <= start) continue;
      if (oldFrom >= to) break;
      if (oldFrom > start) fresh.push([start, oldFrom]);
      start = oldTo;
    }
    if (start < to) fresh.push([start, to]);
  }
  return fresh;
};

const holdsWhole = (ranges: Ranges, from: number, to: number): boolean => ranges.some((range) => range[0] <= from && to <= range[1]);

export class KeptReadings {
  readings = 0;
  bytes = 0;
  private messages: KeptMessage[] = [];
  /** Index of the oldest that is kept. */
  private head = 0;
  /** Index of the oldest that was not sent yet. */
  private unsent = 0;
  /** To be sent once more, before what is new. */
  private again: KeptMessage[] = [];
  private againAt = 0;

  /** The lowest n that is kept. */
  get oldest(): number | undefined {
    return this.messages[this.head]?.n;
  }

  get hasUnsent(): boolean {
    return this.unsent < this.messages.length || this.againAt < this.again.length;
  }

  add(n: number, lines: number, body: Uint8Array): void {
    this.messages.push({ n, lines, body, sentAtMs: 0, copies: 0, gone: false });
    this.readings += lines;
    this.bytes += body.length;
  }

  /** The message that is to be sent next, marked as sent at `nowMs`. */
  next(nowMs: number): KeptMessage | undefined {
    const message = this.nextUnmarked();
    if (message === undefined) return undefined;
    if (message.sentAtMs !== 0) message.copies++;
    message.sentAtMs = nowMs;
    return message;
  }

  private nextUnmarked(): KeptMessage | undefined {
    while (this.againAt < this.again.length) {
      const message = this.again[this.againAt++] as KeptMessage;
      if (!message.gone) return message;
    }
    if (this.again.length > 0) {
      this.again = [];
      this.againAt = 0;
    }
    while (this.unsent < this.messages.length) {
      const message = this.messages[this.unsent++] as KeptMessage;
      if (!message.gone) return message;
    }
    return undefined;
  }

  /** Everything that is kept goes again, oldest first. */
  sendAllAgain(): void {
    this.again = [];
    this.againAt = 0;
    this.unsent = this.head;
  }

  /** Sends again, oldest first and at most `max`, what was sent before `beforeMs` and has an n below `belowN`. */
  sendAgain(beforeMs: number, belowN: number, max: number): void {
    if (this.againAt < this.again.length) return; // the last ones have not even gone
    for (let i = this.head; i < this.unsent && this.again.length - this.againAt < max; i++) {
      const message = this.messages[i] as KeptMessage;
      if (message.n >= belowN) break;
      if (!message.gone && message.sentAtMs < beforeMs) this.again.push(message);
    }
  }

  /** Lets go of what `fresh`, newly named, makes whole in `sealed`. @returns it, in order. */
  seal(sealed: Ranges, fresh: Ranges): KeptMessage[] {
    const named: KeptMessage[] = [];
    for (const [from, to] of fresh) {
      for (let i = this.indexOf(from); i < this.messages.length; i++) {
        const message = this.messages[i] as KeptMessage;
        if (message.n >= to) break;
        if (message.gone || !holdsWhole(sealed, message.n, message.n + message.lines)) continue;
        this.letGo(message);
        named.push(message);
      }
    }
    this.compact();
    return named;
  }

  giveUpOldest(): KeptMessage | undefined {
    const message = this.messages[this.head];
    if (message === undefined) return undefined;
    this.letGo(message);
    this.compact();
    return message;
  }

  /** Whether a kept message holds n. */
  holds(n: number): boolean {
    const message = this.messages[this.indexOf(n)];
    return message !== undefined && !message.gone && n >= message.n && n < message.n + message.lines;
  }

  private letGo(message: KeptMessage): void {
    message.gone = true;
    this.readings -= message.lines;
    this.bytes -= message.body.length;
  }

  /** Index of the first message that ends past n. */
  private indexOf(n: number): number {
    let low = this.head;
    let high = this.messages.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const message = this.messages[middle] as KeptMessage;
      if (message.n + message.lines <= n) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private compact(): void {
    while (this.messages[this.head]?.gone === true) this.head++;
    if (this.unsent < this.head) this.unsent = this.head;
    if (this.head < compactAfter || this.head * 2 < this.messages.length) return;
    this.messages = this.messages.slice(this.head);
    this.unsent -= this.head;
    this.head = 0;
  }
}
