/**
 * Answers to publishes, by one subscription for all of a connection. The client library's own request makes an error, for its
 * stack, and a timer for each one, whether anything goes wrong or not.
 */
import type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { RetryableError } from '../errors.js';
import { newInbox } from './credentials.js';

interface Waiting {
  readonly subject: string;
  readonly until: number;
  readonly resolve: (answer: Msg) => void;
  readonly reject: (error: RetryableError) => void;
}

const lookEveryMs = 250;

export class PublishAnswers {
  private readonly prefix: string;
  private readonly waiting = new Map<string, Waiting>();
  private timer: NodeJS.Timeout | undefined;
  private next = 0;

  constructor(private readonly connection: NatsConnection) {
    this.prefix = `${newInbox(connection)}.`;
    connection.subscribe(`${this.prefix}*`, {
      callback: (error, message) => {
        if (error === null) this.heard(message);
      },
    });
    const lost = (): void => this.fail(() => true, 'the connection was lost');
    connection.closed().then(lost, lost);
  }

  /** @throws RetryableError without an answer in time, or when nothing listens: it may have arrived all the same. */
  request(subject: string, body: Uint8Array | string, headers: MsgHdrs | undefined, timeoutMs: number): Promise<Msg> {
    return new Promise((resolve, reject) => {
      const token = String(this.next++);
      this.waiting.set(token, { subject, until: Date.now() + timeoutMs, resolve, reject });
      this.timer ??= setInterval(() => this.look(), lookEveryMs);
      try {
        const reply = this.prefix + token;
        this.connection.publish(subject, body, headers === undefined ? { reply } : { reply, headers });
      } catch (cause) {
        this.waiting.delete(token);
        reject(new RetryableError(`publishing ${subject}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause }));
      }
    });
  }

  private heard(message: Msg): void {
    const token = message.subject.slice(this.prefix.length);
    const waiting = this.waiting.get(token);
    if (waiting === undefined) return;
    this.waiting.delete(token);
    if (message.headers?.code === 503) waiting.reject(new RetryableError(`publishing ${waiting.subject}: no stream takes it`));
    else waiting.resolve(message);
  }

  private look(): void {
    const now = Date.now();
    this.fail((waiting) => waiting.until <= now, 'no answer in time');
    if (this.waiting.size === 0) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
  }

  private fail(isConcerned: (waiting: Waiting) => boolean, reason: string): void {
    for (const [token, waiting] of this.waiting) {
      if (!isConcerned(waiting)) continue;
      this.waiting.delete(token);
      waiting.reject(new RetryableError(`publishing ${waiting.subject}: ${reason}; it may be there all the same`));
    }
  }
}
