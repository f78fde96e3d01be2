/**
 * Who publishes: sources with an id and a count of their readings, which keep each until it is named in an acknowledgement,
 * and one that has neither.
 */
import { readReadingSealed } from '../../protocol/messages/readers.js';
import type { Random } from '../chaos/random.js';
import type { Oracle } from './oracle.js';

type Kind = 'record' | 'refused' | 'empty';

interface Item {
  readonly n: number;
  readonly line: string;
  readonly kind: Kind;
  readonly uid: number;
}

export interface Published {
  readonly subject: string;
  readonly body: string;
  readonly headers: Record<string, string>;
  readonly isPlain: boolean;
}

export interface SourceWorld {
  readonly random: Random;
  readonly oracle: Oracle;
  readonly without: (rule: string) => boolean;
  readonly now: () => number;
  readonly isFaulty: () => boolean;
  /** A number for a reading, by which it is known again. */
  readonly newUid: (isPlain: boolean) => number;
}

const makeLine = (
  world: SourceWorld,
  service: string,
  host: string,
  uid: number,
  identity: { agent: string; n: number } | undefined,
): string => {
  const { random } = world;
  const at = world.now() - random.pick([0, 500, 61_000, 86_400_000, 40 * 86_400_000]);
  return JSON.stringify({
    service,
    host,
    timestamp: at,
    cpu: random.between(0, 5),
    ram: random.between(0, 5),
    disk: uid / 1e6,
    ...identity,
  });
};

export class Source {
  private readonly kept = new Map<number, Item>();
  private readonly sentAt = new Map<number, number>();
  private made = 0;
  private restarts = 0;
  /** The lowest n that it still has, once it gave some up. */
  private oldest = 0;
  /** Identity in the lines, not in the headers. */
  private readonly inLines: boolean;
  agent: string;

  constructor(
    private readonly world: SourceWorld,
    readonly subject: string,
    readonly partition: number,
    private readonly name: string,
    private left: number,
    private readonly keptMax: number,
    readonly isGappy = false,
  ) {
    this.agent = name;
    this.inLines = world.random.next() < 0.3;
  }

  get isDone(): boolean {
    return this.left === 0 && this.kept.size === 0;
  }

  get state(): string {
    return `${this.subject} ${this.agent}: ${this.left} to come, kept ${[...this.kept.keys()].join(',')}`;
  }

  /** The next message: something new, or what was not named yet. */
  next(): Published | undefined {
    const { random } = this.world;
    const resends = this.kept.size > 0 && (this.left === 0 || (!this.isGappy && random.next() < 0.3));
    if (!resends && this.left === 0) return undefined;
    const items = resends ? this.again() : this.fresh();
    const [first] = items;
    if (first === undefined) return undefined;
    for (const { n } of items) this.sentAt.set(n, this.world.now());
    const headers: Record<string, string> = {};
    if (!this.inLines) Object.assign(headers, { 'Tidemark-Agent': this.agent, 'Tidemark-N': String(first.n) });
    if (this.oldest > 0) headers['Tidemark-Oldest'] = String(Math.min(this.made + 1, ...this.kept.keys()));
    return { subject: this.subject, body: `${items.map(({ line }) => line).join('\n')}\n`, headers, isPlain: false };
  }

  private again(): Item[] {
    const { random } = this.world;
    const numbers = [...this.kept.keys()].filter((n) => this.isDue(n)).sort((a, b) => a - b);
    if (numbers.length === 0) return [];
    const from = random.pick(numbers);
    const items: Item[] = [];
    for (let n = from; this.kept.has(n) && items.length < 4; n++) items.push(this.kept.get(n) as Item);
    return items;
  }

  /** With faults at any moment; in the end only what was not named for a while, so that copies do not crowd out everything else. */
  private isDue(n: number): boolean {
    return this.world.isFaulty() || (this.sentAt.get(n) ?? 0) < this.world.now() - 500;
  }

  private fresh(): Item[] {
    const { random } = this.world;
    const items = Array.from({ length: Math.min(this.left, this.isGappy ? 1 : random.between(1, 4)) }, () => this.make());
    this.left -= items.length;
    for (const item of items) this.kept.set(item.n, item);
    this.giveUp();
    if (this.isGappy) this.skipOne();
    return items.filter(({ n }) => this.kept.has(n));
  }

  private make(): Item {
    const { world } = this;
    const n = ++this.made;
    const uid = world.newUid(false);
    const [, service, host] = this.subject.split('.') as [string, string, string];
    const chance = this.inLines ? 1 : world.random.next();
    const line = makeLine(world, service, host, uid, this.inLines ? { agent: this.agent, n } : undefined);
    if (chance < 0.1) return { n, line: '', kind: 'empty', uid };
    if (chance < 0.25) {
      world.oracle.refusedMax += 1;
      return { n, line: line.slice(0, -3), kind: 'refused', uid };
    }
    return { n, line, kind: 'record', uid };
  }

  /** B6: every other message is lost on its way, so that ranges open. */
  private skipOne(): void {
    const item = this.make();
    this.kept.set(item.n, item);
  }

  /** Kept is bounded: the oldest go, and that is said from then on. */
  private giveUp(): void {
    while (this.kept.size > this.keptMax) {
      const [first] = [...this.kept.keys()].sort((a, b) => a - b) as [number];
      this.kept.delete(first);
      if (!this.world.without('B6 not said')) this.oldest = 1;
    }
  }

  /** B7: what was kept in memory is gone, and so is the count. */
  restart(): void {
    this.kept.clear();
    this.made = 0;
    this.oldest = 0;
    this.restarts += 1;
    if (!this.world.without('B7')) this.agent = `${this.name}-${this.restarts}`;
  }

  hear(body: Uint8Array): void {
    const { subject, agent, sealed } = readReadingSealed(body);
    if (agent !== this.agent || (subject !== this.subject && !this.world.without('B3'))) return;
    for (const [n, item] of this.kept) {
      if (!sealed.some(([from, to]) => n >= from && n < to)) continue;
      this.kept.delete(n);
      const { oracle } = this.world;
      const isThere =
        oracle.isTaken(this.partition, this.subject, this.agent, n) && (item.kind !== 'record' || oracle.counted.has(item.uid));
      if (!isThere) oracle.fail('acknowledged but lost', `${this.subject} ${this.agent} ${n} (${item.kind} ${item.uid})`);
    }
  }
}

/** A `nats pub`: no agent, no n, no acknowledgement. */
export class PlainSource {
  constructor(
    private readonly world: SourceWorld,
    readonly subject: string,
    private left: number,
  ) {}

  get isDone(): boolean {
    return this.left === 0;
  }

  next(): Published & { uids: number[] } {
    const [, service, host] = this.subject.split('.') as [string, string, string];
    const uids = Array.from({ length: Math.min(this.left, this.world.random.between(1, 4)) }, () => this.world.newUid(true));
    this.left -= uids.length;
    const lines = uids.map((uid) => makeLine(this.world, service, host, uid, undefined));
    return { subject: this.subject, body: lines.join('\n'), headers: {}, isPlain: true, uids };
  }
}
