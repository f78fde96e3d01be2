/**
 * History guard: is this SEGMENTS log the one that the others' outputs were made from?
 *
 * A stream that lost its tail gives the same sequence numbers again, so nobody trusts a number alone: commits, parts and
 * snapshots repeat the chain at which they end, and it must be in the log. STORED is read first, then SEGMENTS: else a commit
 * made in between would look like a mismatch (F4).
 */

import type { PartStored } from '../../protocol/messages/part-stored.js';
import type { PlaceStored } from '../../protocol/messages/place-stored.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { readPartStored, readPlaceStored, readRawStored, readTableStored } from '../../protocol/messages/readers.js';
import { noChain, type SegmentHead } from '../../protocol/messages/segment-sealed.js';
import type { TableStored } from '../../protocol/messages/table-stored.js';
import { chainHeader, decodeHead } from '../../protocol/segment.js';
import type { Bus, LogMessage } from '../bus/bus.js';
import { segmentsStream } from '../bus/streams.js';
import { HistoryError, RetryableError } from '../errors.js';

interface Last<T> {
  readonly sequence: number;
  readonly message: T;
}

/** The last outputs of a partition, checked against each other. */
export interface History {
  readonly raw: Last<RawStored> | undefined;
  readonly part: Last<PartStored> | undefined;
  readonly table: Last<TableStored> | undefined;
  /** Beyond the last part, if the windower noted one. */
  readonly place: Last<PlaceStored> | undefined;
  /** Sequence of the last place, void or not: 0 without one. */
  readonly placeSequence: number;
  readonly segment: { sequence: number; received: number; head: SegmentHead; chain: string } | undefined;
}

const lastOf = async <T>(bus: Bus, subject: string, read: (body: Uint8Array) => T): Promise<Last<T> | undefined> => {
  const message = await bus.last('STORED', subject);
  return message && { sequence: message.sequence, message: read(message.body) };
};

/** A place goes on from the last part, or a newer part has made it void. */
export const isBeyond = (place: PlaceStored, part: PartStored | undefined): boolean =>
  place.from === (part?.to ?? 0) && place.segments.sequence > (part?.segments.sequence ?? 0);

export const chainOf = (message: LogMessage): string => message.header(chainHeader) ?? '';

const isOvertaken = async (
  bus: Bus,
  partition: number,
  { raw, part, table, noted }: Record<'raw' | 'part' | 'table' | 'noted', Last<unknown> | undefined>,
): Promise<boolean> => {
  const sequences = await Promise.all(
    ['raw', 'part', 'table', 'place'].map(async (kind) => (await bus.last('STORED', `${kind}.stored.${partition}`))?.sequence),
  );
  return [raw, part, table, noted].some((output, i) => output?.sequence !== sequences[i]);
};

/**
 * @throws HistoryError when an output names a place that this log does not have; RetryableError when the others went on
 * meanwhile, so that nothing is known.
 */
export const readHistory = async (bus: Bus, partition: number): Promise<History> => {
  const [raw, part, table, noted] = await Promise.all([
    lastOf(bus, `raw.stored.${partition}`, readRawStored),
    lastOf(bus, `part.stored.${partition}`, readPartStored),
    lastOf(bus, `table.stored.${partition}`, readTableStored),
    lastOf(bus, `place.stored.${partition}`, readPlaceStored),
  ]);
  const place = noted && isBeyond(noted.message, part?.message) ? noted : undefined;
  const stream = segmentsStream(partition);
  const last = await bus.last(stream, `segment.sealed.${partition}`);
  // Beyond the last part its place stands for it: SEGMENTS is kept from there on.
  const windower = place ? (['place.stored', place] as const) : (['part.stored', part] as const);
  for (const [name, output] of [['raw.stored', raw], windower, ['table.stored', table]] as const) {
    if (output === undefined) continue;
    const { sequence, chain } = output.message.segments;
    if (sequence === 0 && chain === noChain) continue;
    const there = last && sequence <= last.sequence ? await bus.at(stream, sequence) : undefined;
    if (there === undefined || chainOf(there) !== chain) {
      // What was read may be old by now: whoever owns it went on, and SEGMENTS was purged up to there.
      if (await isOvertaken(bus, partition, { raw, part, table, noted }))
        throw new RetryableError(`partition ${partition} went on while its history was read`);
      throw new HistoryError(
        `the last ${name}.${partition} was made from a log that reached ${stream} ${sequence} (chain ${chain.slice(0, 12)}…), ` +
          `and this log ${there === undefined ? `ends at ${last?.sequence ?? 0}` : 'has another message there'}: it lost its tail or is another. ` +
          'Bring the right store back, or build everything anew from the raw files with `tidemark recover`',
      );
    }
  }
  return {
    raw,
    part,
    table,
    place,
    placeSequence: noted?.sequence ?? 0,
    segment: last && { sequence: last.sequence, received: last.received, head: decodeHead(last.body), chain: chainOf(last) },
  };
};
