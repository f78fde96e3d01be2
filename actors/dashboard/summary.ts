/** One line for each service in a range: means, peaks with their times, messages, and what is missing, refused or late. */
import { eachBlockRow } from '../../protocol/messages/row-blocks.js';
import type { Terms } from '../../protocol/messages/view.js';
import { emptyRow, type MinuteRow, mergeInto, minuteMs } from '../../protocol/minute-row.js';
import { formatInstant, formatMinute } from '../../protocol/time.js';
import { type Sum, toPercent } from '../../protocol/units.js';
import type { ViewQuestion } from './parameters.js';
import type { ViewReader } from './view-reader.js';

interface Peak {
  readonly mean: number | null;
  readonly max: number | null;
  readonly maxTime: string | null;
}

export interface ServiceSummary {
  readonly service: string;
  readonly msg_num: number;
  readonly cpu: Peak;
  readonly ram: Peak;
  readonly disk: Peak;
  /** Since the data was made. */
  readonly missing: number;
  readonly refused: number;
  readonly late: number;
  /** Minutes (hours, where `grain` says so) of its first and last message in the range. */
  readonly first: string | null;
  readonly last: string | null;
}

export interface Summary {
  readonly grain: 'minute' | 'hour';
  readonly services: readonly ServiceSummary[];
  readonly terms: Terms;
}

interface Seen {
  readonly sum: MinuteRow;
  first: number;
  last: number;
}

/** A longer range is read by hours. */
const minutesMax = 92 * 1_440;

const peakOf = (sum: Sum, messages: number, max: number, at: number): Peak =>
  messages === 0
    ? { mean: null, max: null, maxTime: null }
    : { mean: toPercent(sum) / messages, max: toPercent(max), maxTime: formatInstant(at) };

const summaryOf = (service: string, { sum, first, last }: Seen, { missing, refused, late }: Terms): ServiceSummary => ({
  service,
  msg_num: sum.messages,
  cpu: peakOf(sum.cpu, sum.messages, sum.maxCpu, sum.maxCpuAt),
  ram: peakOf(sum.ram, sum.messages, sum.maxRam, sum.maxRamAt),
  disk: peakOf(sum.disk, sum.messages, sum.maxDisk, sum.maxDiskAt),
  missing,
  refused,
  late,
  first: sum.messages === 0 ? null : formatMinute(first),
  last: sum.messages === 0 ? null : formatMinute(last),
});

/** What is counted of one service since the data was made; no rows. */
const termsOf = (reader: ViewReader, { waitMs }: ViewQuestion, service: string, { position }: Terms): Promise<Terms> =>
  reader.ask(
    { from: 0, to: minuteMs, services: [service], step: 'range', zone: 'UTC', after: position, waitMs },
    (chunk) => eachBlockRow(chunk, () => undefined).terms,
  );

/** @throws what the reader throws */
export const readSummary = async (reader: ViewReader, question: ViewQuestion): Promise<Summary> => {
  const grain = (question.to - question.from) / minuteMs > minutesMax ? 'hour' : 'minute';
  const seen = new Map<string, Seen>((question.services ?? []).map((service) => [service, { sum: emptyRow(), first: 0, last: 0 }]));
  const terms = await reader.ask(
    { ...question, step: grain },
    (chunk) =>
      eachBlockRow(chunk, (service, minute, row) => {
        const known = seen.get(service) ?? { sum: emptyRow(), first: minute, last: minute };
        seen.set(service, known);
        if (known.sum.messages === 0) known.first = minute;
        known.last = minute;
        mergeInto(known.sum, row);
      }).terms,
  );
  const counted = await Promise.all(
    [...seen].map(async ([service, one]) => summaryOf(service, one, await termsOf(reader, question, service, terms))),
  );
  return { grain, services: counted.sort((a, b) => (a.service < b.service ? -1 : 1)), terms };
};
