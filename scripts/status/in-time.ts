/** Reading many things at once, each with a bound of its own: what could not be read in time is said, and holds up nothing. */
import { messageOf, RetryableError } from '../../infra/errors.js';

/** @throws RetryableError when it takes longer than `ms` */
export const within = async <T>(ms: number, reading: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new RetryableError(`no answer within ${ms} ms`)), Math.max(0, ms));
  });
  reading.catch(() => undefined); // it may fail after nobody waits for it any more
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
};

export class Readings {
  /** What could not be read, and why. */
  readonly unread: string[] = [];

  constructor(private readonly until: number) {}

  /** @returns undefined, and says so, when it fails or is not here in time. */
  async read<T>(what: string, reading: () => Promise<T>): Promise<T | undefined> {
    try {
      return await within(this.until - Date.now(), reading());
    } catch (error) {
      this.unread.push(`${what}: ${messageOf(error)}`);
      return undefined;
    }
  }
}
