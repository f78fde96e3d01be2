/**
 * Leases in a NATS KV bucket whose values live 1.5 s: an owner renews its own every 0.4 s. The bucket is polled, for an expiry
 * is not told. If a renewal did not succeed for as long as a lease lives, by this process's own clock, it counts as lost.
 */
import type { Logger } from 'pino';
import { asyncScheduler, exhaustMap, type SchedulerLike, type Subscription, tap, timer } from 'rxjs';
import type { Bucket, Bus } from '../bus/bus.js';
import { messageOf, RetryableError } from '../errors.js';
import { within } from '../within.js';
import { type Coordinator, dueShares, type Membership, type MembershipCalls } from './coordinator.js';

export interface LeaseTimes {
  /** How long a lease lives without renewal. */
  ttlMs: number;
  /** How often it is renewed and the others are looked at. */
  renewMs: number;
  /** How long a look may take before its connection is given up: longer than any call of the bucket (default 12 s). */
  turnMsMax?: number;
}

const turnMsMaxDefault = 12_000;

type Values = Awaited<ReturnType<Bucket['all']>>;

/** One for a process: its members look together. `openBus` gives a new connection: a lost one is replaced. */
export const natsCoordinator = (
  openBus: () => Promise<Bus>,
  times: LeaseTimes,
  log: Logger,
  scheduler: SchedulerLike = asyncScheduler,
): Coordinator => new NatsCoordinator(openBus, times, log, scheduler);

class NatsCoordinator implements Coordinator {
  private readonly members = new Set<NatsMembership>();
  private opening: Promise<{ bus: Bus; bucket: Bucket }> | undefined;
  private readonly renewing: Subscription;
  private turning: Promise<void> = Promise.resolve();

  constructor(
    private readonly openBus: () => Promise<Bus>,
    private readonly times: LeaseTimes,
    private readonly log: Logger,
    scheduler: SchedulerLike,
  ) {
    this.renewing = timer(0, times.renewMs, scheduler)
      .pipe(
        tap(() => {
          for (const member of this.members) member.dropExpired();
        }), // also while a turn hangs
        exhaustMap(() => this.turn()),
      )
      .subscribe();
  }

  async join(role: string, instance: string, shares: number, calls: MembershipCalls): Promise<Membership> {
    const member = new NatsMembership(
      () => this.bucket(),
      role,
      instance,
      shares,
      calls,
      this.times.ttlMs,
      async () => {
        this.members.delete(member);
        await this.turning; // nothing is taken for it any more
      },
    );
    this.members.add(member);
    this.turning = this.turning.then(() => this.turn()); // at once, not at the next tick
    return member;
  }

  async close(): Promise<void> {
    await Promise.all([...this.members].map((member) => member.leave()));
    this.renewing.unsubscribe();
    const open = await this.opening?.catch(() => undefined);
    await open?.bus.close();
  }

  private turn(): Promise<void> {
    const turn = this.inTime(this.lookTogether()).catch((error: unknown) => {
      this.log.warn({ reason: messageOf(error) }, 'leases cannot be renewed, will retry');
    });
    this.turning = turn;
    return turn;
  }

  /** A turn that never ends would keep every later one from beginning: then the connection is given up, and the next turn takes a new one. */
  private async inTime(turn: Promise<void>): Promise<void> {
    const { turnMsMax = turnMsMaxDefault } = this.times;
    try {
      await within(turn, turnMsMax, () => new RetryableError(`leases: no answer within ${turnMsMax} ms`));
    } catch (error) {
      const given = this.opening;
      this.opening = undefined;
      void given?.then(({ bus }) => bus.close()).catch(() => undefined);
      throw error;
    }
  }

  private async lookTogether(): Promise<void> {
    if (this.members.size === 0) return;
    const bucket = await this.bucket();
    await Promise.all([...this.members].map((member) => member.renew(bucket)));
    const values = await bucket.all();
    await Promise.all([...this.members].map((member) => member.look(bucket, values)));
  }

  private open(): Promise<{ bus: Bus; bucket: Bucket }> {
    const opening = this.openBus().then(async (bus) => {
      void bus.closed.then(() => {
        if (this.opening === opening) this.opening = undefined; // not the one that came after it
      });
      try {
        return { bus, bucket: await bus.bucket('LEASES', { ttlMs: this.times.ttlMs }) };
      } catch (error) {
        await bus.close().catch(() => undefined);
        throw error;
      }
    });
    return opening;
  }

  private async bucket(): Promise<Bucket> {
    this.opening ??= this.open();
    try {
      return (await this.opening).bucket;
    } catch (error) {
      this.opening = undefined;
      throw error;
    }
  }
}

interface Lease {
  revision: number;
  renewedAt: number;
  wanted: boolean;
}

class NatsMembership implements Membership {
  /** Share to the revision of its lease and when it was last renewed, by the monotonic clock. */
  private readonly held = new Map<number, Lease>();
  private left = false;

  constructor(
    private readonly bucket: () => Promise<Bucket>,
    private readonly role: string,
    private readonly instance: string,
    private readonly shares: number,
    private readonly calls: MembershipCalls,
    private readonly ttlMs: number,
    private readonly gone: () => Promise<void>,
  ) {}

  async release(share: number): Promise<void> {
    if (!this.held.delete(share)) return;
    await this.bucket()
      .then((bucket) => bucket.remove(this.leaseKey(share)))
      .catch(() => undefined); // it expires anyway
  }

  async leave(): Promise<void> {
    if (this.left) return;
    this.left = true;
    await this.gone();
    await Promise.all([...this.held.keys()].map((share) => this.release(share)));
    await this.bucket()
      .then((bucket) => bucket.remove(this.memberKey))
      .catch(() => undefined);
  }

  dropExpired(): void {
    const now = performance.now();
    for (const [share, lease] of this.held) if (now - lease.renewedAt > this.ttlMs) this.drop(share);
  }

  async renew(bucket: Bucket): Promise<void> {
    if (this.left) return;
    await bucket.put(this.memberKey, '');
    await Promise.all(
      [...this.held].map(async ([share, lease]) => {
        const startedAt = performance.now();
        const revision = await bucket.update(this.leaseKey(share), this.instance, lease.revision);
        if (revision === undefined) this.drop(share);
        else if (this.held.get(share) === lease) Object.assign(lease, { revision, renewedAt: startedAt });
      }),
    );
  }

  /** Takes what is free, up to its fair share, and says what another should have. */
  async look(bucket: Bucket, values: Values): Promise<void> {
    const prefix = `${this.role}.member.`;
    const members = [...values.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    if (!members.includes(this.instance)) return; // not seen yet: the next turn decides
    const owners = Array.from({ length: this.shares }, (_, share) => values.get(this.leaseKey(share))).map(
      (lease) => lease && Buffer.from(lease.value).toString(),
    );
    const holdings = members.map((member) => owners.filter((owner) => owner === member).length);
    const fair = dueShares(this.shares, holdings, this.held.size);
    for (let share = 0; share < this.shares && this.held.size < fair && !this.left; share++) {
      if (this.held.has(share) || values.has(this.leaseKey(share))) continue;
      const startedAt = performance.now();
      const revision = await bucket.create(this.leaseKey(share), this.instance);
      if (revision === undefined) continue;
      this.held.set(share, { revision, renewedAt: startedAt, wanted: false });
      this.calls.gained(share);
    }
    const kept = [...this.held].filter(([, lease]) => !lease.wanted);
    for (const [share, lease] of kept.slice(Math.min(kept.length, fair))) {
      lease.wanted = true;
      this.calls.wanted(share);
    }
  }

  private get memberKey(): string {
    return `${this.role}.member.${this.instance}`;
  }
  private leaseKey(share: number): string {
    return `${this.role}.lease.${share}`;
  }

  private drop(share: number): void {
    if (this.held.delete(share)) this.calls.lost(share);
  }
}
