/** Chance that can be had again (mulberry32): the same seed gives the same numbers in the same order. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** [0, 1) */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** Whole, from 0 to `bound` (excluded). */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /** Whole, from (included) to (excluded). */
  between(from: number, to: number): number {
    return from + this.below(to - from);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** Whether something with this chance happens. */
  happens(chance: number): boolean {
    return this.next() < chance;
  }
}

export const randomOf = (seed: number): Random => new Random(seed);
