/**
 * Asks the merged view: one question, one answer of one position, put together from its chunks.
 */
import { chunkHeader, formatChunk, parseChunk, workingHeader } from '../../protocol/messages/chunks.js';
import { eachBlockRow } from '../../protocol/messages/row-blocks.js';
import { type RowTuple, toTuple } from '../../protocol/messages/row-tuple.js';
import type { Step, Terms, ViewAsked, ViewRefused } from '../../protocol/messages/view.js';
import { type MinuteRow, toViewRow, type ViewRow } from '../../protocol/minute-row.js';
import type { Position } from '../../protocol/range.js';
import type { Bus } from '../bus/bus.js';
import { OutOfReachError, PromiseError, RetryableError, UsageError } from '../errors.js';
import { within } from '../within.js';
import { askAgain } from './ask-again.js';

/** Rows of [from, to), half-open in time. */
export interface QueryOptions {
  /** `2026-11-23T10:15:00Z`, a date, seconds or milliseconds since 1970, `now`, `now-6h`. */
  from: string | number;
  to: string | number;
  /** Default: every service. */
  services?: readonly string[];
  /** Default: minute. A range is one row for all of it. */
  step?: Step;
  /** IANA zone in which hours and days begin. Default UTC. */
  zone?: string;
  /** Answer from a view that has got at least this far; a part that is missing waits for nothing. */
  after?: Position;
  /** How long that may take, ms. Default 10,000. */
  waitMs?: number;
}

export interface Answer {
  /** By service, then time. */
  rows: ViewRow[];
  /** What it is an answer of: batch, cut, position; and what is known to be missing, refused or late. */
  terms: Terms;
}

/** The same with exact sums: `[service, minute, cpu, …]` in millionths, sums past 2^53 as strings. */
export interface ExactAnswer {
  rows: RowTuple[];
  terms: Terms;
}

const waitMsDefault = 10_000;
/** A chunk that does not come within this fails the answer. */
const chunkWaitMs = 5_000;

const toAsked = (options: QueryOptions): ViewAsked => ({
  shape: 'blocks',
  progress: true,
  from: options.from,
  to: options.to,
  ...(options.services === undefined ? {} : { services: [...options.services] }),
  ...(options.step === undefined ? {} : { step: options.step }),
  ...(options.zone === undefined ? {} : { zone: options.zone }),
  ...(options.after === undefined ? {} : { after: [...options.after] }),
  ...(options.waitMs === undefined ? {} : { waitMs: options.waitMs }),
});

/** What a refusal means for who asked. */
const toError = ({ code, error }: ViewRefused): Error => {
  if (code === 'E_USAGE') return new UsageError(error);
  if (code === 'E_OUT_OF_REACH') return new OutOfReachError(error);
  if (code === 'E_PROMISE') return new PromiseError(error);
  return new RetryableError(error, { code });
};

/** A refusal is JSON that begins with it; an answer's head begins with its terms. */
const readRefusal = (body: Uint8Array): ViewRefused | undefined => {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return text.subarray(0, 9).toString('latin1') === '{"error":' ? (JSON.parse(text.toString('utf8')) as ViewRefused) : undefined;
};

type Visit = (service: string, minute: number, row: MinuteRow) => void;

/**
 * The chunks of an answer as blocks of doubles (row-blocks.ts), in order, all of one position.
 * @param take gives back the chunk's terms
 * @throws UsageError, OutOfReachError (nobody answers, `after` not reached in time, a chunk is missing), PromiseError
 */
export const askBlocks = async (bus: Bus, options: QueryOptions, take: (chunk: Uint8Array) => Terms): Promise<Terms> => {
  const asked = toAsked(options);
  const firstWaitMs = (asked.waitMs ?? waitMsDefault) + chunkWaitMs;
  const messages = askAgain(bus, 'view.asked', JSON.stringify(asked), { timeoutMs: firstWaitMs });
  let expected = 0;
  let isWhole = false;
  try {
    for (;;) {
      const waitMs = expected === 0 ? firstWaitMs : chunkWaitMs;
      const what = expected === 0 ? 'no answer' : `chunk ${expected + 1} of the answer did not come`;
      const next = await within(messages.next(), waitMs, () => new OutOfReachError(`view.asked: ${what} within ${waitMs} ms`));
      if (next.done === true) throw new OutOfReachError('view.asked: the answer broke off');
      if (next.value.header(workingHeader) !== undefined) continue; // very many files are read for it: it waits anew
      const refusal = readRefusal(next.value.body);
      if (refusal !== undefined) throw toError(refusal);
      const chunk = parseChunk(next.value.header(chunkHeader) ?? formatChunk(0, 1));
      if (chunk?.index !== expected) throw new OutOfReachError(`view.asked: chunk ${expected + 1} of the answer is missing`);
      const terms = take(next.value.body);
      expected += 1;
      if (expected === chunk.total) {
        isWhole = true;
        return terms;
      }
    }
  } finally {
    const ended = messages.return?.(undefined);
    if (isWhole)
      await ended; // else it may still wait for what will not come
    else ended?.catch(() => undefined);
  }
};

const askView = (bus: Bus, options: QueryOptions, visit: Visit): Promise<Terms> =>
  askBlocks(bus, options, (chunk) => eachBlockRow(chunk, visit).terms);

/** @throws UsageError, OutOfReachError, PromiseError */
export const queryView = async (bus: Bus, options: QueryOptions): Promise<Answer> => {
  const rows: ViewRow[] = [];
  const terms = await askView(bus, options, (service, start, row) => rows.push(toViewRow(service, start, row)));
  return { rows, terms };
};

/** @throws UsageError, OutOfReachError, PromiseError */
export const queryExact = async (bus: Bus, options: QueryOptions): Promise<ExactAnswer> => {
  const rows: RowTuple[] = [];
  const terms = await askView(bus, options, (service, start, row) => rows.push(toTuple(service, start, row)));
  return { rows, terms };
};
