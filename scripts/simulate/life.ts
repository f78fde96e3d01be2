/** One life of an actor in the simulated world: its connection, its clock, and what it is told from outside. */
import { VirtualTimeScheduler } from 'rxjs';
import type { Env } from '../../infra/actor/env.js';
import { type FoldDefinition, type LifeEnd, runLife } from '../../infra/actor/fold.js';
import type { Connection } from './connection.js';

export class Life {
  readonly stop = new AbortController();
  readonly lost = new AbortController();
  /** A paused process does nothing before this step. */
  pausedUntil = 0;
  /** What the fold knows, for who checks it. */
  state: unknown;
  hasBegun = false;
  private readonly clock = new VirtualTimeScheduler();
  private readonly leadHandlers = new Set<() => void>();
  private leads = false;

  constructor(
    readonly name: string,
    readonly partition: number,
    readonly connection: Connection,
    now: number,
    /** Called before each of its steps. */
    private readonly before: (state: unknown) => void,
  ) {
    this.clock.frame = now;
  }

  /** Gives the ticks that are due. */
  advance(now: number): void {
    this.clock.maxFrames = now;
    this.clock.flush();
    this.clock.frame = now;
  }

  setLeads(leads: boolean): void {
    if (leads === this.leads) return;
    this.leads = leads;
    for (const changed of this.leadHandlers) changed();
  }

  run<State>(fold: FoldDefinition<State>, env: Env): Promise<LifeEnd> {
    const watched: FoldDefinition<State> = {
      ...fold,
      begin: async (given, partition) => {
        const beginning = await fold.begin(given, partition);
        this.state = beginning.state;
        this.hasBegun = true;
        return beginning;
      },
      step: (state, input, given) => {
        this.before(state);
        return fold.step(state, input, given);
      },
    };
    return runLife(watched, env, this.partition, {
      stop: this.stop.signal,
      lost: this.lost.signal,
      leads: () => this.leads,
      onLead: (changed) => {
        this.leadHandlers.add(changed);
        return () => {
          this.leadHandlers.delete(changed);
        };
      },
      seen: () => undefined,
      scheduler: this.clock,
    });
  }
}
