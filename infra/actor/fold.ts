/**
 * A fold: an actor that reads logs in order and keeps its place in its own output.
 *
 * This runtime gives it lives. A life has one connection, its state comes from one read at the beginning (F1), it ends at
 * the first doubt, and the next one starts again from the actor's own last output (F2). What an actor writes is a pure step:
 * state and input in, next state and outputs out.
 *
 * F1  State and the expected sequences come from one read at the start of a life.
 * F2  After a publish that got no answer, or was refused, the life ends and its state is dropped.
 * F3  Fenced publishes carry the expected last sequence that this life knows; a lease is only advice.
 * F5  A life lives on one connection; a new connection is a new life, with the history check of `begin`.
 */
import { asyncScheduler, type Observable, type SchedulerLike, Subject } from 'rxjs';
import type { ActorName, MessageName } from '../../protocol/catalogue.js';
import type { LogMessage, LogOptions, LogReader, PlainMessage } from '../bus/bus.js';
import { crashPoints } from '../crash-point.js';
import { FencedError, HistoryError, messageOf, RetryableError } from '../errors.js';
import type { Env } from './env.js';
import type { Output, Step, Work } from './output.js';

export type Input =
  | { readonly kind: 'messages'; readonly log: string; readonly messages: readonly LogMessage[]; readonly now: number }
  | { readonly kind: 'tick'; readonly tick: string; readonly now: number }
  | { readonly kind: 'heard'; readonly message: PlainMessage; readonly now: number }
  /** What a work found. */
  | { readonly kind: 'noted'; readonly name: string; readonly value: unknown; readonly now: number }
  /** Whether this instance leads changed. */
  | { readonly kind: 'lead'; readonly leads: boolean; readonly now: number }
  /** No more input comes: give out what is held. */
  | { readonly kind: 'stop'; readonly now: number };

/** What a life begins with. */
export interface Beginning<State> {
  readonly state: State;
  /** The logs to read, by a name of the actor's own. */
  readonly logs: Readonly<Record<string, { stream: string } & LogOptions>>;
  /** Subject or filter to its last sequence, read before the state was made from it (F1). */
  readonly fences: Readonly<Record<string, number>>;
}

export interface FoldDefinition<State> {
  readonly name: ActorName;
  /** partition: one owner for each; single: one leader; each: every instance works, one of them leads. */
  readonly share: 'partition' | 'single' | 'each';
  readonly produces: readonly MessageName[];
  /** Plain subjects whose messages come in as `heard`; with a queue, one instance hears each. */
  readonly hears?: readonly { subject: string; queue?: string }[];
  readonly begin: (env: Env, partition: number) => Promise<Beginning<State>>;
  readonly step: (state: State, input: Input, env: Env) => Step<State>;
  /** When to give ticks, from the states. */
  readonly ticks?: (states: Observable<State>, env: Env, scheduler: SchedulerLike) => Observable<string>;
  /** How many messages one step gets at most. */
  readonly messagesPerStepMax?: number;
  /** What `status` shows of the state. */
  readonly place: (state: State) => number;
  readonly counts?: (state: State) => Record<string, number>;
}

/** How a life ended. A value, not a throw: what follows depends on it. */
export type LifeEnd = { readonly kind: 'stopped' } | { readonly kind: 'fenced' | 'lost' | 'history' | 'fault'; readonly error: Error };

export interface LifeControl {
  /** A clean stop: give out what is held, then end. */
  readonly stop: AbortSignal;
  /** The lease is gone: end at once, write nothing more. */
  readonly lost: AbortSignal;
  /** Whether this instance leads, and when that changes. */
  readonly leads: () => boolean;
  readonly onLead: (changed: () => void) => () => void;
  /** Called after each step. */
  readonly seen: (report: { place: number; counts: Record<string, number> }) => void;
  readonly scheduler?: SchedulerLike;
}

/** A step gets no more than this at once: an event loop that is blocked for long loses its leases. */
const stepBytesMax = 512 * 1024;

/** Runs one life to its end. The caller opens `env.bus` and closes it. */
export const runLife = async <State>(fold: FoldDefinition<State>, env: Env, partition: number, control: LifeControl): Promise<LifeEnd> => {
  const life = new Life(fold, env, partition, control);
  try {
    await life.run();
    return { kind: 'stopped' };
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new RetryableError(messageOf(thrown));
    if (error instanceof FencedError) return { kind: 'fenced', error };
    if (error instanceof HistoryError) return { kind: 'history', error };
    if (error instanceof RetryableError || env.bus.isClosed) return { kind: 'lost', error };
    return { kind: 'fault', error };
  } finally {
    await life.close();
  }
};

class Life<State> {
  private state!: State;
  private readonly fences = new Map<string, number>();
  private readonly readers: { name: string; reader: LogReader; options: { stream: string } & LogOptions }[] = [];
  /** What works that went on beside have given back, or why one failed. */
  private readonly besides: (readonly Output[] | Error)[] = [];
  private readonly ticks = new Set<string>();
  private readonly heard: PlainMessage[] = [];
  private readonly notes: { name: string; value: unknown }[] = [];
  private readonly closers: (() => void)[] = [];
  private readonly states = new Subject<State>();
  private unfenced: Promise<unknown>[] = [];
  private timersRanAt = 0;
  private leadChanged = false;
  private wake: (() => void) | undefined;
  private turn = 0;

  constructor(
    private readonly fold: FoldDefinition<State>,
    private readonly env: Env,
    private readonly partition: number,
    private readonly control: LifeControl,
  ) {}

  async run(): Promise<void> {
    const { fold, env, control } = this;
    const beginning = await fold.begin(env, this.partition);
    this.state = beginning.state;
    for (const [fence, sequence] of Object.entries(beginning.fences)) this.fences.set(fence, sequence);
    for (const [name, options] of Object.entries(beginning.logs)) {
      this.readers.push({ name, options, reader: await env.bus.read(options.stream, { ...options, arrived: this.arrived }) });
    }
    if (fold.ticks) {
      const ticking = fold.ticks(this.states, env, control.scheduler ?? asyncScheduler).subscribe((tick) => {
        this.ticks.add(tick);
        this.arrived();
      });
      this.closers.push(() => ticking.unsubscribe());
    }
    for (const { subject, queue } of fold.hears ?? []) {
      this.closers.push(
        env.bus.hear(
          subject,
          (message) => {
            if (this.heard.length < 10_000) this.heard.push(message); // whoever asked more than that asks again
            this.arrived();
          },
          queue === undefined ? {} : { queue },
        ),
      );
    }
    this.closers.push(
      control.onLead(() => {
        this.leadChanged = true;
        this.arrived();
      }),
    );
    for (const signal of [control.stop, control.lost]) {
      signal.addEventListener('abort', this.arrived);
      this.closers.push(() => signal.removeEventListener('abort', this.arrived));
    }
    void env.bus.closed.then(this.arrived);
    if (control.leads()) this.leadChanged = true;
    this.report();
    await this.loop();
  }

  async close(): Promise<void> {
    for (const close of this.closers.splice(0)) close();
    this.states.complete();
    await Promise.all(this.readers.splice(0).map(({ reader }) => reader.close().catch(() => undefined)));
  }

  private readonly arrived = (): void => {
    this.wake?.();
    this.wake = undefined;
  };

  private async loop(): Promise<void> {
    for (;;) {
      if (this.control.lost.aborted) throw new FencedError(`${this.fold.name}: the lease is gone`);
      if (this.env.bus.isClosed) throw new RetryableError(`${this.fold.name}: the connection is closed`);
      const given = this.besides.shift();
      if (given instanceof Error) throw given;
      if (given) await this.perform(given);
      const input = this.next();
      if (input === undefined) {
        if (this.besides.length > 0 || this.notes.length > 0) continue;
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
        continue;
      }
      const [state, outputs] = this.fold.step(this.state, input, this.env);
      this.state = state;
      await this.perform(outputs);
      this.report();
      if (input.kind === 'stop') return;
    }
  }

  /** A stop first, then what was found, what people asked, ticks, and the logs in turn. */
  private next(): Input | undefined {
    const now = this.env.now();
    if (this.control.stop.aborted) return { kind: 'stop', now };
    if (this.leadChanged) {
      this.leadChanged = false;
      return { kind: 'lead', leads: this.control.leads(), now };
    }
    const note = this.notes.shift();
    if (note) return { kind: 'noted', ...note, now };
    const message = this.heard.shift();
    if (message) return { kind: 'heard', message, now };
    for (const tick of this.ticks) {
      this.ticks.delete(tick);
      return { kind: 'tick', tick, now };
    }
    for (let i = 0; i < this.readers.length; i++) {
      this.turn = (this.turn + 1) % this.readers.length;
      const { name, reader } = this.readers[this.turn] as { name: string; reader: LogReader };
      const messages = reader.take(this.fold.messagesPerStepMax ?? 1_000, stepBytesMax);
      if (messages.length > 0) return { kind: 'messages', log: name, messages, now };
    }
    return undefined;
  }

  private async perform(outputs: readonly Output[]): Promise<void> {
    for (const output of outputs) {
      if (output.do === 'tell' || output.do === 'work') await this.letTimersRun();
      if (this.control.lost.aborted) throw new FencedError(`${this.fold.name}: the lease is gone`);
      switch (output.do) {
        case 'tell':
          this.env.bus.tell(output.subject, output.body, output.headers);
          break;
        case 'note':
          this.notes.push({ name: output.name, value: output.value });
          break;
        case 'publish': {
          const done = crashPoints(`${this.fold.name}.${output.message}`);
          await this.publish(output);
          done();
          break;
        }
        case 'reopen':
          await this.reopen(output.log);
          break;
        case 'work': {
          const done = crashPoints(`${this.fold.name}.${output.what}`);
          const running = output.run(this.env);
          if (output.beside) {
            this.addBeside(running, done);
            break;
          }
          const more = await running;
          done();
          if (more) await this.perform(more);
          break;
        }
      }
    }
    await this.settle();
  }

  private addBeside(running: ReturnType<Work['run']>, done: () => void): void {
    running
      .then(
        (more) => {
          done();
          this.besides.push(more ?? []);
        },
        (error: unknown) => this.besides.push(error instanceof Error ? error : new RetryableError(messageOf(error))),
      )
      .finally(this.arrived);
  }

  private async reopen(log: string): Promise<void> {
    const entry = this.readers.find(({ name }) => name === log);
    if (entry === undefined) return;
    await entry.reader.close();
    entry.reader = await this.env.bus.read(entry.options.stream, { ...entry.options, start: 'first', arrived: this.arrived });
  }

  private async publish(output: Extract<Output, { do: 'publish' }>): Promise<void> {
    const options = {
      ...(output.headers ? { headers: output.headers } : {}),
      ...(output.id === undefined ? {} : { id: output.id }),
    };
    if (output.fence === undefined) {
      const publishing = this.env.bus.publish(output.subject, output.body, options);
      publishing.catch(() => undefined); // it is looked at in settle()
      this.unfenced.push(publishing);
      if (this.unfenced.length >= 256) await this.settle();
      return;
    }
    await this.settle();
    if (this.control.lost.aborted) throw new FencedError(`${this.fold.name}: the lease is gone`);
    const expectedLast = this.fences.get(output.fence) ?? 0;
    this.timersRanAt = performance.now(); // or it is refused
    const sequence = await this.env.bus.publish(output.subject, output.body, {
      ...options,
      expectedLast,
      ...(output.fence === output.subject ? {} : { expectedFilter: output.fence }),
    });
    this.fences.set(output.fence, sequence);
  }

  /**
   * So long after the last publish may mean that this process was stopped meanwhile, and goes on before the timers run that see a
   * lease expire: an old acknowledgement would be told after a successor's newer one.
   */
  private async letTimersRun(): Promise<void> {
    if (performance.now() - this.timersRanAt <= this.env.settings.leaseTtlMs / 2) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.timersRanAt = performance.now();
  }

  private async settle(): Promise<void> {
    if (this.unfenced.length > 0) await Promise.all(this.unfenced.splice(0));
  }

  private report(): void {
    this.states.next(this.state);
    this.control.seen({ place: this.fold.place(this.state), counts: this.fold.counts?.(this.state) ?? {} });
  }
}
