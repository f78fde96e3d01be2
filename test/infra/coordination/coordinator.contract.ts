/** What every coordinator must do. `times.ttlMs` is how long a silent member keeps its shares. */
import type { Test } from 'tap';
import type { Coordinator, Membership } from '../../../infra/coordination/coordinator.js';

export class Member {
  readonly held = new Set<number>();
  membership: Membership | undefined;
  private readonly waiting = new Set<() => void>();

  constructor(
    readonly name: string,
    readonly coordinator: Coordinator,
  ) {}

  async join(role: string, shares: number): Promise<void> {
    this.membership = await this.coordinator.join(role, this.name, shares, {
      gained: (share) => {
        this.held.add(share);
        this.changed();
      },
      lost: (share) => {
        this.held.delete(share);
        this.changed();
      },
      wanted: (share) => {
        this.held.delete(share);
        void this.membership?.release(share);
        this.changed();
      },
    });
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo())
      await new Promise<void>((resolve) => {
        this.waiting.add(resolve);
      });
  }

  private changed(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

export const coordinatorContract = (
  t: Test,
  name: string,
  open: (t: Test) => Promise<{ coordinator: Coordinator; vanish(): Promise<void> }>,
): void => {
  t.test(`${name}: shares are spread evenly and move when members come and go`, async (t) => {
    const one = await open(t);
    const two = await open(t);
    const first = new Member('first', one.coordinator);
    const second = new Member('second', two.coordinator);
    await first.join('even', 4);
    await first.until(() => first.held.size === 4);
    await second.join('even', 4);
    await second.until(() => second.held.size === 2);
    await first.until(() => first.held.size === 2);
    t.same([...first.held, ...second.held].sort(), [0, 1, 2, 3]);
    const before = performance.now();
    await first.membership?.leave();
    await second.until(() => second.held.size === 4);
    t.ok(performance.now() - before < 10_000);
  });

  t.test(`${name}: one leads, and when it vanishes another does within 3 s`, async (t) => {
    const one = await open(t);
    const two = await open(t);
    const first = new Member('first', one.coordinator);
    const second = new Member('second', two.coordinator);
    await first.join('lead', 1);
    await first.until(() => first.held.size === 1);
    await second.join('lead', 1);
    const before = performance.now();
    await one.vanish();
    await second.until(() => second.held.size === 1);
    const tookMs = performance.now() - before;
    t.ok(tookMs < 10_000, `${Math.round(tookMs)} ms`);
  });

  t.test(`${name}: who cannot renew counts its shares as lost by its own clock`, async (t) => {
    const one = await open(t);
    const member = new Member('first', one.coordinator);
    await member.join('own-clock', 2);
    await member.until(() => member.held.size === 2);
    await one.vanish();
    await member.until(() => member.held.size === 0);
    t.equal(member.held.size, 0);
  });
};
