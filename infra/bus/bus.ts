/**
 * The bus: logs (JetStream streams), plain messages and questions, over one connection that never reconnects by itself.
 * When the connection is lost it is closed for good, and so is everything that was opened on it: an owner starts again
 * from its own last output on a new one (F5).
 */

/** One message of a log. */
export interface LogMessage {
  readonly subject: string;
  readonly sequence: number;
  /** Receipt time, ms since 1970. */
  readonly received: number;
  readonly body: Uint8Array;
  /** Whether it has any: looking is cheaper than reading them. */
  readonly hasHeaders: boolean;
  header(name: string): string | undefined;
}

/** One message that is in no log: heard, or an answer. */
export interface PlainMessage {
  readonly subject: string;
  readonly body: Uint8Array;
  header(name: string): string | undefined;
  /** Answers whoever asked; nothing if nobody did. */
  respond(body: Uint8Array | string, headers?: Record<string, string>): void;
}

/** Where to begin: with this sequence, with the first message received at or after this time (ms), or with what comes next. */
export type LogStart = { sequence: number } | { time: number } | 'first' | 'new';

export interface LogOptions {
  filter?: string;
  start: LogStart;
  /** How many messages may be held here and asked for together. */
  held?: number;
  /** How often the server says that it is there while nothing comes; after four in vain the reader is lost. Default 2,000 ms. */
  heartbeatMs?: number;
  /** Called whenever something arrived, or the reader was lost. */
  arrived?: () => void;
}

/** Pulls one log in order, many messages at once, with a bound on what is held. */
export interface LogReader {
  /**
   * Up to `max` of the messages that are here, in order, and no more once they have `bytesMax` together; maybe none.
   * @throws RetryableError when all that was here is taken and the reader or its connection is lost.
   */
  take(max: number, bytesMax?: number): LogMessage[];
  /** Resolves when `take` would give something or throw: also when the reader is closed, or its connection. */
  ready(): Promise<void>;
  /** How many more the log had behind the newest message that arrived here. */
  readonly pending: number;
  close(): Promise<void>;
}

export interface PublishOptions {
  headers?: Record<string, string>;
  /** The sequence that the log's last message on this subject must have, 0 for none (F3). */
  expectedLast?: number;
  /** The same, for the last message over a filter, such as `batch.*` (S1). */
  expectedFilter?: string;
  /** Nats-Msg-Id: published twice within the stream's window it is stored once. */
  id?: string;
  timeoutMs?: number;
}

/** A task from a queue that any number of workers share. */
export interface Task {
  readonly message: LogMessage;
  /** How often it was handed out, this time included. */
  readonly deliveries: number;
  /** Still at it: do not give it to another. */
  working(): void;
  done(): Promise<void>;
  /** Give it back: handed out again after this long. */
  release(delayMs: number): void;
}

/** Small values that expire by themselves. */
export interface Bucket {
  get(key: string): Promise<{ value: Uint8Array; revision: number; created: number } | undefined>;
  /** @returns the revision, or undefined when the key is taken. */
  create(key: string, value: string): Promise<number | undefined>;
  /** @returns the revision, or undefined when somebody else wrote in between. */
  update(key: string, value: string, revision: number): Promise<number | undefined>;
  put(key: string, value: string): Promise<number>;
  remove(key: string): Promise<void>;
  all(): Promise<Map<string, { value: Uint8Array; revision: number; created: number }>>;
}

export interface Bus {
  /** Resolves when the connection is gone, with the reason if there is one. */
  readonly closed: Promise<Error | undefined>;
  readonly isClosed: boolean;
  /** The largest message the server takes, bytes. */
  readonly payloadBytesMax: number;

  read(stream: string, options: LogOptions): Promise<LogReader>;
  /** The last message on a subject (or filter) of a log, never a stale one. */
  last(stream: string, subject: string): Promise<LogMessage | undefined>;
  at(stream: string, sequence: number): Promise<LogMessage | undefined>;
  /** First and last sequence, messages and bytes of a log. */
  extent(stream: string): Promise<{ first: number; last: number; messages: number; bytes: number }>;
  /** Every log there is, without buckets: how full it is. `bytesMax`: -1 for no bound. */
  logs(): Promise<{ name: string; messages: number; bytes: number; bytesMax: number }[]>;
  /**
   * Publishes into a log. @returns its sequence there, once the log has it.
   * @throws FencedError when the expected last sequence is another (F3).
   * @throws RetryableError when it was refused (the log is full) or nobody answered: it may be there all the same (F2).
   */
  publish(subject: string, body: Uint8Array | string, options?: PublishOptions): Promise<number>;
  /** Removes messages of a log on a filter, strictly below a sequence. */
  purge(stream: string, filter: string, below: number): Promise<void>;
  /** The queue is made if it is not there; one that is takes this `ackWaitMs`: how long a worker may be silent about a task. */
  tasks(
    stream: string,
    queue: string,
    filter: string,
    options: { ackWaitMs: number },
  ): Promise<AsyncIterable<Task> & { close(): Promise<void> }>;

  /** Publishes outside of any log; nobody answers. */
  tell(subject: string, body: Uint8Array | string, headers?: Record<string, string>): void;
  /** Hears plain messages; with `queue`, one of the queue's members hears each. @returns how to stop. */
  hear(subject: string, heard: (message: PlainMessage) => void, options?: { queue?: string }): () => void;
  /** Asks, and gives the answers as they come, until the reader stops or `timeoutMs` passed without one. */
  ask(subject: string, body: Uint8Array | string, options: { timeoutMs: number }): AsyncIterable<PlainMessage>;
  bucket(name: string, options: { ttlMs?: number }): Promise<Bucket>;
  /** Waits until the server has everything that was told. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
