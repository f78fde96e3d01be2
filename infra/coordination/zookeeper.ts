/**
 * Leases in ZooKeeper: ephemeral nodes, which go when their session does. FOLDER is the address's.
 *
 * FOLDER/<role>/members/<instance>-<session>                  who is there
 * FOLDER/<role>/line/<share>.<instance>-<session>.<number>    who stands in line for a share; the first may have it
 *
 * Every member looks at both several times in each session time-out, and at once when the members change or the one before it in
 * a line goes. What it does then is decided in line.ts. It stops work at once when the session is not sure any more: an owner
 * that others may see as gone does not go on.
 *
 * Z4  Shares are lost at once when the connection or the session is.
 * Z5  After an expiry a new client takes a new session; nothing that the old one still does counts for it.
 */
import type { Logger } from 'pino';
import { asyncScheduler, type SchedulerLike, type Subscription, timer } from 'rxjs';
import { messageOf, SettingsError } from '../errors.js';
import type { Coordinator, Membership, MembershipCalls } from './coordinator.js';
import { nextTurn, type Place, placePrefix, readPlace } from './line.js';
import { isZookeeperCode, type SessionOptions, ZookeeperSession } from './zookeeper-session.js';

/** How often the members look in a session's time-out, and how often it is asked at least whether the session is sure. */
const looksPerSession = 6;
const checkMsMax = 100;
const firstLookMsMax = 5_000;
const renewMsMin = 100;
const renewMsMax = 2_000;

class ZookeeperCoordinator implements Coordinator {
  readonly #members = new Set<ZookeeperMembership>();
  readonly #checking: Subscription;
  readonly #options: SessionOptions;
  readonly #log: Logger;
  #session: ZookeeperSession;
  #isClosed = false;
  #renewMs = renewMsMin;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #isAskedAgain = false;

  constructor(options: SessionOptions, log: Logger, scheduler: SchedulerLike) {
    this.#options = options;
    this.#log = log;
    this.#session = this.#open();
    this.#checking = timer(0, Math.min(checkMsMax, options.sessionMs / 24), scheduler).subscribe(() => this.#check());
  }

  /** Resolves when the folder is there, or cannot be reached within some seconds. @throws SettingsError when it may not be used */
  async firstLook(): Promise<void> {
    const deadline = performance.now() + firstLookMsMax;
    while (performance.now() < deadline) {
      try {
        return await this.#session.ensure(this.#options.folder);
      } catch (error) {
        if (isZookeeperCode(error, 'NO_AUTH')) {
          throw new SettingsError(
            `${this.#options.servers} does not let us use ${this.#options.folder} (${messageOf(error)}): ` +
              'give the user and password that own it with --zookeeper-auth, or another folder in --coordinator',
            { cause: error },
          );
        }
        await new Promise((resolve) => setTimeout(resolve, renewMsMin));
      }
    }
    this.#log.warn({ servers: this.#options.servers }, 'no ZooKeeper answers, will retry');
  }

  async join(role: string, instance: string, shares: number, calls: MembershipCalls): Promise<Membership> {
    const member = new ZookeeperMembership(
      { folder: `${this.#options.folder}/${role}`, instance, shares, calls },
      () => this.#session,
      () => this.look(),
      async () => {
        this.#members.delete(member);
        await this.#looking; // nothing is taken for it any more
      },
    );
    this.#members.add(member);
    this.look();
    return member;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#members].map((member) => member.leave()));
    this.#isClosed = true;
    this.#checking.unsubscribe();
    await this.#session.close();
  }

  /** Looks as soon as it can: one look at a time, and another one when it was asked for meanwhile. */
  look(): void {
    if (this.#looking !== undefined) {
      this.#isAskedAgain = true;
      return;
    }
    if (!this.#session.isConnected) return; // looks when it is
    const session = this.#session;
    this.#lookedAt = performance.now();
    // Of a process that stands in no line something has to be asked as well: a server that says nothing is left (Z3).
    const looks =
      this.#members.size === 0 ? [session.ensure(this.#options.folder)] : [...this.#members].map((member) => member.look(session));
    this.#looking = Promise.allSettled(looks)
      .then((looked) => {
        const failed = looked.find((look) => look.status === 'rejected');
        if (failed === undefined || this.#isClosed || !session.isConnected) return;
        this.#log.warn({ reason: messageOf(failed.reason) }, 'leases cannot be looked at, will retry');
      })
      .finally(() => {
        this.#looking = undefined;
        const again = this.#isAskedAgain;
        this.#isAskedAgain = false;
        if (again && !this.#isClosed) this.look();
      });
  }

  #check(): void {
    this.#session.watchOver();
    if (!this.#session.isSure) this.#dropAll();
    if (performance.now() - this.#lookedAt >= this.#session.timeoutMs / looksPerSession) this.look();
  }

  #open(): ZookeeperSession {
    const session = new ZookeeperSession(this.#options, {
      connected: () => {
        this.#renewMs = renewMsMin;
        this.#log.info({ session: session.id, timeoutMs: session.timeoutMs }, 'connected to ZooKeeper');
        this.look();
      },
      disconnected: () => {
        const shares = this.#dropAll(); // Z4
        this.#log.warn({ shares }, 'no connection to ZooKeeper: leases are lost, will retry');
      },
      ended: (reason) => {
        this.#log.warn({ session: session.id, reason }, 'the ZooKeeper session is over, a new one is taken');
        setTimeout(() => {
          if (!this.#isClosed) this.#session = this.#open(); // Z5
        }, this.#renewMs);
        this.#renewMs = Math.min(this.#renewMs * 2, renewMsMax);
      },
    });
    return session;
  }

  #dropAll(): number {
    let dropped = 0;
    for (const member of this.#members) dropped += member.dropAll();
    return dropped;
  }
}

interface Joined {
  /** Of the role. */
  readonly folder: string;
  readonly instance: string;
  readonly shares: number;
  readonly calls: MembershipCalls;
}

class ZookeeperMembership implements Membership {
  /** Share to its place in line, and whether another should have it. */
  readonly #held = new Map<number, { node: string; wanted: boolean }>();
  /** Nodes that are to go, until they are not seen any more: an older sight may still have them. */
  readonly #givenUp = new Set<string>();
  readonly #watched = new Set<string>();
  #session: ZookeeperSession | undefined;
  #isThere = false;
  #left = false;

  constructor(
    private readonly joined: Joined,
    private readonly current: () => ZookeeperSession,
    private readonly lookSoon: () => void,
    private readonly gone: () => Promise<void>,
  ) {}

  async release(share: number): Promise<void> {
    const held = this.#held.get(share);
    if (!this.#held.delete(share) || held === undefined) return;
    await this.#giveUp(this.current(), [held.node]).catch(() => undefined); // then the next look does
    this.lookSoon();
  }

  async leave(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    await this.gone();
    this.#held.clear();
    const session = this.current();
    try {
      const places = await this.#places(session);
      await this.#giveUp(
        session,
        places.filter(({ member }) => member === this.#name(session)).map(({ node }) => node),
      );
      await session.remove(this.#memberNode(session));
    } catch {
      // they go with the session
    }
  }

  dropAll(): number {
    const shares = [...this.#held.keys()];
    for (const share of shares) this.#drop(share);
    return shares.length;
  }

  async look(session: ZookeeperSession): Promise<void> {
    if (this.#left) return;
    if (session !== this.#session) this.#begin(session);
    if (!this.#isThere) {
      await session.ensure(`${this.joined.folder}/members`);
      await session.ensure(`${this.joined.folder}/line`);
      await session.createEphemeral(this.#memberNode(session));
      this.#isThere = true;
    }
    const me = this.#name(session);
    const [members, places] = await Promise.all([session.children(`${this.joined.folder}/members`, this.#changed), this.#places(session)]);
    if (this.#left || !session.isSure) return;
    this.#isThere = members.includes(me);
    for (const gone of this.#givenUp) if (!places.some(({ node }) => node === gone)) this.#givenUp.delete(gone);
    const turn = nextTurn({ me, shares: this.joined.shares, members, places, held: this.#held, givenUp: this.#givenUp });
    for (const share of turn.lost) this.#drop(share);
    for (const { share, node } of turn.gained) {
      this.#held.set(share, { node, wanted: false });
      this.joined.calls.gained(share);
    }
    for (const share of turn.wanted) {
      (this.#held.get(share) as { wanted: boolean }).wanted = true;
      this.joined.calls.wanted(share);
    }
    const line = `${this.joined.folder}/line`;
    await Promise.all([
      ...turn.stand.map((share) => session.createEphemeral(`${line}/${placePrefix(share, me)}`, { sequential: true })),
      this.#giveUp(session, turn.giveUp),
      ...turn.watch.map((node) => this.#watch(session, `${line}/${node}`)),
    ]);
    if (turn.stand.length + turn.giveUp.length > 0) this.lookSoon();
  }

  /** What was done in another session counts no more. */
  #begin(session: ZookeeperSession): void {
    this.dropAll();
    this.#session = session;
    this.#isThere = false;
    this.#givenUp.clear();
    this.#watched.clear();
  }

  async #giveUp(session: ZookeeperSession, nodes: readonly string[]): Promise<void> {
    for (const node of nodes) this.#givenUp.add(node);
    await Promise.all(nodes.map((node) => session.remove(`${this.joined.folder}/line/${node}`)));
  }

  async #watch(session: ZookeeperSession, path: string): Promise<void> {
    if (this.#watched.has(path)) return;
    this.#watched.add(path);
    const gone = (): void => {
      this.#watched.delete(path);
      this.lookSoon();
    };
    const isThere = await session.watch(path, gone).catch((error: unknown) => {
      this.#watched.delete(path);
      throw error;
    });
    if (!isThere) gone(); // it went between the look and the watch
  }

  readonly #changed = (): void => this.lookSoon();

  async #places(session: ZookeeperSession): Promise<Place[]> {
    const nodes = await session.children(`${this.joined.folder}/line`);
    return nodes.map(readPlace).filter((place) => place !== undefined);
  }

  #name(session: ZookeeperSession): string {
    return `${this.joined.instance}-${session.id}`;
  }

  #memberNode(session: ZookeeperSession): string {
    return `${this.joined.folder}/members/${this.#name(session)}`;
  }

  #drop(share: number): void {
    if (this.#held.delete(share)) this.joined.calls.lost(share);
  }
}

/**
 * One for a process. It waits some seconds for the servers, and goes on without them when they are away: leases come when they do.
 * @throws SettingsError when the folder belongs to somebody else
 */
export const openZookeeper = async (
  options: SessionOptions,
  log: Logger,
  scheduler: SchedulerLike = asyncScheduler,
): Promise<Coordinator> => {
  const coordinator = new ZookeeperCoordinator(options, log, scheduler);
  try {
    await coordinator.firstLook();
    return coordinator;
  } catch (error) {
    await coordinator.close();
    throw error;
  }
};
