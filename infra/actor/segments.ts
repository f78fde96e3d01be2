/** Following SEGMENTS: each segment goes on where the one before ended, by offset and by chain, or the log is not the one. */
import { noChain } from '../../protocol/messages/segment-sealed.js';
import { chainHeader, decodeSegment, nextChain, type Segment } from '../../protocol/segment.js';
import type { LogMessage } from '../bus/bus.js';
import { FencedError, HistoryError } from '../errors.js';
import type { Output } from './output.js';

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
    throw new HistoryError(
      `SEGMENTS-${partition} ${message.sequence} holds offsets [${from}, ${to}) and does not go on from offset ${at.offset}, ` +
        `sequence ${at.sequence}: the log lost or changed messages. Bring the right store back, or build everything anew with \`tidemark recover\``,
    );
  }
  return { segment, at: { offset: to, sequence: message.sequence, chain } };
};

/** A message of STORED that says how far its sender has got. */
export interface OwnOutput {
  readonly subject: string;
  readonly read: (body: Uint8Array) => { readonly segments: { readonly sequence: number } };
}

/**
 * What a follower does about a segment that does not go on from `at`. If one of the follower's own last outputs
 * is beyond that by now, somebody else owns it and what lies between was purged: it was paused, and joins again. Otherwise the
 * log is not the one.
 */
export const lookWhy = (outputs: readonly OwnOutput[], at: SegmentsAt, error: unknown): Output => ({
  do: 'work',
  what: 'look why SEGMENTS does not go on',
  run: async ({ bus }) => {
    for (const { subject, read } of outputs) {
      const last = await bus.last('STORED', subject);
      const sequence = last === undefined ? 0 : read(last.body).segments.sequence;
      if (sequence > at.sequence)
        throw new FencedError(`${subject} is at segment ${sequence} by now, here it is at ${at.sequence}`, { cause: error });
    }
    throw error;
  },
});
