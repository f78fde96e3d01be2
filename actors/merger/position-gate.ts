/** Questions with `after` wait here until the view has got that far. */
import { type Position, reaches } from '../../protocol/range.js';

interface Waiting {
  readonly after: Position;
  readonly done: (reached: boolean) => void;
}

export class PositionGate {
  readonly #waiting = new Set<Waiting>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** @returns whether the view got there within the time (ms) */
  async wait(position: Position, after: Position, waitMs: number): Promise<boolean> {
    if (reaches(position, after)) return true;
    return new Promise((resolve) => {
      const waiting: Waiting = {
        after,
        done: (reached) => {
          clearTimeout(timer);
          this.#waiting.delete(waiting);
          resolve(reached);
        },
      };
      const timer = setTimeout(() => waiting.done(false), waitMs);
      this.#waiting.add(waiting);
    });
  }

  /** The view has got to `position`. */
  reached(position: Position): void {
    for (const waiting of this.#waiting) if (reaches(position, waiting.after)) waiting.done(true);
  }

  /** Nobody waits any longer. */
  close(): void {
    for (const waiting of this.#waiting) waiting.done(false);
  }
}
