/** The Bus over NATS JetStream (@nats-io v3, server 2.15 or newer). */
import {
  AckPolicy,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  jetstream,
  jetstreamManager,
  StorageType,
  type StoredMsg,
} from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect, type Msg, type MsgHdrs, type NatsConnection, nanos, headers as newHeaders } from '@nats-io/transport-node';
import { FencedError, messageOf, OutOfReachError, RetryableError } from '../errors.js';
import type { Bucket, Bus, LogMessage, LogOptions, LogReader, PlainMessage, PublishOptions, Task } from './bus.js';
import { newInbox, readCredentials } from './credentials.js';
import { openLogReader } from './log-reader.js';
import { PublishAnswers } from './publish-answers.js';
import { gatherInPlace } from './whole-messages.js';

gatherInPlace();

export interface NatsSettings {
  nats: string;
  natsCreds?: string | undefined;
  natsCa?: string | undefined;
}

/** Options that every connection of ours has. `name` is shown by the server's monitoring. */
export const connectionOptions = (settings: NatsSettings, name: string) => ({
  servers: settings.nats.split(','),
  name,
  timeout: 5_000,
  ...(settings.natsCreds ? readCredentials(settings.natsCreds) : {}),
  ...(settings.natsCa ? { tls: { caFile: settings.natsCa } } : {}),
});

/** Opens a connection that lives once. @throws OutOfReachError */
export const openBus = async (settings: NatsSettings, name: string): Promise<Bus> => {
  let connection: NatsConnection;
  try {
    connection = await connect({ ...connectionOptions(settings, name), reconnect: false, pingInterval: 5_000, maxPingOut: 2 });
  } catch (cause) {
    throw new OutOfReachError(`no NATS server at ${settings.nats} (${messageOf(cause)}): start one, or name another by --nats`, { cause });
  }
  try {
    return new NatsBus(connection, await jetstreamManager(connection, { timeout: 5_000, checkAPI: false }));
  } catch (cause) {
    await connection.close();
    throw new OutOfReachError(`the NATS server at ${settings.nats} has no JetStream (${messageOf(cause)})`, { cause });
  }
};

/** How long all of a bucket may take. */
const allMsMax = 5_000;

const wrongLastSequence = new Set([10071, 10164]);

const toHeaders = (values: Record<string, string> | undefined): MsgHdrs | undefined => {
  if (values === undefined) return undefined;
  const result = newHeaders();
  for (const [name, value] of Object.entries(values)) result.set(name, value);
  return result;
};

const header = (from: MsgHdrs | undefined, name: string): string | undefined => {
  const value = from?.get(name);
  return value === undefined || value === '' ? undefined : value;
};

const storedMessage = (message: StoredMsg): LogMessage => ({
  subject: message.subject,
  sequence: message.seq,
  received: Math.floor(message.time.getTime()),
  body: message.data,
  hasHeaders: true,
  header: (name) => header(message.header, name),
});

const plainMessage = (message: Msg): PlainMessage => ({
  subject: message.subject,
  body: message.data,
  header: (name) => header(message.headers, name),
  respond: (body, values) => {
    const given = toHeaders(values);
    message.respond(body, given ? { headers: given } : {});
  },
});

class NatsBus implements Bus {
  readonly closed: Promise<Error | undefined>;
  private readonly js: JetStreamClient;
  private readonly answers: PublishAnswers;
  /** What waits for more than one message hears of the connection's end here. */
  private readonly whenLost = new Set<() => void>();

  constructor(
    private readonly connection: NatsConnection,
    private readonly manager: JetStreamManager,
  ) {
    this.js = jetstream(connection, { timeout: 5_000 });
    this.answers = new PublishAnswers(connection);
    this.closed = connection.closed().then(
      (error) => error ?? undefined,
      (error: Error) => error,
    );
    void this.closed.then(() => {
      for (const lost of this.whenLost) lost();
    });
  }

  get isClosed(): boolean {
    return this.connection.isClosed();
  }
  get payloadBytesMax(): number {
    return this.connection.info?.max_payload ?? 1024 * 1024;
  }

  read(stream: string, options: LogOptions): Promise<LogReader> {
    return this.reach(`reading ${stream}`, () => openLogReader(this.connection, this.manager, stream, options));
  }

  async last(stream: string, subject: string): Promise<LogMessage | undefined> {
    const message = await this.reach(`the last ${subject}`, () => this.manager.streams.getMessage(stream, { last_by_subj: subject }));
    return message ? storedMessage(message) : undefined;
  }

  async at(stream: string, sequence: number): Promise<LogMessage | undefined> {
    const message = await this.reach(`${stream} at ${sequence}`, () => this.manager.streams.getMessage(stream, { seq: sequence }));
    return message ? storedMessage(message) : undefined;
  }

  async extent(stream: string) {
    const { state } = await this.reach(`the extent of ${stream}`, () => this.manager.streams.info(stream));
    return { first: state.first_seq, last: state.last_seq, messages: state.messages, bytes: state.bytes };
  }

  async logs() {
    return this.reach('the list of logs', async () => {
      const found: { name: string; messages: number; bytes: number; bytesMax: number }[] = [];
      for await (const { config, state } of this.manager.streams.list()) {
        if (config.name.startsWith('KV_')) continue;
        found.push({ name: config.name, messages: state.messages, bytes: state.bytes, bytesMax: config.max_bytes });
      }
      return found.sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  async publish(subject: string, body: Uint8Array | string, options: PublishOptions = {}): Promise<number> {
    const values: Record<string, string> = { ...options.headers };
    if (options.expectedLast !== undefined) values['Nats-Expected-Last-Subject-Sequence'] = String(options.expectedLast);
    if (options.expectedFilter !== undefined) values['Nats-Expected-Last-Subject-Sequence-Subject'] = options.expectedFilter;
    if (options.id !== undefined) values['Nats-Msg-Id'] = options.id;
    const given = Object.keys(values).length > 0 ? toHeaders(values) : undefined;
    const answer = await this.answers.request(subject, body, given, options.timeoutMs ?? 5_000);
    const told = answer.json<{ seq?: number; error?: { err_code: number; description: string } }>();
    if (told.seq !== undefined && told.error === undefined) return told.seq;
    const reason = told.error?.description ?? 'an answer without a sequence';
    if (wrongLastSequence.has(told.error?.err_code ?? 0)) throw new FencedError(`publishing ${subject}: ${reason}`);
    throw new RetryableError(`publishing ${subject}: refused: ${reason}`, { code: 'E_REFUSED' });
  }

  async purge(stream: string, filter: string, below: number): Promise<void> {
    await this.reach(`purging ${stream}`, () => this.manager.streams.purge(stream, { filter, seq: below }));
  }

  async tasks(stream: string, queue: string, filter: string, options: { ackWaitMs: number }) {
    const wanted = {
      durable_name: queue,
      filter_subject: filter,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(options.ackWaitMs),
      deliver_policy: DeliverPolicy.All,
      max_ack_pending: 1_000,
    };
    await this.reach(`joining the queue ${queue}`, async () => {
      const there = await this.manager.consumers.info(stream, queue).catch(() => undefined);
      if (there === undefined) await this.manager.consumers.add(stream, wanted);
      else if (there.config.ack_wait !== wanted.ack_wait) await this.manager.consumers.update(stream, queue, wanted); // the last setting counts
    });
    const consumer = await this.js.consumers.get(stream, queue);
    let isOpen = true;
    const connection = this.connection;
    const next = async function* (): AsyncGenerator<Task> {
      while (isOpen && !connection.isClosed()) {
        const message = await consumer.next({ expires: 2_000 });
        if (message !== null) yield task(message);
      }
    };
    return Object.assign(next(), {
      close: async () => {
        isOpen = false;
      },
    });
  }

  tell(subject: string, body: Uint8Array | string, values?: Record<string, string>): void {
    const given = toHeaders(values);
    this.connection.publish(subject, body, given ? { headers: given } : {});
  }

  hear(subject: string, heard: (message: PlainMessage) => void, options: { queue?: string } = {}): () => void {
    const subscription = this.connection.subscribe(subject, {
      ...options,
      callback: (error, message) => {
        if (!error) heard(plainMessage(message));
      },
    });
    return () => subscription.unsubscribe();
  }

  async *ask(subject: string, body: Uint8Array | string, options: { timeoutMs: number }): AsyncGenerator<PlainMessage> {
    const inbox = newInbox(this.connection);
    const subscription = this.connection.subscribe(inbox);
    const answers = subscription[Symbol.asyncIterator]();
    try {
      this.connection.publish(subject, body, { reply: inbox });
      for (;;) {
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<'late'>((resolve) => {
          timer = setTimeout(() => resolve('late'), options.timeoutMs);
        });
        const next = await Promise.race([answers.next(), late]);
        clearTimeout(timer);
        if (next === 'late') throw new OutOfReachError(`${subject}: no answer within ${options.timeoutMs} ms`);
        if (next.done) throw new OutOfReachError(`${subject}: the connection was lost`);
        if (next.value.headers?.code === 503) throw new OutOfReachError(`${subject}: nobody is there to answer`);
        yield plainMessage(next.value);
      }
    } finally {
      subscription.unsubscribe();
    }
  }

  async bucket(name: string, options: { ttlMs?: number }): Promise<Bucket> {
    const kv = await this.reach(`opening the bucket ${name}`, () =>
      new Kvm(this.js).create(name, {
        history: 1,
        storage: StorageType.Memory,
        ...(options.ttlMs === undefined ? {} : { ttl: options.ttlMs }),
      }),
    );
    const direct = this.manager.direct;
    const prefix = `$KV.${name}.`;
    const unlessTaken = async (write: () => Promise<number>): Promise<number | undefined> => {
      try {
        return await write();
      } catch (error) {
        if (wrongLastSequence.has((error as { code?: number }).code ?? 0)) return undefined;
        throw new RetryableError(`bucket ${name}: ${messageOf(error)}`, { cause: error });
      }
    };
    return {
      get: async (key) => {
        const entry = await kv.get(key);
        return entry && entry.operation === 'PUT'
          ? { value: entry.value, revision: entry.revision, created: entry.created.getTime() }
          : undefined;
      },
      create: (key, value) => unlessTaken(() => kv.create(key, value)),
      update: (key, value, revision) => unlessTaken(() => kv.update(key, value, revision)),
      put: (key, value) => kv.put(key, value),
      remove: (key) => kv.delete(key),
      all: async () => {
        const found = new Map<string, { value: Uint8Array; revision: number; created: number }>();
        const messages = await direct.getLastMessagesFor(`KV_${name}`, { multi_last: [`${prefix}>`] });
        // The library bounds the wait for the first message alone: a server that stops behind it would never be given up.
        const giveUp = (why: string): void => messages.stop(new RetryableError(`bucket ${name}: ${why}`));
        const timer = setTimeout(() => giveUp(`not whole within ${allMsMax} ms`), allMsMax);
        const lost = (): void => giveUp('the connection was lost');
        this.whenLost.add(lost);
        try {
          for await (const m of messages) {
            if (header(m.header, 'KV-Operation') !== undefined) continue; // a deletion
            found.set(m.subject.slice(prefix.length), { value: m.data, revision: m.seq, created: m.time.getTime() });
          }
        } catch (error) {
          if (!/no results|not found|404/i.test(messageOf(error))) throw error; // an empty bucket is no error
        } finally {
          clearTimeout(timer);
          this.whenLost.delete(lost);
        }
        return found;
      },
    };
  }

  flush(): Promise<void> {
    return this.connection.flush();
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  private async reach<T>(what: string, use: () => Promise<T>): Promise<T> {
    try {
      return await use();
    } catch (cause) {
      throw new RetryableError(`${what}: ${messageOf(cause)}`, { cause });
    }
  }
}

const task = (message: JsMsg): Task => ({
  message: {
    subject: message.subject,
    sequence: message.seq,
    received: Math.floor(message.info.timestampNanos / 1e6),
    body: message.data,
    hasHeaders: message.headers !== undefined,
    header: (name) => header(message.headers, name),
  },
  deliveries: message.info.deliveryCount,
  working: () => message.working(),
  done: async () => {
    await message.ackAck();
  },
  release: (delayMs) => message.nak(delayMs),
});
