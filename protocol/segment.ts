/** A segment's bytes: encoding, decoding and its chain. See messages/segment-sealed.ts for the shape. */
import { createHash } from 'node:crypto';
import { readSegmentHead } from './messages/readers.js';
import { recordNumbers, type SegmentHead } from './messages/segment-sealed.js';

export const chainHeader = 'Tidemark-Chain';
const lf = 0x0a;
const numberBytes = 8;

export interface Segment {
  readonly head: SegmentHead;
  readonly records: number;
  /** The raw file's lines, each ended by LF, as they are. */
  readonly lines: Uint8Array;
  /** `recordNumbers.width` doubles for each record. */
  readonly numbers: Float64Array;
}

/** The chain after a segment: sha256(the chain before it ‖ its body), in hex. */
export const nextChain = (chain: string, body: Uint8Array): string =>
  createHash('sha256').update(chain, 'latin1').update(body).digest('hex');

/** @param lines as UTF-8, `head.lineBytes` of it */
export const encodeSegment = (head: SegmentHead, lines: Uint8Array, numbers: readonly number[]): Uint8Array => {
  const first = JSON.stringify(head);
  const firstBytes = Buffer.byteLength(first);
  const body = Buffer.allocUnsafe(firstBytes + 1 + head.lineBytes + numbers.length * numberBytes);
  body.write(first, 0);
  body[firstBytes] = lf;
  body.set(lines.subarray(0, head.lineBytes), firstBytes + 1);
  body.set(new Uint8Array(Float64Array.from(numbers).buffer), firstBytes + 1 + head.lineBytes);
  return body;
};

/** Only the head, for who replays the table of sources. @throws MalformedMessage */
export const decodeHead = (body: Uint8Array): SegmentHead => readSegmentHead(body.subarray(0, body.indexOf(lf)));

/** @throws MalformedMessage if the body is not what its head says. */
export const decodeSegment = (body: Uint8Array): Segment => {
  const head = decodeHead(body);
  const records = head.to - head.from;
  const linesFrom = body.indexOf(lf) + 1;
  const numbersFrom = linesFrom + head.lineBytes;
  const count = records * recordNumbers.width;
  if (body.byteLength !== numbersFrom + count * numberBytes) {
    throw new RangeError(
      `segment [${head.from}, ${head.to}) of partition ${head.partition} has ${body.byteLength} bytes, ` +
        `its head says ${numbersFrom + count * numberBytes}`,
    );
  }
  // A copy: a Float64Array needs an aligned beginning. Doubles are little-endian here and in the body.
  const numbers = new Float64Array(new Uint8Array(body.subarray(numbersFrom)).buffer);
  return { head, records, lines: body.subarray(linesFrom, numbersFrom), numbers };
};
