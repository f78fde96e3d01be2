/**
 * Publishing to METRICS with at most so many unanswered, shared by all sources of a connection. Publishes without any answer
 * vanish without a sign when the stream's intake is full; with one at least each 256 messages none did. METRICS keeps the order
 * of a connection, so every 64th message asks for an answer and it stands for those before it; one wildcard subscription counts
 * them, without a promise or a timer per message.
 *
 * An answer says that METRICS has the message, or has not; only `reading.sealed` acknowledges it.
 */
import type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { newInbox } from '../bus/credentials.js';

/** What a source wants to hear of its connection. */
export interface WindowListener {
  /** There is room again. */
  sendMore(): void;
  /** A new connection: what was under way on the old one may be lost. */
  reconnected(): void;
}

export interface PublishWindow {
  readonly hasRoom: boolean;
  /** How many answers said that METRICS has not taken the message: it is full, or not there. */
  readonly turnedAway: number;
  publish(subject: string, body: Uint8Array, headers?: MsgHdrs): void;
  /** Calls `sendMore` once, when there is some. */
  awaitRoom(listener: WindowListener): void;
  /** @returns how to stop listening. */
  listen(listener: WindowListener): () => void;
}

/** After METRICS refused something, nothing is sent for this long, and then little until it takes something again. */
const pauseMs = 250;
const unansweredWhileRefused = 64;
/** One in so many messages asks, one in so many bytes, and one after so long. */
const answerEveryMessages = 64;
const answerEveryBytes = 256 * 1024;
const answerEveryMs = 100;
/** Answers that are not here after this long are lost, and no longer waited for. */
const answerLostAfterMs = 2_000;

const windows = new WeakMap<NatsConnection, Window>();

/** The window of a connection; the first caller says how wide it is. */
export const windowOf = (connection: NatsConnection, unansweredMax: number): PublishWindow => {
  let window = windows.get(connection);
  if (window === undefined) {
    window = new Window(connection, unansweredMax);
    windows.set(connection, window);
  }
  return window;
};

/** {"error":… is how JetStream begins a refusal; no body at all: nobody listens on the subject. */
const isRefusal = (body: Uint8Array): boolean => body.length < 4 || (body[2] === 0x65 && body[3] === 0x72);

class Window implements PublishWindow {
  turnedAway = 0;
  /** Messages that an answer is due for, and how many each of the next answers stands for. */
  private unanswered = 0;
  private standsFor: number[] = [];
  /** Published since the last one that asked. */
  private unasked = 0;
  private unaskedBytes = 0;
  private askedAtMs = 0;
  private readonly askEveryMessages: number;
  private connected = true;
  private refused = false;
  private pausedUntilMs = 0;
  private answeredAtMs = 0;
  /** Answers to what was published before this generation are not counted. */
  private generation = 0;
  private readonly inbox: string;
  private reply: string;
  private readonly listeners = new Set<WindowListener>();
  private readonly waiting = new Set<WindowListener>();
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly connection: NatsConnection,
    private readonly unansweredMax: number,
  ) {
    this.inbox = newInbox(connection);
    this.reply = `${this.inbox}.0`;
    this.askEveryMessages = Math.max(1, Math.min(answerEveryMessages, Math.floor(unansweredMax / 16)));
    connection.subscribe(`${this.inbox}.*`, { callback: (_error, answer) => this.answered(answer) });
    this.timer = setInterval(() => this.look(), pauseMs);
    this.timer.unref();
    void this.followStatus();
  }

  get hasRoom(): boolean {
    if (!this.connected || this.connection.isClosed()) return false;
    if (this.refused) return this.unanswered < unansweredWhileRefused && Date.now() >= this.pausedUntilMs;
    return this.unanswered < this.unansweredMax;
  }

  publish(subject: string, body: Uint8Array, headers?: MsgHdrs): void {
    this.unasked += 1;
    this.unaskedBytes += body.byteLength;
    const now = Date.now();
    const asks =
      this.refused ||
      this.unasked >= this.askEveryMessages ||
      this.unaskedBytes >= answerEveryBytes ||
      now - this.askedAtMs >= answerEveryMs;
    if (asks) this.ask(now);
    const options = { ...(asks ? { reply: this.reply } : {}), ...(headers === undefined ? {} : { headers }) };
    this.connection.publish(subject, body, options);
  }

  private ask(now: number): void {
    if (this.unanswered === 0) this.answeredAtMs = now;
    this.askedAtMs = now;
    this.unanswered += this.unasked;
    this.standsFor.push(this.unasked);
    this.unasked = 0;
    this.unaskedBytes = 0;
  }

  awaitRoom(listener: WindowListener): void {
    this.waiting.add(listener);
  }

  listen(listener: WindowListener): () => void {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
      this.waiting.delete(listener);
    };
  }

  private answered(answer: Msg): void {
    if (answer.subject !== this.reply) return;
    const wasFull = !this.hasRoom;
    this.unanswered -= this.standsFor.shift() ?? 0;
    this.answeredAtMs = Date.now();
    this.refused = isRefusal(answer.data);
    if (this.refused) {
      this.turnedAway++;
      this.pausedUntilMs = Date.now() + pauseMs;
    } else if (wasFull && this.hasRoom) {
      this.tellRoom();
    }
  }

  private look(): void {
    if (this.unanswered > 0 && Date.now() - this.answeredAtMs > answerLostAfterMs) this.forgetUnanswered();
    if (this.hasRoom) this.tellRoom();
  }

  private forgetUnanswered(): void {
    this.generation++;
    this.reply = `${this.inbox}.${this.generation}`;
    this.unanswered = 0;
    this.standsFor = [];
    this.unasked = 0;
    this.unaskedBytes = 0;
  }

  private tellRoom(): void {
    for (const listener of this.waiting) {
      if (!this.hasRoom) return;
      this.waiting.delete(listener); // it comes back, behind the others, if it has more than fits
      listener.sendMore();
    }
  }

  private async followStatus(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect') {
        this.connected = false;
      } else if (status.type === 'reconnect') {
        this.connected = true;
        this.refused = false;
        this.forgetUnanswered();
        for (const listener of this.listeners) listener.reconnected();
      }
    }
    clearInterval(this.timer);
  }
}
