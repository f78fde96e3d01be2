/** The steps of a question: where the hour, day or range begins and ends that holds a minute. */
import { minuteMs } from '../../protocol/minute-row.js';
import { stepStart } from '../../protocol/time.js';
import type { Question } from './question.js';

export const hourMs = 60 * minuteMs;
const quarterMs = 15 * minuteMs;

/** Where the step after the one that begins at `start` begins. A day has 23 hours or more, an hour mostly 60 minutes. */
const nextStart = (start: number, step: 'hour' | 'day', zone: string): number => {
  if (zone === 'UTC') return start + (step === 'hour' ? hourMs : 24 * hourMs);
  const strideMs = step === 'hour' ? quarterMs : hourMs;
  for (let at = start + (step === 'hour' ? quarterMs : 22 * hourMs); ; at += strideMs) {
    const next = stepStart(at, step, zone);
    if (next > start) return next;
  }
};

export class Steps {
  /** Of the step that was looked at last: minutes mostly come in order. */
  #start = Number.NaN;
  #end = Number.NaN;
  readonly #ends = new Map<number, number>();

  constructor(readonly question: Pick<Question, 'from' | 'to' | 'step' | 'zone'>) {}

  /** The beginning of the step that holds a minute; a range is one step and begins at its `from`. */
  startOf(minute: number): number {
    if (minute >= this.#start && minute < this.#end) return this.#start;
    const { step, zone, from, to } = this.question;
    if (step === 'minute') return minute;
    if (step === 'range') {
      this.#start = from;
      this.#end = to;
      return from;
    }
    const start = stepStart(minute, step, zone);
    let end = this.#ends.get(start);
    if (end === undefined) {
      end = nextStart(start, step, zone);
      this.#ends.set(start, end);
    }
    this.#start = start;
    this.#end = end;
    return start;
  }

  /** The part of [start, end) for which sums by UTC hour serve as well as minutes: no step begins or ends within an hour of it. */
  hoursWithin(start: number, end: number): readonly [from: number, to: number] {
    const { step } = this.question;
    const from = Math.ceil(Math.max(start, this.question.from) / hourMs) * hourMs;
    const to = Math.floor(Math.min(end, this.question.to) / hourMs) * hourMs;
    if (step === 'minute' || from >= to) return [start, start];
    if (step === 'range') return [from, to];
    for (let at = from; at < to; at = this.#end) {
      this.startOf(at);
      if (this.#end % hourMs !== 0 || this.#start % hourMs !== 0) return [start, start];
    }
    return [from, to];
  }
}
