/** What `doctor` finds out: one line for each thing it looks at. */
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { within } from '../../infra/within.js';

export interface Finding {
  /** What was looked at, in a word or two. */
  readonly what: string;
  /** `warn`: it works, but not as well or not for long. `fail`: it does not work. */
  readonly state: 'ok' | 'warn' | 'fail';
  /** What is there. */
  readonly found: string;
  /** What to do about it; empty if ok. */
  readonly mend: string;
}

export const ok = (what: string, found: string): Finding => ({ what, state: 'ok', found, mend: '' });
export const warn = (what: string, found: string, mend: string): Finding => ({ what, state: 'warn', found, mend });
export const fail = (what: string, found: string, mend: string): Finding => ({ what, state: 'fail', found, mend });

const lookMsMax = 10_000;

/** Looks, with a bound; what goes wrong on the way is a finding too. */
export const look = async (what: string, mend: string, see: () => Promise<Finding | Finding[]>): Promise<Finding[]> => {
  try {
    return [await within(see(), lookMsMax, () => new OutOfReachError(`no answer within ${lookMsMax / 1000} s`))].flat();
  } catch (error) {
    return [fail(what, messageOf(error), mend)];
  }
};
