/** What an actor tried in vain last, for `status`: a storage or a log that is full, away or refuses. */
import { messageOf } from '../errors.js';

/** A lost connection or lease is not told: others see it, and the next life begins at once. */
const told: ReadonlySet<unknown> = new Set(['E_STORAGE', 'E_APPEND', 'E_SQL', 'E_HDFS', 'E_HDFS_UNANSWERED', 'E_REFUSED', 'ENOSPC']);

/** It may fail only now and then. */
const shownMs = 60_000;

export class Trouble {
  private reason = '';
  private at = Number.NEGATIVE_INFINITY;

  note(error: unknown, where = ''): void {
    if (!told.has((error as { code?: unknown }).code)) return;
    this.reason = where + messageOf(error);
    this.at = performance.now();
  }

  get shown(): { trouble?: string } {
    return performance.now() - this.at < shownMs ? { trouble: this.reason } : {};
  }
}
