/**
 * Pulls one log in order with a bound on what is held here.
 *
 * The client library's own `consume` asks for more when a message arrives, not when it was taken, so a slow reader would
 * gather a whole backlog in memory. This one asks for as much as it has room for: messages held and asked for together
 * stay within `held`. A gap in the delivery numbers or missing heartbeats end the reader: its owner starts again (F5).
 */

import { AckPolicy, DeliverPolicy, type JetStreamManager } from '@nats-io/jetstream';
import { type Msg, type NatsConnection, nanos, type Subscription } from '@nats-io/transport-node';
import { RetryableError } from '../errors.js';
import type { LogMessage, LogOptions, LogReader, LogStart } from './bus.js';
import { newInbox } from './credentials.js';

const heartbeatMsDefault = 2_000;
const requestMs = 30_000;
/** Of one request, and what may be held when another is made; a message has at most 1 MiB. */
const requestBytesMax = 2 * 1024 * 1024;

class PulledMessage implements LogMessage {
  constructor(
    private readonly message: Msg,
    readonly sequence: number,
    readonly received: number,
  ) {}
  get subject(): string {
    return this.message.subject;
  }
  get body(): Uint8Array {
    return this.message.data;
  }
  get hasHeaders(): boolean {
    return this.message.headers !== undefined;
  }
  header(name: string): string | undefined {
    const value = this.message.headers?.get(name);
    return value === '' ? undefined : value;
  }
}

/** What stands in a delivered message's reply subject: $JS.ACK.[domain.account.]stream.consumer.deliveries.seq.delivery.ns.pending[.x] */
const parseDelivery = (reply: string): { sequence: number; delivery: number; received: number; pending: number } => {
  // Read from its end, without splitting: this runs for every message. With a domain a token may stand behind.
  const last = reply.lastIndexOf('.');
  const end = countDots(reply) > 10 ? last : reply.length;
  const pendingAt = reply.lastIndexOf('.', end - 1);
  const timeAt = reply.lastIndexOf('.', pendingAt - 1);
  const deliveryAt = reply.lastIndexOf('.', timeAt - 1);
  const sequenceAt = reply.lastIndexOf('.', deliveryAt - 1);
  return {
    sequence: numberIn(reply, sequenceAt + 1, deliveryAt),
    delivery: numberIn(reply, deliveryAt + 1, timeAt),
    received: numberIn(reply, timeAt + 1, pendingAt - 6), // whole ms, without a detour by BigInt
    pending: numberIn(reply, pendingAt + 1, end),
  };
};

const countDots = (text: string): number => {
  let dots = 0;
  for (let at = text.indexOf('.'); at >= 0; at = text.indexOf('.', at + 1)) dots += 1;
  return dots;
};

const numberIn = (text: string, from: number, to: number): number => {
  let number = 0;
  for (let i = from; i < to; i++) number = number * 10 + text.charCodeAt(i) - 48;
  return number;
};

const deliverFrom = (start: LogStart) => {
  if (start === 'first') return { deliver_policy: DeliverPolicy.All };
  if (start === 'new') return { deliver_policy: DeliverPolicy.New };
  if ('sequence' in start) return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, start.sequence) };
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(start.time).toISOString() };
};

export const openLogReader = async (
  connection: NatsConnection,
  manager: JetStreamManager,
  stream: string,
  options: LogOptions,
): Promise<LogReader> => {
  const held = options.held ?? 2_000;
  const consumer = await manager.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    ...deliverFrom(options.start),
    ...(options.filter === undefined ? {} : { filter_subject: options.filter }),
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: nanos(60_000),
  });
  const { heartbeatMs = heartbeatMsDefault, arrived } = options;
  return new PullReader(connection, manager, stream, consumer.name, held, consumer.num_pending, heartbeatMs, arrived);
};

class PullReader implements LogReader {
  pending: number;
  private messages: PulledMessage[] = [];
  private at = 0;
  private heldBytes = 0;
  private asked = 0;
  private delivery = 0;
  private failure: Error | undefined;
  private waiting: (() => void)[] = [];
  private heardAt = Date.now();
  private readonly inbox: string;
  private readonly subscription: Subscription;
  private readonly watch: NodeJS.Timeout;

  constructor(
    private readonly connection: NatsConnection,
    private readonly manager: JetStreamManager,
    private readonly stream: string,
    private readonly consumer: string,
    private readonly held: number,
    pending: number,
    private readonly heartbeatMs: number,
    private readonly arrived: (() => void) | undefined,
  ) {
    this.pending = pending;
    this.inbox = newInbox(connection);
    this.subscription = connection.subscribe(this.inbox, { callback: (error, message) => this.heard(error, message) });
    this.watch = setInterval(() => {
      // Where nothing is asked for, since what came is not taken yet, there is nothing to hear.
      const silentMsMax = 4 * heartbeatMs;
      if (this.asked > 0 && Date.now() - this.heardAt > silentMsMax) this.fail(`nothing heard for ${silentMsMax} ms`);
    }, heartbeatMs);
    this.watch.unref();
    connection.closed().then(
      () => this.fail('its connection is closed'),
      () => this.fail('its connection is closed'),
    );
    this.request();
  }

  take(max: number, bytesMax = Number.POSITIVE_INFINITY): LogMessage[] {
    if (this.failure && this.at === this.messages.length) throw this.failure;
    let bytes = 0;
    let end = this.at;
    while (end < this.messages.length && end - this.at < max && bytes < bytesMax)
      bytes += (this.messages[end++] as PulledMessage).body.byteLength;
    const taken = this.messages.slice(this.at, end);
    this.at = end;
    this.heldBytes -= bytes;
    if (this.at === this.messages.length) {
      this.messages = [];
      this.at = 0;
    } else if (this.at > 4 * this.held) {
      this.messages = this.messages.slice(this.at);
      this.at = 0;
    }
    this.request();
    return taken;
  }

  async ready(): Promise<void> {
    if (this.at < this.messages.length || this.failure) return;
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve);
    });
  }

  async close(): Promise<void> {
    clearInterval(this.watch);
    this.failure ??= new RetryableError(`the reader of ${this.stream} was closed`);
    this.wakeWaiting();
    this.subscription.unsubscribe();
    if (!this.connection.isClosed()) await this.manager.consumers.delete(this.stream, this.consumer).catch(() => undefined);
  }

  private heard(error: Error | null, message: Msg): void {
    if (error) {
      this.fail(error.message);
      return;
    }
    this.heardAt = Date.now();
    if (message.reply === undefined || message.reply === '' || !message.reply.startsWith('$JS.ACK')) {
      this.status(message);
      return;
    }
    const { sequence, delivery, received, pending } = parseDelivery(message.reply);
    if (delivery !== this.delivery + 1) {
      this.fail(`delivery ${delivery} came after ${this.delivery}`);
      return;
    }
    this.delivery = delivery;
    this.pending = pending;
    this.asked = Math.max(0, this.asked - 1);
    this.heldBytes += message.data.byteLength;
    this.messages.push(new PulledMessage(message, sequence, received));
    this.wake();
    if (this.asked === 0) this.request();
  }

  /** Heartbeats, and the end of a request: 404 nothing there, 408 time is up, 409 its bytes are used up. */
  private status(message: Msg): void {
    const code = message.headers?.code ?? 0;
    if (code === 100) return;
    if (code === 503) {
      this.fail('nobody answers for its stream');
      return;
    }
    const description = message.headers?.description ?? '';
    if (code === 409 && /deleted|leadership|shutdown/i.test(description)) {
      this.fail(description);
      return;
    }
    if (code === 400) {
      this.fail(description);
      return;
    }
    const left = Number(message.headers?.get('Nats-Pending-Messages') || this.asked);
    this.asked = Math.max(0, this.asked - left);
    this.request();
  }

  /** Asks for as much as there is room for, once half of the room is free. */
  private request(): void {
    if (this.failure || this.connection.isClosed()) return;
    const here = this.messages.length - this.at;
    const room = this.held - here - this.asked;
    if (room < this.held / 2 || this.heldBytes >= requestBytesMax) return;
    if (this.asked === 0) this.heardAt = Date.now();
    this.asked += room;
    this.connection.publish(
      `$JS.API.CONSUMER.MSG.NEXT.${this.stream}.${this.consumer}`,
      JSON.stringify({ batch: room, max_bytes: requestBytesMax, expires: nanos(requestMs), idle_heartbeat: nanos(this.heartbeatMs) }),
      { reply: this.inbox },
    );
  }

  private fail(reason: string): void {
    if (this.failure) return;
    clearInterval(this.watch);
    this.failure = new RetryableError(`reading ${this.stream}: ${reason}`);
    this.wake();
  }

  private wake(): void {
    this.arrived?.();
    this.wakeWaiting();
  }

  private wakeWaiting(): void {
    if (this.waiting.length === 0) return;
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
