import { type BufferState, buffer } from '../../actors/buffer.js';
import { merger } from '../../actors/merger.js';
import type { SchedulerState } from '../../actors/scheduler/state.js';
import { scheduler } from '../../actors/scheduler.js';
import { uploader } from '../../actors/uploader.js';
import { windower } from '../../actors/windower.js';
import type { Env } from '../../infra/actor/env.js';
import type { FoldDefinition } from '../../infra/actor/fold.js';
import type { Settings } from '../../infra/config.js';
import { messageOf, RetryableError } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import type { Sql } from '../../infra/sql/sql.js';
import { partitionOf } from '../../protocol/name-code.js';
import { Random } from '../chaos/random.js';
import { type Act, Connection, type Reader } from './connection.js';
import { crowd } from './crowd.js';
import { SimulatedFiles } from './files.js';
import { Life } from './life.js';
import { matches, type StoredMessage } from './log.js';
import { Oracle, Violation } from './oracle.js';
import { bend, type Rule } from './rules.js';
import { SimulatedServer } from './server.js';
import { makeSettings, makeShape, partitions, type Shape } from './settings.js';
import { PlainSource, type Published, Source } from './sources.js';
import { TaskQueue, Worker } from './tasks.js';
import { Watch } from './watch.js';

/** Near the end of a month: records of several days and months come together. */
const startAt = Date.UTC(2026, 0, 31, 23, 59, 0);
const leaseMs = 1_500;
const log = createLog({ logLevel: 'silent' });

export interface Slot {
  readonly role: string;
  readonly share: number;
  readonly index: number;
  readonly fold: FoldDefinition<never>;
  life: Life | undefined;
  restartAt: number;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly without?: Rule | undefined;
  /** Faults as where this rule is switched off, though it is not. */
  readonly leaning?: Rule | undefined;
  readonly say?: ((line: string) => void) | undefined;
}

export class Simulation {
  readonly random: Random;
  readonly settings: Settings;
  readonly files: SimulatedFiles;
  readonly server: SimulatedServer;
  readonly oracle: Oracle;
  readonly watch: Watch;
  readonly slots: Slot[] = [];
  readonly workers: Worker[] = [];
  readonly sources: Source[] = [];
  readonly plain: PlainSource[] = [];
  /** Sent by who is gone, or given up: lands when nobody waits for it any more. */
  readonly late: Act[] = [];
  readonly queue: TaskQueue;
  /** Plain readings that METRICS took, and that no power cut took away again. */
  readonly owed = new Set<number>();
  readonly leases = new Map<string, { slot: Slot; until: number }>();
  readonly counts = {
    crashes: 0,
    pauses: 0,
    losses: 0,
    powerCuts: 0,
    unanswered: 0,
    torn: 0,
    together: 0,
    answers: 0,
    batches: 0,
    records: 0,
  };
  readonly shape: Shape;
  isFaulty = true;
  step = 0;
  failure: Violation | undefined;
  /** Whose process ends before the next step. */
  readonly doomed = new Set<Connection>();
  private names = 0;
  private readonly held = new WeakSet<Act>();
  private readonly plainUids = new Set<number>();
  private uids = 0;

  constructor(readonly options: SimulationOptions) {
    const random = new Random(options.seed * 7_919 + 13);
    const leaning = options.without ?? options.leaning;
    this.random = random;
    this.settings = makeSettings(random, leaning);
    this.files = new SimulatedFiles(
      (rule) => options.without === rule,
      () => random.next(),
    );
    this.oracle = new Oracle(partitions, this.files, (uid) => this.plainUids.has(uid));
    this.watch = new Watch(this);
    const took = (message: StoredMessage): void => {
      this.say(`  ${message.subject} ${message.sequence}`);
      this.oracle.stored(message);
    };
    this.server = new SimulatedServer(partitions, startAt, random.pick([12, 40, 1_000]), options.without, took, random);
    this.queue = new TaskQueue(this.server);
    this.shape = makeShape(random, leaning);
    this.addSlots();
    this.addSources();
  }

  without(rule: Rule): boolean {
    return this.options.without === rule;
  }

  say(line: string): void {
    this.options.say?.(`${this.step} ${line}`);
  }

  private addSlots(): void {
    const add = (fold: FoldDefinition<never>, share: number): void => {
      for (let index = 0; index < 2; index++) this.slots.push({ role: fold.name, share, index, fold, life: undefined, restartAt: 0 });
    };
    for (let p = 0; p < partitions; p++) for (const fold of [buffer, uploader, windower]) add(fold as unknown as FoldDefinition<never>, p);
    add(scheduler as unknown as FoldDefinition<never>, 0);
    add(merger as unknown as FoldDefinition<never>, 0);
    for (const kind of ['range', 'services'] as const) for (let i = 0; i < 2; i++) this.workers.push(new Worker(this, kind, i));
  }

  private addSources(): void {
    const { random } = this;
    const world = {
      random,
      oracle: this.oracle,
      now: this.server.now,
      without: (rule: string) => this.options.without === rule,
      isFaulty: () => this.isFaulty,
      newUid: (isPlain: boolean) => {
        this.uids += 1;
        if (isPlain) this.plainUids.add(this.uids);
        return this.uids;
      },
    };
    const agents = ['one', 'one', 'two', 'three'];
    const keptMax = random.pick([4, 8, 1_000]);
    const messages = this.shape.faultySteps * this.shape.publish;
    agents.forEach((agent, i) => {
      const subject = `metrics.service-${random.pick(['a', 'b'])}.host-${i}`;
      this.sources.push(
        new Source(world, subject, partitionOf(subject, partitions), agent, Math.ceil(random.next() * messages * 0.6), keptMax),
      );
    });
    if (random.next() < this.shape.gappy) {
      const subject = 'metrics.service-d.gappy';
      this.sources.push(new Source(world, subject, partitionOf(subject, partitions), 'gappy', 90, 20, true));
    }
    for (let i = 0; i < 2; i++)
      this.plain.push(new PlainSource(world, `metrics.service-c.plain-${i}`, Math.ceil(random.next() * messages * 0.7)));
  }

  newName(): string {
    this.names += 1;
    return `work/${this.names}`;
  }

  private open(name: string): Connection {
    return new Connection(this.server, name);
  }

  private envOf(connection: Connection): Env {
    const viewFiles = this.files.viewFilesOf(connection);
    return {
      bus: connection.bus,
      storage: this.files.storageOf(connection),
      engine: async () => ({ sql: undefined as unknown as Sql, viewFiles }),
      recount: async () => [],
      settings: this.settings,
      log,
      now: this.server.now,
      instance: connection.name.replace(/\W+/g, '-'),
    };
  }

  openWorkshop(name: string): Connection {
    return this.open(name);
  }

  begin(slot: Slot): void {
    const connection = this.open(`${slot.role} ${slot.share}.${slot.index}`);
    connection.partition = slot.share;
    this.server.remember(connection);
    const life = new Life(connection.name, slot.share, connection, this.server.time, (state) => {
      if (slot.role === 'buffer' && this.chance(this.shape.crowded)) crowd((state as BufferState).open, this.random);
    });
    slot.life = life;
    this.say(`${life.name} begins`);
    const fold = bend(this.withSmallTasks(slot.fold), this.options.without);
    void life.run(fold, this.envOf(connection)).then((end) => {
      this.say(`${life.name} ends: ${end.kind} ${end.kind === 'stopped' ? '' : end.error.message}`);
      this.late.push(...connection.lose('closed'));
      if (slot.life === life) slot.life = undefined;
      this.watch.forget(life);
      slot.restartAt = this.server.time + this.random.between(50, 1_000);
      if (end.kind === 'fault' || end.kind === 'history')
        this.failure ??= new Violation(`actor ended: ${end.kind}`, `${life.name}: ${end.error.stack}`);
    });
  }

  /** So that a batch has several tasks. */
  private withSmallTasks(fold: FoldDefinition<never>): FoldDefinition<never> {
    if (fold.name !== 'scheduler') return fold;
    const begin: FoldDefinition<SchedulerState>['begin'] = async (env, partition) => {
      const beginning = await scheduler.begin(env, partition);
      beginning.state.taskBytesMax = this.shape.taskBytesMax;
      return beginning;
    };
    return { ...scheduler, begin } as unknown as FoldDefinition<never>;
  }

  /** Who begins, who leads, who hears that its lease is gone. A lease is only advice. */
  tend(): void {
    const { time } = this.server;
    for (const slot of this.slots) {
      const key = `${slot.role} ${slot.share}`;
      const lease = this.leases.get(key);
      const isFree = lease === undefined || lease.until < time || lease.slot === slot;
      const { life } = slot;
      const isAwake = life === undefined || life.pausedUntil <= this.step;
      if (!isAwake) continue;
      if (slot.role === 'merger') {
        if (life === undefined && slot.restartAt <= time) this.begin(slot);
        if (isFree) this.leases.set(key, { slot, until: time + leaseMs });
        slot.life?.setLeads(isFree);
        continue;
      }
      if (life !== undefined) {
        if (isFree) this.leases.set(key, { slot, until: time + leaseMs });
        else if (!this.isFaulty || this.random.next() < 0.02) life.lost.abort();
        continue;
      }
      if (slot.restartAt > time) continue;
      const takesAnyway = this.isFaulty && this.random.next() < this.shape.together;
      if (!isFree && !takesAnyway) continue;
      if (!isFree) this.counts.together += 1;
      else this.leases.set(key, { slot, until: time + leaseMs });
      this.begin(slot);
    }
  }

  get lives(): { slot: Slot; life: Life }[] {
    const alive: { slot: Slot; life: Life }[] = [];
    for (const slot of this.slots) if (slot.life !== undefined) alive.push({ slot, life: slot.life });
    return alive;
  }

  /** Everything that could happen next, as functions. */
  candidates(): (() => void)[] {
    const found: (() => void)[] = [];
    const hurries = this.shape.hurry > 0 && this.chance(this.shape.hurry);
    for (const { role, life } of this.slots) {
      if (life === undefined || life.pausedUntil > this.step || (hurries && !this.shape.hurried.includes(role))) continue;
      if (this.holds(life)) continue;
      life.connection.isBeginning = !life.hasBegun;
      this.candidatesOf(life.connection, found);
    }
    for (const worker of this.workers) worker.candidates(found);
    if (hurries && found.length > 0) return found;
    if (this.late.length > 0) found.push(() => this.land(this.late.splice(this.random.between(0, this.late.length), 1)[0] as Act));
    if (this.server.told.length > 0) found.push(() => this.hear());
    return found;
  }

  /** Pauses a life just before what the shape says. */
  private holds(life: Life): boolean {
    const [next] = life.connection.requests;
    if (next === undefined || !this.shape.held.includes(next.what) || this.held.has(next)) return false;
    this.held.add(next);
    if (!this.chance(0.9)) return false;
    life.pausedUntil = this.step + this.random.between(100, 900);
    this.say(`PAUSE ${life.name} before ${next.what}`);
    return true;
  }

  candidatesOf(connection: Connection, found: (() => void)[]): void {
    if (connection.requests.length > 0) found.push(() => this.perform(connection.requests.shift() as Act, connection));
    if (connection.answers.length > 0) found.push(() => (connection.answers.shift() as () => void)());
    if (connection.files.length > 0) {
      found.push(() => this.write(connection.files.splice(this.random.between(0, connection.files.length), 1)[0] as Act));
    }
    for (const reader of connection.readers) if (reader.isPending) found.push(() => this.arrive(reader));
  }

  private arrive(reader: Reader): void {
    reader.deliver(this.random.pick([1, 2, 5, 100]));
  }

  chance(share: number): boolean {
    return this.isFaulty && this.random.next() < share;
  }

  /** A request reaches the server; maybe its answer does not come back. */
  private perform(act: Act, connection: Connection): void {
    if (this.chance(this.shape.unanswered)) {
      this.counts.unanswered += 1;
      const how = this.random.pick(['not done', 'done', 'late']);
      this.say(`${connection.name}: ${act.what}: no answer (${how})`);
      if (how === 'done') this.land(act);
      if (how === 'late') this.late.push(act);
      act.reject(new RetryableError(`${act.what}: no answer`));
      return;
    }
    this.say(`${connection.name}: ${act.what}`);
    let answer: () => void;
    try {
      const value = act.run();
      answer = () => act.resolve(value);
    } catch (error) {
      if (error instanceof Violation) throw error;
      answer = () => act.reject(error);
    }
    if (this.shape.last.includes(act.what) && this.chance(0.5)) this.doomed.add(connection);
    if (this.random.next() < 0.4) connection.answers.push(answer);
    else answer();
  }

  private land(act: Act): void {
    this.say(`late: ${act.what}`);
    try {
      act.run();
    } catch (error) {
      if (error instanceof Violation) throw error;
    }
  }

  private write(act: Act): void {
    if (/^(append|create raw|adopt)/.test(act.what) && this.chance(this.shape.torn)) {
      this.counts.torn += 1;
      this.say(`file: ${act.what}: fails`);
      if (act.tear) this.random.pick([act.tear, () => this.land(act), () => undefined])();
      else if (this.random.next() < 0.5) this.land(act);
      act.reject(new RetryableError(`${act.what}: failed`));
      return;
    }
    this.say(`file: ${act.what}`);
    try {
      act.resolve(act.run());
    } catch (error) {
      if (error instanceof Violation) throw error;
      act.reject(error);
    }
  }

  private hear(): void {
    const at = this.random.between(0, this.server.told.length);
    const { subject, body } = this.chance(0.1)
      ? (this.server.told[at] as { subject: string; body: Uint8Array }) // heard twice
      : (this.server.told.splice(at, 1)[0] as { subject: string; body: Uint8Array });
    if (this.chance(this.shape.unheard)) return;
    this.say(`heard: ${subject}`);
    if (subject.startsWith('reading.sealed.')) for (const source of this.sources) source.hear(body);
    for (const { life } of this.lives) {
      if (life.pausedUntil > this.step) continue;
      for (const hearer of [...life.connection.hearers]) {
        if (matches(hearer.subject, subject)) hearer.heard({ subject, body, header: () => undefined, respond: () => undefined });
      }
    }
  }

  /** A source's message goes its way: it arrives, or not, or twice, or later. */
  publish(published: Published, uids: readonly number[] = []): void {
    const { subject, body, headers, isPlain } = published;
    const put = (): void => {
      try {
        const stored = subject.replace('metrics.', `metrics.${partitionOf(subject, partitions)}.`);
        this.server.put(stored, Buffer.from(body), Object.keys(headers).length > 0 ? { headers } : {});
        for (const uid of uids) this.owed.add(uid);
      } catch (error) {
        if (!(error instanceof RetryableError)) throw error; // full: it comes again
      }
    };
    const how = this.isFaulty ? this.random.next() : 1;
    if (how < 0.08) return;
    if (how < 0.16) this.late.push({ what: `publish ${subject}`, run: put, resolve: () => undefined, reject: () => undefined });
    else put();
    if (how > 0.16 && how < 0.24 && !isPlain) put();
  }

  /** What is found wrong within an actor's own step must end the simulation, not the actor. */
  guarded(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.failure ??= error instanceof Violation ? error : new Violation('oracle', messageOf(error));
    }
  }
}
