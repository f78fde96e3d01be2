/** POSITION as people write it: `120,88,0,431`, one offset per partition; a part that is missing waits for nothing. */

import type { Position } from '../../protocol/range.js';
import { UsageError } from '../errors.js';

/** @throws UsageError */
export const parsePosition = (text: string): Position =>
  text.split(',').map((part) => {
    const offset = part.trim() === '' ? 0 : Number(part);
    if (!/^\s*\d*\s*$/.test(part) || !Number.isSafeInteger(offset)) {
      throw new UsageError(`${JSON.stringify(text)} is no position: write the offsets as an answer gives them, such as 120,88,0,431`);
    }
    return offset;
  });

export const formatPosition = (position: Position): string => position.join(',');
