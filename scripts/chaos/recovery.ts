/** How long after the kill of an owner its partitions work again: until the next segment, commit or update of each. */
import type { NatsConnection } from '@nats-io/transport-node';
import { openBus } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { readActorStatus } from '../../protocol/messages/readers.js';
import { quantile } from '../bench/quantile.js';

/** What shows that somebody works on a partition again, by role. */
const outputs: Readonly<Record<string, string>> = {
  buffer: 'segment.sealed',
  uploader: 'raw.stored',
  windower: 'realtime.updated',
};

interface Waiting {
  readonly since: number;
  isDisturbed: boolean;
}

/** An output that comes so soon after its owner's end was under way before: a lease takes longer to expire. */
const underWayMs = 100;

export interface RecoveryTimes {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export class Recovery {
  /** Subject to the kill of its owner. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #tookMs = new Map<string, number[]>();
  readonly #disturbedMs: number[] = [];
  readonly #lastAt = new Map<string, number>();
  readonly #gapsMs = new Map<string, number>();
  #arrived: () => void = () => undefined;
  #connection: NatsConnection | undefined;

  constructor(private readonly nats: string) {}

  /** Its connection comes back by itself. */
  async start(): Promise<void> {
    this.#connection = await connectSource({ nats: this.nats }, 'recovery times');
    for (const output of Object.values(outputs)) {
      this.#connection.subscribe(`${output}.*`, { callback: (_, { subject }) => this.#works(subject) });
    }
  }

  async stop(): Promise<void> {
    await this.#connection?.close();
  }

  /** What the process of this pid works on, as its actors said last. */
  async worksOn(pid: number): Promise<string[]> {
    const bus = await openBus({ nats: this.nats }, 'recovery times').catch(() => undefined);
    try {
      const bucket = await bus?.bucket('ACTORS', { ttlMs: 60_000 });
      const statuses = [...((await bucket?.all()) ?? new Map()).values()].map(({ value }) => readActorStatus(value));
      return statuses
        .filter((status) => status.pid === pid && outputs[status.actor] !== undefined)
        .flatMap(({ actor, partitions }) => partitions.map((partition) => `${outputs[actor]}.${partition}`));
    } catch {
      return []; // the server is away: then nothing is measured
    } finally {
      await bus?.close();
    }
  }

  /** Their owner is gone. `isDisturbed`: maybe others with it, so that its successor may have to be started first. */
  killed(subjects: readonly string[], isDisturbed = false): void {
    for (const subject of subjects) this.#waiting.set(subject, { since: performance.now(), isDisturbed });
  }

  /** Another fault begins: what has not recovered yet is counted apart. */
  disturbed(): void {
    for (const waiting of this.#waiting.values()) waiting.isDisturbed = true;
  }

  /** Resolves when everything that was killed works again, or after `waitMsMax`. */
  async settled(waitMsMax = 60_000): Promise<void> {
    await this.#until(() => this.#waiting.size === 0, waitMsMax);
  }

  /** Resolves when every output that was ever seen was seen once more, or after `waitMsMax`. */
  async allWork(waitMsMax: number): Promise<void> {
    await this.eachAgain([...this.#lastAt.keys()], waitMsMax);
  }

  /** Resolves when so many partitions' outputs were seen. */
  async seenAll(count: number): Promise<void> {
    await this.#until(() => this.#lastAt.size >= count);
  }

  /** From now on: the longest silence of each output. */
  watchGaps(): void {
    this.#gapsMs.clear();
  }

  gapsMs(subjects: readonly string[]): Record<string, number> {
    return Object.fromEntries(subjects.map((subject) => [subject, Math.round(this.#gapsMs.get(subject) ?? Number.NaN)]));
  }

  /** Resolves when each of them was seen once more, or after `waitMsMax`. */
  async eachAgain(subjects: readonly string[], waitMsMax = Number.POSITIVE_INFINITY): Promise<void> {
    const since = performance.now();
    await this.#until(() => subjects.every((subject) => (this.#lastAt.get(subject) ?? 0) > since), waitMsMax);
  }

  async #until(isSo: () => boolean, waitMsMax = Number.POSITIVE_INFINITY): Promise<void> {
    let isLate = false;
    const late = Number.isFinite(waitMsMax)
      ? setTimeout(() => {
          isLate = true;
          this.#arrived();
        }, waitMsMax)
      : undefined;
    while (!isSo() && !isLate) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
    clearTimeout(late);
  }

  /** By output; `disturbed`: another fault came before it worked again. */
  get times(): Record<string, RecoveryTimes> {
    const all = Object.values(outputs).map((output) => [output, this.#tookMs.get(output) ?? []] as const);
    return Object.fromEntries([...all, ['disturbed', this.#disturbedMs] as const].map(([name, ms]) => [name, timesOf(ms)]));
  }

  #works(subject: string): void {
    const now = performance.now();
    const gapMs = now - (this.#lastAt.get(subject) ?? now);
    this.#lastAt.set(subject, now);
    this.#gapsMs.set(subject, Math.max(gapMs, this.#gapsMs.get(subject) ?? 0));
    this.#settle(subject);
    this.#arrived();
  }

  #settle(subject: string): void {
    const waiting = this.#waiting.get(subject);
    if (waiting === undefined) return;
    const ms = performance.now() - waiting.since;
    if (ms < underWayMs) return;
    this.#waiting.delete(subject);
    if (waiting.isDisturbed) {
      this.#disturbedMs.push(ms);
      return;
    }
    const output = subject.slice(0, subject.lastIndexOf('.'));
    this.#tookMs.set(output, [...(this.#tookMs.get(output) ?? []), ms]);
  }
}

export const timesOf = (ms: readonly number[]): RecoveryTimes => ({
  count: ms.length,
  p50Ms: ms.length === 0 ? 0 : Math.round(quantile([...ms], 0.5)),
  p99Ms: ms.length === 0 ? 0 : Math.round(quantile([...ms], 0.99)),
  maxMs: Math.round(Math.max(0, ...ms)),
});
