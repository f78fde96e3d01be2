/**
 * Counts by reason what a lane's acknowledgements refused, each reading once.
 *
 * An acknowledgement tells a reason once, and may get lost (a break of the connection, a buffer that was taken over); the
 * next one only says that the reading was taken. So where one may be missing, the message is read again here, by
 * the same rules that the buffer has.
 */
import type { KeptMessage } from '../../infra/client/kept-readings.js';
import type { ReadingSealed } from '../../protocol/messages/reading-sealed.js';
import { parseSubject } from '../../protocol/name-code.js';
import { addRange, hasNumber, type Ranges } from '../../protocol/range.js';
import { isEmptyLine, isRefusal, readLine, splitLines } from '../../protocol/reading.js';

/** A buffer's partition is taken over in more than this (its lease lasts 1.5 s): what was named sooner was named in order. */
const inOrderWithinMs = 1_000;

export interface RefusalCount {
  readonly byReason: ReadonlyMap<string, number>;
  /** Readings of before this run: not counted. */
  leaveOut(ranges: Ranges): void;
  /** @param holds whether a message with this n is still waited for. */
  heard(acknowledgement: ReadingSealed, named: readonly KeptMessage[], holds: (n: number) => boolean): void;
}

export const countRefusals = (subject: string, agent: string, now: () => number = Date.now): RefusalCount => {
  const byReason = new Map<string, number>();
  const parsed = parseSubject(subject);
  /** Told, and counted, of messages that are not named whole yet. */
  const told = new Set<number>();
  /** Counted by reading them here, or not to be counted. */
  let settled: Ranges = [];

  const count = (reason: string): void => {
    byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
  };

  const readAgain = (message: KeptMessage): void => {
    for (const [i, line] of splitLines(message.body).entries()) {
      const n = message.n + i;
      if (told.has(n) || hasNumber(settled, n) || isEmptyLine(line)) continue;
      const read = readLine(line, { subject: parsed, received: message.sentAtMs, agent, n });
      if (isRefusal(read) && read.agent === agent) count(read.reason);
    }
    settled = addRange(settled, message.n, message.n + message.lines);
  };

  return {
    byReason,
    leaveOut: (ranges) => {
      settled = ranges.reduce((all, [from, to]) => addRange(all, from, to), settled);
    },
    heard: ({ refused }, named, holds) => {
      for (const { n, reason } of refused) {
        if (told.has(n) || hasNumber(settled, n)) continue;
        count(reason);
        if (holds(n) || named.some((message) => n >= message.n && n < message.n + message.lines)) told.add(n);
      }
      for (const message of named) {
        if (message.copies > 0 || now() - message.sentAtMs > inOrderWithinMs) readAgain(message);
        for (let i = 0; i < message.lines; i++) told.delete(message.n + i);
      }
    },
  };
};
