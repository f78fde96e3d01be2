/** Following SEGMENTS: each segment goes on where the one before ended, by offset and by chain, or the log is not the one. */
import { noChain } from '../../protocol/messages/segment-sealed.js';
import { chainHeader, decodeSegment, nextChain, type Segment } from '../../protocol/segment.js';
import type { LogMessage } from '../bus/bus.js';
import { HistoryError } from '../errors.js';

/** Where a follower of SEGMENTS stands. */
export interface SegmentsAt {
  readonly offset: number;
  readonly sequence: number;
  readonly chain: string;
}

export const segmentsBeginning: SegmentsAt = { offset: 0, sequence: 0, chain: noChain };

/** @throws HistoryError when the message does not go on from `at`. */
export const followSegment = (at: SegmentsAt, message: LogMessage): { segment: Segment; at: SegmentsAt } => {
  const segment = decodeSegment(message.body);
  const { partition, from, to } = segment.head;
  const chain = nextChain(at.chain, message.body);
  if (from !== at.offset || message.sequence !== at.sequence + 1 || chain !== message.header(chainHeader)) {
    throw new HistoryError(`SEGMENTS-${partition} ${message.sequence} holds offsets [${from}, ${to}) and does not go on from offset ${at.offset}, `
      + `sequence ${at.sequence}: the log lost or changed messages. Bring the right store back, or build everything anew with \`tidemark recover\``);
  }
  return { segment, at: { offset: to, sequence: message.sequence, chain } };
};
