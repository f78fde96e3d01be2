/** Puts realtime.updated together that came in chunks: an update counts when its last chunk is there, whole or not at all. */
import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';

interface Begun {
  readonly update: RealtimeUpdated;
  readonly total: number;
  next: number;
}

export class UpdateChunks {
  readonly #begun = new Map<number, Begun>();

  /**
   * Chunks of a partition come in order; one that does not go on from the one before drops both, and W1 then notices what
   * was missed.
   * @returns the whole update with its last chunk, else undefined
   */
  add(update: RealtimeUpdated, chunk: { index: number; total: number } | undefined): RealtimeUpdated | undefined {
    const { partition } = update;
    if (chunk === undefined || chunk.total === 1) {
      this.#begun.delete(partition);
      return update;
    }
    if (chunk.index === 0) {
      this.#begun.set(partition, { update: { ...update, rows: [...update.rows] }, total: chunk.total, next: 1 });
      return undefined;
    }
    const begun = this.#begun.get(partition);
    const goesOn =
      begun !== undefined &&
      begun.next === chunk.index &&
      begun.total === chunk.total &&
      begun.update.from === update.from &&
      begun.update.since === update.since &&
      begun.update.to === update.to;
    if (!goesOn) {
      this.#begun.delete(partition);
      return undefined;
    }
    for (const row of update.rows) begun.update.rows.push(row);
    begun.next += 1;
    if (begun.next < begun.total) return undefined;
    this.#begun.delete(partition);
    return begun.update;
  }

  /** The reader begins anew. */
  clear(): void {
    this.#begun.clear();
  }
}
