/**
 * Counts of refused readings by service and reason that stay below a size, whatever names somebody makes up: what has no
 * more room counts to nobody (""), so that the sums by reason stay right.
 */
import type { Refused } from './messages/fields.js';

/** In a segment, a part or an update, each of which has to fit into a message; JSON's bytes. */
export const refusedBytesMax = 64 * 1024;
/** In a manifest, which is a file. */
export const refusedFileBytesMax = 1024 * 1024;

/** Names of what counts to nobody are few, for reasons are a fixed set: they always have room. */
const nobody = '';
/** What a count may take, with its quotes, colon and comma. */
const countBytes = 20;

const quotedBytes = (text: string): number => Buffer.byteLength(JSON.stringify(text));

export class RefusedTally {
  readonly #counts = new Map<string, Map<string, number>>();
  /** Of the JSON text, at most. */
  #bytes = 2;

  constructor(private readonly bytesMax: number) {}

  static of(counts: Refused, bytesMax: number): RefusedTally {
    const tally = new RefusedTally(bytesMax);
    tally.addAll(counts);
    return tally;
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(service: string, reason: string, count: number): void {
    const reasons = this.#counts.get(service);
    const before = reasons?.get(reason);
    if (reasons !== undefined && before !== undefined) {
      reasons.set(reason, before + count);
      return;
    }
    const bytes = (reasons === undefined ? quotedBytes(service) + 4 : 0) + quotedBytes(reason) + countBytes;
    if (service !== nobody && this.#bytes + bytes > this.bytesMax) {
      this.add(nobody, reason, count);
      return;
    }
    this.#bytes += bytes;
    if (reasons === undefined) this.#counts.set(service, new Map([[reason, count]]));
    else reasons.set(reason, count);
  }

  addAll(counts: Refused): void {
    for (const [service, reasons] of Object.entries(counts)) {
      for (const [reason, count] of Object.entries(reasons)) this.add(service, reason, count);
    }
  }

  clear(): void {
    this.#counts.clear();
    this.#bytes = 2;
  }

  toRefused(): Refused {
    return Object.fromEntries([...this.#counts].map(([service, reasons]) => [service, Object.fromEntries(reasons)]));
  }
}
