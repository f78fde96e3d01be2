/**
 * What one life has of the simulated world: a connection, and the files. Every call becomes a pending act; the simulation
 * decides when it is done, whether its answer comes, and whether the life is still there to hear it.
 */
import type { Bus, LogOptions, LogReader, PlainMessage, PublishOptions } from '../../infra/bus/bus.js';
import { RetryableError } from '../../infra/errors.js';
import { matches, type SimulatedLog, type StoredMessage } from './log.js';

export interface Act {
  readonly what: string;
  /** Does it; what it gives or throws is the answer. */
  readonly run: () => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** For an append: how it is done in part. */
  readonly tear?: () => void;
}

export interface Server {
  log(stream: string): SimulatedLog;
  logOf(subject: string): SimulatedLog;
  readonly now: () => number;
  /** What is sent instead: where a rule may be switched off. */
  sent(connection: Connection, subject: string, options: PublishOptions): PublishOptions;
  publish(connection: Connection, subject: string, body: Uint8Array, options: PublishOptions): number;
  /** Whether a publish without an answer is tried again with a fetched sequence (F2 switched off). */
  readonly triesAgain: boolean;
  purge(stream: string, filter: string, below: number): void;
  /** The message that a life reads at a sequence, or last: where a rule may be switched off. */
  seen(
    connection: Connection,
    stream: string,
    message: StoredMessage | undefined,
    asked: 'at' | 'last',
    key: string | number,
  ): StoredMessage | undefined;
  startOf(stream: string, options: LogOptions): number;
  tell(subject: string, body: Uint8Array): void;
}

export const bytesOf = (body: Uint8Array | string): Uint8Array => (typeof body === 'string' ? Buffer.from(body) : body);

const notSimulated = (what: string): never => {
  throw new TypeError(`${what} is not simulated`);
};

export class Connection {
  /** Sent in this order. */
  readonly requests: Act[] = [];
  readonly answers: (() => void)[] = [];
  /** Of the storage: in any order. */
  readonly files: Act[] = [];
  readonly readers = new Set<Reader>();
  readonly hearers: { subject: string; heard: (message: PlainMessage) => void }[] = [];
  readonly bus: Bus;
  /** What was the last sequence when it was opened, or was published since, by subject. */
  readonly known = new Map<string, number>();
  /** Before its life has begun. */
  isBeginning = true;
  partition = 0;
  /** F4 switched off: where SEGMENTS was before STORED was read. */
  frozen: StoredMessage | undefined;
  isClosed = false;
  /** The process is gone: nothing answers it any more. */
  isDead = false;
  private close!: (reason: Error | undefined) => void;
  private readonly closed: Promise<Error | undefined>;

  constructor(
    readonly server: Server,
    readonly name: string,
  ) {
    this.closed = new Promise((resolve) => {
      this.close = resolve;
    });
    this.bus = this.makeBus();
  }

  get hasWork(): boolean {
    return this.requests.length > 0 || this.answers.length > 0;
  }

  request<T>(what: string, run: () => T): Promise<T> {
    if (this.isDead) return new Promise(() => undefined);
    if (this.isClosed) return Promise.reject(new RetryableError(`${what}: the connection is closed`));
    return new Promise<T>((resolve, reject) => {
      this.requests.push({ what, run, resolve: resolve as (value: unknown) => void, reject });
    });
  }

  file<T>(what: string, run: () => T, tear?: () => void): Promise<T> {
    if (this.isDead) return new Promise(() => undefined);
    return new Promise<T>((resolve, reject) => {
      this.files.push({ what, run, resolve: resolve as (value: unknown) => void, reject, ...(tear ? { tear } : {}) });
    });
  }

  /** The connection is gone. @returns what was sent and not answered: some of it may land all the same. */
  lose(reason: string): Act[] {
    if (this.isClosed) return [];
    this.isClosed = true;
    const error = new RetryableError(reason);
    const sent = this.requests.splice(0);
    const answers = this.answers.splice(0);
    for (const act of sent) act.reject(error);
    for (const answer of answers) answer(); // it had arrived
    this.hearers.length = 0;
    this.close(error);
    for (const reader of this.readers) reader.wake();
    return sent;
  }

  /** The process is gone. @returns what was sent and not answered, and what was being done to files. */
  die(): { sent: Act[]; files: Act[] } {
    this.isDead = true;
    this.isClosed = true;
    this.hearers.length = 0;
    this.readers.clear();
    this.answers.length = 0;
    return { sent: this.requests.splice(0), files: this.files.splice(0) };
  }

  private makeBus(): Bus {
    const { server } = this;
    const isClosed = (): boolean => this.isClosed;
    return {
      closed: this.closed,
      get isClosed() {
        return isClosed();
      },
      payloadBytesMax: 1024 * 1024,
      read: (stream, options) =>
        this.request(`read ${stream}`, () => {
          const reader = new Reader(this, server.log(stream), options, server.startOf(stream, options));
          this.readers.add(reader);
          return reader;
        }),
      last: (stream, subject) =>
        this.request(`last ${stream} ${subject}`, () => server.seen(this, stream, server.log(stream).lastOn(subject), 'last', subject)),
      at: (stream, sequence) =>
        this.request(`at ${stream} ${sequence}`, () => server.seen(this, stream, server.log(stream).at(sequence), 'at', sequence)),
      extent: (stream) =>
        this.request(`extent ${stream}`, () => {
          const { messages, last } = server.log(stream);
          return { first: messages[0]?.sequence ?? last + 1, last, messages: messages.length, bytes: 0 };
        }),
      logs: () => notSimulated('logs'),
      publish: (subject, body, options = {}) => {
        const bytes = bytesOf(body);
        const sent = server.sent(this, subject, options);
        const publish = (): Promise<number> => this.request(`publish ${subject}`, () => server.publish(this, subject, bytes, sent));
        return server.triesAgain && sent.expectedLast !== undefined
          ? publish().catch((error: unknown) => {
              if (!(error instanceof RetryableError) || this.isClosed) throw error;
              return this.request(`publish ${subject}`, () =>
                server.publish(this, subject, bytes, {
                  ...sent,
                  expectedLast: server.logOf(subject).lastOn(sent.expectedFilter ?? subject)?.sequence ?? 0,
                }),
              );
            })
          : publish();
      },
      purge: (stream, filter, below) => this.request(`purge ${stream} ${filter} below ${below}`, () => server.purge(stream, filter, below)),
      tasks: () => notSimulated('tasks'),
      tell: (subject, body) => {
        const bytes = bytesOf(body);
        this.request(`tell ${subject}`, () => server.tell(subject, bytes)).catch(() => undefined);
      },
      hear: (subject, heard) => {
        const hearer = { subject, heard };
        this.hearers.push(hearer);
        return () => {
          const at = this.hearers.indexOf(hearer);
          if (at >= 0) this.hearers.splice(at, 1);
        };
      },
      ask: () => notSimulated('ask'),
      bucket: () => notSimulated('bucket'),
      flush: async () => undefined,
      close: async () => {
        this.lose('closed');
      },
    };
  }
}

export class Reader implements LogReader {
  private readonly here: StoredMessage[] = [];
  private waiting: (() => void)[] = [];

  constructor(
    private readonly connection: Connection,
    readonly log: SimulatedLog,
    private readonly options: LogOptions,
    private next: number,
  ) {}

  /** How many messages have not arrived yet. */
  get pending(): number {
    return this.log.messages.filter(({ sequence, subject }) => sequence >= this.next && matches(this.options.filter, subject)).length;
  }

  /** Whether a message could arrive now. */
  get isPending(): boolean {
    if (this.log.last < this.next || this.here.length >= Math.max(1, this.options.held ?? 1_000)) return false;
    const { messages } = this.log;
    for (let i = messages.length - 1; i >= 0; i--) {
      const { sequence, subject } = messages[i] as StoredMessage;
      if (sequence < this.next) return false;
      if (matches(this.options.filter, subject)) return true;
    }
    return false;
  }

  /** The next `max` messages arrive. */
  deliver(max: number): void {
    let count = 0;
    for (const message of this.log.messages) {
      if (message.sequence < this.next || count >= max) continue;
      this.next = message.sequence + 1;
      if (!matches(this.options.filter, message.subject)) continue;
      this.here.push(message);
      count += 1;
    }
    this.wake();
  }

  wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
    this.options.arrived?.();
  }

  take(max: number, bytesMax = Number.POSITIVE_INFINITY): StoredMessage[] {
    if (this.here.length === 0 && this.connection.isClosed) throw new RetryableError(`${this.log.name}: the reader is lost`);
    let bytes = 0;
    let count = 0;
    while (count < this.here.length && count < max && bytes < bytesMax) bytes += (this.here[count++] as StoredMessage).body.byteLength;
    return this.here.splice(0, count);
  }

  ready(): Promise<void> {
    if (this.here.length > 0 || this.connection.isClosed) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  async close(): Promise<void> {
    this.connection.readers.delete(this);
  }
}
