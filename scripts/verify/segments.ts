/** SEGMENTS: its chain and offsets go on without a hole for all that the stream still has; its tail is counted. */
import { createHash } from 'node:crypto';
import type { Bus } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { messageOf } from '../../infra/errors.js';
import type { SegmentsPlace } from '../../protocol/messages/raw-stored.js';
import { readSegmentHead } from '../../protocol/messages/readers.js';
import { noChain, recordNumbers, type SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { chainHeader } from '../../protocol/segment.js';
import type { Counting } from './counting.js';

const lf = 0x0a;

/** What is still in the log of one partition: sequence to where the segment ends. */
export interface SegmentEnds {
  readonly ends: ReadonlyMap<number, { readonly offset: number; readonly chain: string }>;
  readonly segments: number;
  readonly to: number;
}

/** @param committed records below it are in raw files: what comes behind is counted here */
export const checkSegments = async (bus: Bus, partition: number, committed: number, counting: Counting): Promise<SegmentEnds> => {
  const stream = segmentsStream(partition);
  const { findings } = counting;
  const ends = new Map<number, { offset: number; chain: string }>();
  const { last } = await bus.extent(stream);
  let before = { sequence: 0, offset: 0, chain: noChain };
  for await (const message of readLog(bus, stream, { to: last, held: 64 })) {
    const { sequence, body } = message;
    const where = `${stream} ${sequence}`;
    const goesOn = sequence === before.sequence + 1;
    if (!goesOn) {
      // below its first message the log was purged, maybe while it was read
      const { first } = await bus.extent(stream);
      if (first <= before.sequence + 1) findings.add('segments', where, `comes after ${before.sequence}: what was between is gone`);
    }
    const chain = message.header(chainHeader) ?? '';
    let head: SegmentHead;
    const headEnd = body.indexOf(lf);
    try {
      head = readSegmentHead(body.subarray(0, headEnd));
    } catch (error) {
      findings.add('segments', where, messageOf(error));
      before = { sequence, offset: before.offset, chain };
      continue;
    }
    if (goesOn) {
      const follows = createHash('sha256').update(before.chain, 'latin1').update(body).digest('hex');
      if (follows !== chain)
        findings.add(
          'segments',
          where,
          `its chain is ${chain.slice(0, 12)}…, the chain before and its bytes give ${follows.slice(0, 12)}…`,
        );
      findings.expect('segments', where, 'its first offset', head.from, before.offset);
    }
    findings.expect('segments', where, 'its partition', head.partition, partition);
    if (head.to > committed && head.from < (counting.position[partition] as number))
      countSegment(head, body.subarray(headEnd + 1), committed, where, counting);
    ends.set(sequence, { offset: head.to, chain });
    before = { sequence, offset: head.to, chain };
  }
  return { ends, segments: ends.size, to: before.offset };
};

/** The lines count; the numbers beside them, from which the real-time layer sums, must be theirs. */
const countSegment = (head: SegmentHead, content: Uint8Array, committed: number, where: string, counting: Counting): void => {
  const { findings } = counting;
  const records = head.to - head.from;
  const bytes = head.lineBytes + records * recordNumbers.width * 8;
  findings.expect('segments', where, 'its length behind the head', content.byteLength, bytes);
  if (content.byteLength !== bytes) return;
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const lines = buffer.toString('utf8', 0, head.lineBytes).split('\n');
  lines.pop();
  findings.expect('segments', where, 'its number of lines', lines.length, records);
  lines.forEach((line, i) => {
    if (head.from + i < committed) return; // counted from its raw file
    const record = counting.addLine(line, head.partition, head.from + i, head.from + i + 1, () => where);
    if (record === undefined) return;
    const number = (column: number): number => buffer.readDoubleLE(head.lineBytes + (i * recordNumbers.width + column) * 8);
    const isSame =
      head.services[number(recordNumbers.service)] === record.service &&
      number(recordNumbers.at) === record.at &&
      number(recordNumbers.cpu) === record.cpu &&
      number(recordNumbers.ram) === record.ram &&
      number(recordNumbers.disk) === record.disk;
    if (!isSame) findings.add('segments', where, `the numbers of offset ${record.offset} are not those of its line`);
  });
};

/** A commit, part or snapshot repeats the chain that it reached: it must be this log's, where the log still has it. */
export const checkChain = (
  name: string,
  to: number,
  { sequence, chain }: SegmentsPlace,
  { ends }: SegmentEnds,
  counting: Counting,
): void => {
  const end = ends.get(sequence);
  if (end === undefined) return;
  if (end.chain !== chain)
    counting.findings.add(
      'chains',
      name,
      `ends at segment ${sequence} with chain ${chain.slice(0, 12)}…, the log has ${end.chain.slice(0, 12)}… there`,
    );
  counting.findings.expect('chains', name, 'its end', to, end.offset);
};
