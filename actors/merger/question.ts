/** A question, checked: what view.asked means. Pure; the time is given. */
import { UsageError } from '../../infra/errors.js';
import type { Step, ViewAsked } from '../../protocol/messages/view.js';
import type { Position } from '../../protocol/range.js';
import { isZone, parseAsked } from '../../protocol/time.js';

export interface Question {
  /** ms; minutes with from <= minute < to. */
  readonly from: number;
  readonly to: number;
  /** Undefined: every service. */
  readonly services: readonly string[] | undefined;
  readonly step: Step;
  readonly zone: string;
  readonly after: Position;
  readonly waitMs: number;
  readonly shape: 'columns' | 'tuples' | 'blocks';
  readonly progress: boolean;
}

export const defaultWaitMs = 10_000;
const waitMsMax = 600_000;

/** @throws UsageError that says what is wrong with it */
export const readQuestion = (asked: ViewAsked, now: number): Question => {
  const from = readTime('from', asked.from, now);
  const to = readTime('to', asked.to, now);
  if (from >= to) throw new UsageError(`from (${asked.from}) is not before to (${asked.to})`);
  const zone = asked.zone ?? 'UTC';
  if (!isZone(zone)) throw new UsageError(`${zone} is no time zone that is known here: write a name such as Europe/Berlin`);
  const services = asked.services === undefined || asked.services.length === 0 ? undefined : [...new Set(asked.services)].sort();
  return {
    from,
    to,
    services,
    zone,
    step: asked.step ?? 'minute',
    after: asked.after ?? [],
    waitMs: Math.min(asked.waitMs ?? defaultWaitMs, waitMsMax),
    shape: asked.shape ?? 'columns',
    progress: asked.progress ?? false,
  };
};

const readTime = (name: string, value: string | number, now: number): number => {
  const at = parseAsked(value, now);
  if (at === undefined) {
    throw new UsageError(
      `${name} (${JSON.stringify(value)}) is no time: write 2026-11-23T10:15:00Z, a number of seconds or milliseconds, now, or now-6h`,
    );
  }
  return at;
};
