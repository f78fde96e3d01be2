/**
 * A source that wants to be sure: it publishes readings on one subject under an id of its own, counts them (n), and keeps
 * each until `reading.sealed.<agent>` names its n.
 *
 * B3  It heeds only acknowledgements that name its subject and its agent.
 * B6  What it cannot keep any longer is counted, and from then on every message says the lowest n that it still has.
 * C1  What is not acknowledged in time is sent again, and everything that is kept at once after a new connection.
 * C2  What it holds is bounded, and so is what is unanswered on the way to METRICS.
 *
 * In time means: `resendAfterMs` after it was sent something later was acknowledged, or nothing at all was. METRICS keeps
 * the order of a connection, so what only waits in line behind others needs no copy. Without an answer the pause doubles.
 */
import { type Msg, type NatsConnection, headers as newHeaders, type Subscription } from '@nats-io/transport-node';
import { readReadingSealed } from '../../protocol/messages/readers.js';
import type { ReadingSealed } from '../../protocol/messages/reading-sealed.js';
import { encodeName } from '../../protocol/name-code.js';
import { countRanges, type Ranges } from '../../protocol/range.js';
import { UsageError } from '../errors.js';
import { type KeptMessage, KeptReadings, newlyIn } from './kept-readings.js';
import { type PublishWindow, type WindowListener, windowOf } from './publish-window.js';

export interface SourceOptions {
  connection: NatsConnection;
  /** `metrics.<service>.<host>` with name codes, or `metrics.<name>`. */
  subject: string;
  /** New at each start of the source, unless it keeps both its n and its readings durably (B7). */
  agent: string;
  /** The n of the first reading. Default 1. */
  firstN?: number;
  /**
   * Where agent and n stand. headers (default): any line may be sent, also one that is no JSON. lines: in each line, which must be
   * a JSON object of one's own making; half of the cost where a message has one line.
   */
  identity?: 'headers' | 'lines';
  keptReadingsMax?: number;
  keptBytesMax?: number;
  resendAfterMs?: number;
  /** Of the whole connection; the first source on it decides. */
  unansweredMax?: number;
  /** Each acknowledgement, with the messages that it made whole. */
  onAcknowledged?: (acknowledgement: ReadingSealed, named: readonly KeptMessage[]) => void;
  /** What was acknowledged before no longer is: the log has lost its tail. To be said aloud. */
  onShrunk?: (before: Ranges, after: Ranges) => void;
  /** What the acknowledgement warns of (B7). Default: a warning of the process. */
  onWarning?: (warning: string) => void;
}

export interface SourceCounts {
  /** Readings that were handed in, and had not been sealed before. */
  added: number;
  /** Readings that were handed in and had been sealed already: not sent. */
  known: number;
  /** Named by the acknowledgement, refused ones included. */
  sealed: number;
  /** By reason, as the acknowledgements told. */
  refused: Record<string, number>;
  /** Messages that were sent again. */
  copies: number;
  /** Readings that had to go before they were acknowledged. */
  givenUp: number;
  /** Readings that are kept now. */
  kept: number;
  /** Answers of METRICS that it had no room, or was not there; of the whole connection. */
  turnedAway: number;
}

/** A reading's line. Bytes go as they are. */
export type Line = string | Uint8Array;

export interface Source {
  readonly subject: string;
  readonly agent: string;
  /** One line, or several in one message, without line breaks of their own, as text or UTF-8. Never waits; see `room`. */
  add(lines: Line | readonly Line[]): void;
  /** Whether more can be added without anything having to go, and would be sent now. */
  readonly hasRoom: boolean;
  room(): Promise<void>;
  /** Resolves when all that was added is sealed (or given up). */
  drained(): Promise<void>;
  /** Resolves with the next acknowledgement. */
  acknowledged(): Promise<ReadingSealed>;
  /** Sends this line once more under an n that was given before: whoever sealed it answers again (B2). */
  ask(n: number, line: string): void;
  readonly sealed: Ranges;
  /** What was acknowledged so far is below this offset of this partition: ask with `after` to read it. */
  readonly reached: { readonly partition: number; readonly offset: number } | undefined;
  /** Whether n was sent and is not acknowledged yet. */
  holds(n: number): boolean;
  readonly counts: SourceCounts;
  /** Stops listening; what is kept is no longer sent. */
  close(): void;
}

const pauseMsMax = 30_000;
const lookEveryMs = 250;
/** Messages that are sent again at once for want of an acknowledgement; the next ones follow at the next look. */
const copiesAtOnceMax = 500;

/** A final line break makes no line (B8): an empty last line needs one of its own. */
const encodeLines = (lines: readonly Line[]): Uint8Array => {
  if (!lines.every((line) => typeof line === 'string')) return encodeBytes(lines);
  const text = lines.length === 1 ? (lines[0] as string) : lines.join('\n');
  return Buffer.from(text === '' || text.endsWith('\n') ? `${text}\n` : text);
};

const lineFeed = Buffer.from('\n');

const encodeBytes = (lines: readonly Line[]): Uint8Array => {
  const pieces = lines.flatMap((line, i) => (i === 0 ? [Buffer.from(line)] : [lineFeed, Buffer.from(line)]));
  if (pieces.at(-1)?.length === 0 || lines.length === 0) pieces.push(lineFeed);
  return Buffer.concat(pieces);
};

/** A line without a line break of its own. */
const textOf = (line: Line): string => (typeof line === 'string' ? line : Buffer.from(line).toString('utf8'));

export const openSource = (options: SourceOptions): Source => new NatsSource(options);

class NatsSource implements Source, WindowListener {
  readonly subject: string;
  readonly agent: string;
  readonly counts: SourceCounts = {
    added: 0,
    known: 0,
    sealed: 0,
    refused: {},
    copies: 0,
    givenUp: 0,
    kept: 0,
    turnedAway: 0,
  };
  sealed: Ranges = [];
  reached: { partition: number; offset: number } | undefined;

  private readonly agentText: string;
  private readonly kept = new KeptReadings();
  private readonly keptReadingsMax: number;
  private readonly keptBytesMax: number;
  private readonly resendAfterMs: number;
  private readonly window: PublishWindow;
  private readonly subscription: Subscription;
  private readonly stopListening: () => void;
  private readonly timer: NodeJS.Timeout;
  private nextN: number;
  private pauseMs: number;
  private progressAtMs = Date.now();
  /** What was sent before is overdue, whatever its n: nothing was acknowledged for a whole pause. */
  private overdueBeforeMs = 0;
  private hasGivenUp = false;
  private roomWaiters: (() => void)[] = [];
  private drainWaiters: (() => void)[] = [];
  private acknowledgedWaiters: ((acknowledgement: ReadingSealed) => void)[] = [];

  constructor(private readonly options: SourceOptions) {
    this.subject = options.subject;
    this.agent = options.agent;
    this.agentText = JSON.stringify(options.agent);
    this.nextN = options.firstN ?? 1;
    this.keptReadingsMax = options.keptReadingsMax ?? 100_000;
    this.keptBytesMax = options.keptBytesMax ?? 64 * 1024 * 1024;
    this.resendAfterMs = options.resendAfterMs ?? 5_000;
    this.pauseMs = this.resendAfterMs;
    this.window = windowOf(options.connection, options.unansweredMax ?? 4_000);
    this.subscription = options.connection.subscribe(`reading.sealed.${encodeName(options.agent)}`, {
      callback: (error, message) => {
        if (error === null) this.heard(message);
      },
    });
    this.stopListening = this.window.listen(this);
    this.timer = setInterval(() => this.look(), Math.min(lookEveryMs, this.resendAfterMs));
    this.timer.unref();
  }

  get hasRoom(): boolean {
    return this.kept.readings < this.keptReadingsMax && this.kept.bytes < this.keptBytesMax && !this.kept.hasUnsent;
  }

  add(given: Line | readonly Line[]): void {
    const lines = typeof given === 'string' || given instanceof Uint8Array ? [given] : given;
    const count = lines.length;
    const n = this.nextN;
    this.nextN += count;
    const known = this.sealed.length === 0 ? 0 : this.countSealed(n, n + count);
    this.counts.known += known;
    this.counts.added += count - known;
    if (known === count) return;
    if (this.kept.readings === 0) this.progressAtMs = Date.now(); // nothing was waited for until now
    this.kept.add(n, count, this.encode(n, lines));
    while (this.kept.readings > this.keptReadingsMax || this.kept.bytes > this.keptBytesMax) this.giveUpOldest();
    this.sendMore();
  }

  room(): Promise<void> {
    if (this.hasRoom) return Promise.resolve();
    return new Promise((resolve) => this.roomWaiters.push(resolve));
  }

  drained(): Promise<void> {
    if (this.kept.readings === 0) return Promise.resolve();
    return new Promise((resolve) => this.drainWaiters.push(resolve));
  }

  acknowledged(): Promise<ReadingSealed> {
    return new Promise((resolve) => this.acknowledgedWaiters.push(resolve));
  }

  ask(n: number, line: string): void {
    if (!(n >= 1 && n < this.nextN)) throw new UsageError(`n ${n} was not given yet: the next one is ${this.nextN}`);
    this.publish(n, this.encode(n, [line]));
  }

  holds(n: number): boolean {
    return this.kept.holds(n);
  }

  close(): void {
    clearInterval(this.timer);
    this.stopListening();
    if (!this.options.connection.isClosed()) this.subscription.unsubscribe();
  }

  reconnected(): void {
    // C1
    this.progress();
    this.kept.sendAllAgain();
    this.sendMore();
  }

  sendMore(): void {
    while (this.window.hasRoom) {
      // C2
      const message = this.kept.next(Date.now());
      if (message === undefined) break;
      if (message.copies > 0) this.counts.copies++;
      this.publish(message.n, message.body);
    }
    this.counts.kept = this.kept.readings;
    if (this.kept.hasUnsent) this.window.awaitRoom(this);
    else this.wake();
  }

  private encode(n: number, lines: readonly Line[]): Uint8Array {
    if (this.options.identity !== 'lines') return encodeLines(lines);
    return encodeLines(lines.map((line, i) => `${textOf(line).slice(0, -1)},"agent":${this.agentText},"n":${n + i}}`));
  }

  private publish(n: number, body: Uint8Array): void {
    if (this.options.identity === 'lines' && !this.hasGivenUp) {
      this.window.publish(this.subject, body);
      return;
    }
    const headers = newHeaders();
    headers.set('Tidemark-Agent', this.agent);
    headers.set('Tidemark-N', String(n));
    if (this.hasGivenUp) headers.set('Tidemark-Oldest', String(this.kept.oldest ?? this.nextN)); // B6
    this.window.publish(this.subject, body, headers);
  }

  private giveUpOldest(): void {
    const message = this.kept.giveUpOldest();
    if (message === undefined) return;
    this.hasGivenUp = true;
    this.counts.givenUp += message.lines - this.countSealed(message.n, message.n + message.lines);
  }

  private countSealed(from: number, to: number): number {
    const last = this.sealed.at(-1);
    if (last === undefined || from >= last[1]) return 0;
    return this.sealed.reduce((sum, range) => sum + Math.max(0, Math.min(to, range[1]) - Math.max(from, range[0])), 0);
  }

  private heard(message: Msg): void {
    let acknowledgement: ReadingSealed;
    try {
      acknowledgement = readReadingSealed(message.data);
    } catch {
      return; // whatever it is, it acknowledges nothing
    }
    if (acknowledgement.subject !== this.subject || acknowledgement.agent !== this.agent) return; // B3
    const before = this.sealed;
    const after = acknowledgement.sealed;
    const fresh = newlyIn(after, before);
    this.sealed = after;
    const { partition, offset } = acknowledgement;
    if (offset >= (this.reached?.offset ?? 0)) this.reached = { partition, offset };
    this.counts.sealed = countRanges(after);
    for (const { reason } of acknowledgement.refused) this.counts.refused[reason] = (this.counts.refused[reason] ?? 0) + 1;
    const named = this.kept.seal(after, fresh);
    if (fresh.length > 0) this.progress();
    this.counts.kept = this.kept.readings;
    if (newlyIn(before, after).length > 0) this.options.onShrunk?.(before, after);
    if (acknowledgement.warning !== undefined) this.warn(acknowledgement.warning);
    this.options.onAcknowledged?.(acknowledgement, named);
    for (const resolve of this.acknowledgedWaiters.splice(0)) resolve(acknowledgement);
    this.wake();
  }

  private warn(warning: string): void {
    const { onWarning = (text: string) => process.emitWarning(text, 'TidemarkWarning') } = this.options;
    onWarning(`${this.subject}, agent ${this.agentText}: ${warning}`);
  }

  private wake(): void {
    if (this.roomWaiters.length > 0 && this.hasRoom) for (const resolve of this.roomWaiters.splice(0)) resolve();
    if (this.drainWaiters.length > 0 && this.kept.readings === 0) for (const resolve of this.drainWaiters.splice(0)) resolve();
  }

  /** C1: holes below what is acknowledged, and everything when nothing was acknowledged for as long as the pause. */
  private look(): void {
    this.counts.turnedAway = this.window.turnedAway;
    if (this.kept.readings === 0) return;
    const now = Date.now();
    if (now - this.progressAtMs >= this.pauseMs) {
      this.overdueBeforeMs = now - this.pauseMs;
      this.pauseMs = Math.min(this.pauseMs * 2, pauseMsMax);
      this.progressAtMs = now;
    }
    this.kept.sendAgain(this.overdueBeforeMs, Number.MAX_SAFE_INTEGER, copiesAtOnceMax);
    this.kept.sendAgain(now - this.resendAfterMs, this.sealed.at(-1)?.[1] ?? 0, copiesAtOnceMax);
    this.sendMore();
  }

  private progress(): void {
    this.progressAtMs = Date.now();
    this.pauseMs = this.resendAfterMs;
    this.overdueBeforeMs = 0;
  }
}
