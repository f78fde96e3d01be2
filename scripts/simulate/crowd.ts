/** A fault of a buffer: little room is left in its open segment. */
import { isFull, type OpenSegment } from '../../actors/buffer/open-segment.js';
import type { Random } from '../chaos/random.js';

/** The segment says of itself that it is nearly full: the next message may have to be split. */
export const crowd = (open: OpenSegment, random: Random): void => {
  let [fits, full] = [open.headBytes, 2_000_000];
  while (full - fits > 50) {
    const middle = (fits + full) >> 1;
    open.headBytes = middle;
    if (isFull(open)) full = middle;
    else fits = middle;
  }
  open.headBytes = Math.max(0, fits - random.between(0, 800));
};
