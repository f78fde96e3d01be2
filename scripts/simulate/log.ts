/** A stream in memory: subjects, sequences, receipt times, expected sequences, purges, a bound, and a tail that can be lost. */
import type { LogMessage, LogStart } from '../../infra/bus/bus.js';
import { FencedError, RetryableError } from '../../infra/errors.js';

export class StoredMessage implements LogMessage {
  constructor(
    readonly subject: string,
    readonly sequence: number,
    readonly received: number,
    readonly body: Uint8Array,
    private readonly headers: Readonly<Record<string, string>> | undefined,
    readonly id: string | undefined,
  ) {}

  get hasHeaders(): boolean {
    return this.headers !== undefined;
  }

  header(name: string): string | undefined {
    return this.headers?.[name];
  }
}

const matchers = new Map<string, (subject: string) => boolean>();

const makeMatcher = (filter: string): ((subject: string) => boolean) => {
  if (!/[*>]/.test(filter)) return (subject) => subject === filter;
  const pattern = filter
    .replace(/[.\\+^$()[\]{}|?]/g, '\\$&')
    .replaceAll('*', '[^.]+')
    .replace('>', '.+');
  const regular = new RegExp(`^${pattern}$`);
  return (subject) => regular.test(subject);
};

/** Whether a subject matches a filter of NATS: `*` is one token, `>` the rest. */
export const matches = (filter: string | undefined, subject: string): boolean => {
  if (filter === undefined) return true;
  let matcher = matchers.get(filter);
  if (matcher === undefined) {
    matcher = makeMatcher(filter);
    matchers.set(filter, matcher);
  }
  return matcher(subject);
};

export interface Put {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly received: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly expectedLast?: number | undefined;
  readonly expectedFilter?: string | undefined;
  readonly id?: string | undefined;
}

export class SimulatedLog {
  /** In order of sequence. */
  messages: StoredMessage[] = [];
  last = 0;

  constructor(
    readonly name: string,
    readonly subject: string,
    /** Its newest messages are not on disk yet: a power cut takes them. */
    readonly isAsync: boolean,
    readonly messagesMax: number,
    private readonly stored: (message: StoredMessage) => void,
  ) {}

  lastOn(filter: string): StoredMessage | undefined {
    return this.messages.findLast(({ subject }) => matches(filter, subject));
  }

  at(sequence: number): StoredMessage | undefined {
    return this.messages.find((message) => message.sequence === sequence);
  }

  /** @throws FencedError, RetryableError when it is full */
  put({ subject, body, received, headers, expectedLast, expectedFilter, id }: Put): number {
    const known = id === undefined ? undefined : this.messages.find((message) => message.id === id);
    if (known !== undefined) return known.sequence;
    if (expectedLast !== undefined) {
      const there = this.lastOn(expectedFilter ?? subject)?.sequence ?? 0;
      if (there !== expectedLast) throw new FencedError(`${subject}: last sequence is ${there}, expected ${expectedLast}`);
    }
    if (this.messages.length >= this.messagesMax) throw new RetryableError(`${this.name} is full`);
    this.last += 1;
    const message = new StoredMessage(subject, this.last, received, body, headers, id);
    this.messages.push(message);
    this.stored(message);
    return this.last;
  }

  purge(filter: string, below: number): void {
    this.messages = this.messages.filter(({ subject, sequence }) => sequence >= below || !matches(filter, subject));
  }

  /** A power cut: the sequence numbers will be given again. @returns what was lost */
  loseTail(count: number): StoredMessage[] {
    this.last = Math.max(0, this.last - count);
    const lost = this.messages.filter(({ sequence }) => sequence > this.last);
    this.messages = this.messages.filter(({ sequence }) => sequence <= this.last);
    return lost;
  }

  /** The sequence at which a reader begins. */
  startOf(start: LogStart): number {
    if (start === 'first') return 1;
    if (start === 'new') return this.last + 1;
    if ('sequence' in start) return start.sequence;
    return this.messages.find(({ received }) => received >= start.time)?.sequence ?? this.last + 1;
  }
}
