/**
 * Leases in a NATS KV bucket whose values live 1.5 s: an owner renews its own every 0.4 s. The bucket is polled, for an expiry
 * is not told. If a renewal did not succeed for as long as a lease lives, by this process's own clock, it counts as lost.
 */
import type { Logger } from 'pino';
import type { Bucket, Bus } from '../bus/bus.js';
import { messageOf } from '../errors.js';
import { type Coordinator, fairShare, type Membership, type MembershipCalls } from './coordinator.js';

export interface LeaseTimes {
  /** How long a lease lives without renewal. */
  ttlMs: number;
  /** How often it is renewed and the others are looked at. */
  renewMs: number;
}

/** `openBus` gives a new connection: a lost one is replaced. */
export const natsCoordinator = (openBus: () => Promise<Bus>, times: LeaseTimes, log: Logger): Coordinator => {
  const members = new Set<NatsMembership>();
  let opening: Promise<{ bus: Bus; bucket: Bucket }> | undefined;
  const bucket = async (): Promise<Bucket> => {
    opening ??= openBus().then(async (bus) => {
      void bus.closed.then(() => { opening = undefined; });
      return { bus, bucket: await bus.bucket('LEASES', { ttlMs: times.ttlMs }) };
    });
    try {
      return (await opening).bucket;
    } catch (error) {
      opening = undefined;
      throw error;
    }
  };
  return {
    join: async (role, instance, shares, calls) => {
      const member = new NatsMembership(bucket, role, instance, shares, calls, times, log, () => members.delete(member));
      members.add(member);
      member.start();
      return member;
    },
    close: async () => {
      await Promise.all([...members].map((member) => member.leave()));
      const open = await opening?.catch(() => undefined);
      await open?.bus.close();
    },
  };
};

class NatsMembership implements Membership {
  /** Share to the revision of its lease and when it was last renewed, by the monotonic clock. */
  private readonly held = new Map<number, { revision: number; renewedAt: number; wanted: boolean }>();
  private timer: NodeJS.Timeout | undefined;
  private turning: Promise<void> = Promise.resolve();
  private left = false;

  constructor(
    private readonly bucket: () => Promise<Bucket>,
    private readonly role: string,
    private readonly instance: string,
    private readonly shares: number,
    private readonly calls: MembershipCalls,
    private readonly times: LeaseTimes,
    private readonly log: Logger,
    private readonly gone: () => void,
  ) {}

  start(): void {
    this.turning = this.turn();
  }

  async release(share: number): Promise<void> {
    if (!this.held.delete(share)) return;
    await this.bucket().then((bucket) => bucket.remove(this.leaseKey(share))).catch(() => undefined); // it expires anyway
  }

  async leave(): Promise<void> {
    if (this.left) return;
    this.left = true;
    clearTimeout(this.timer);
    await this.turning;
    await Promise.all([...this.held.keys()].map((share) => this.release(share)));
    await this.bucket().then((bucket) => bucket.remove(this.memberKey)).catch(() => undefined);
    this.gone();
  }

  private get memberKey(): string { return `${this.role}.member.${this.instance}`; }
  private leaseKey(share: number): string { return `${this.role}.lease.${share}`; }

  private async turn(): Promise<void> {
    try {
      await this.look(await this.bucket());
    } catch (error) {
      this.log.warn({ role: this.role, reason: messageOf(error) }, 'leases cannot be renewed, will retry');
    }
    const now = performance.now();
    for (const [share, lease] of this.held) {
      if (now - lease.renewedAt > this.times.ttlMs) this.drop(share);
    }
    if (!this.left) this.timer = setTimeout(() => { this.turning = this.turn(); }, this.times.renewMs);
  }

  private async look(bucket: Bucket): Promise<void> {
    await bucket.put(this.memberKey, '');
    for (const [share, lease] of [...this.held]) {
      const startedAt = performance.now();
      const revision = await bucket.update(this.leaseKey(share), this.instance, lease.revision);
      if (revision === undefined) this.drop(share);
      else if (this.held.has(share)) Object.assign(lease, { revision, renewedAt: startedAt });
    }
    const all = await bucket.all();
    const memberPrefix = `${this.role}.member.`;
    const members = [...all.keys()].filter((key) => key.startsWith(memberPrefix)).sort();
    const index = members.indexOf(this.memberKey);
    if (index < 0) return; // not seen yet: the next turn decides
    const fair = fairShare(this.shares, members.length, index);
    for (let share = 0; share < this.shares && this.held.size < fair && !this.left; share++) {
      if (this.held.has(share) || all.has(this.leaseKey(share))) continue;
      const startedAt = performance.now();
      const revision = await bucket.create(this.leaseKey(share), this.instance);
      if (revision === undefined) continue;
      this.held.set(share, { revision, renewedAt: startedAt, wanted: false });
      this.calls.gained(share);
    }
    const surplus = this.held.size - fair;
    const kept = [...this.held].filter(([, lease]) => !lease.wanted);
    for (const [share, lease] of kept.slice(kept.length - Math.max(0, surplus - (this.held.size - kept.length)))) {
      lease.wanted = true;
      this.calls.wanted(share);
    }
  }

  private drop(share: number): void {
    if (this.held.delete(share)) this.calls.lost(share);
  }
}
