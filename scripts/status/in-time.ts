/** Reading many things at once, each with a bound of its own: what could not be read in time is said, and holds up nothing. */
import { messageOf, RetryableError } from '../../infra/errors.js';
import { within } from '../../infra/within.js';

/** @throws RetryableError when it takes longer than `ms` */
export const inTime = <T>(reading: Promise<T>, ms: number): Promise<T> =>
  within(reading, ms, () => new RetryableError(`no answer within ${ms} ms`));

export class Readings {
  /** What could not be read, and why. */
  readonly unread: string[] = [];

  constructor(private readonly until: number) {}

  /** @returns undefined, and says so, when it fails or is not here in time. */
  async read<T>(what: string, reading: () => Promise<T>): Promise<T | undefined> {
    try {
      return await inTime(reading(), this.until - Date.now());
    } catch (error) {
      this.unread.push(`${what}: ${messageOf(error)}`);
      return undefined;
    }
  }
}
