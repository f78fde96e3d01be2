/**
 * Agent: measures one service on one host, on the aligned second.
 *
 * in    a probe             cpu, ram and disk in percent, asked at each tick
 * in    reading.sealed      by its source, which keeps each reading until then
 * out   metrics             one reading for each sample that succeeded
 *
 * A1  A reading's timestamp is the aligned instant of its tick: a multiple of the interval since 1970, each at most once.
 * A2  A sample that fails is counted and nothing is published for it; the next tick is tried as if nothing had been.
 * A3  Each start is a new source, with an id that nobody had before (B7): n and readings are kept in memory only.
 * A4  A stop measures no more and waits, with a bound, until everything is sealed; what is not by then is told.
 */
import { randomUUID } from 'node:crypto';
import {
  asyncScheduler,
  defer,
  exhaustMap,
  firstValueFrom,
  from,
  map,
  type Observable,
  race,
  repeat,
  type SchedulerLike,
  tap,
  timer,
} from 'rxjs';
import type { Source } from '../infra/client/source.js';
import type { Probe, Sample } from '../infra/probe/probe.js';
import { encodeName } from '../protocol/name-code.js';

export interface AgentOptions {
  service: string;
  host: string;
  /** How often to measure, ms. */
  everyMs: number;
  probe: Probe;
  /** Opens the source through which it publishes, on this subject and under this id. */
  source: (subject: string, agent: string) => Source;
  /** How long a stop may wait for acknowledgements, ms. Default 5 s. */
  stopWithinMs?: number;
  scheduler?: SchedulerLike;
}

export interface RunningAgent {
  readonly service: string;
  readonly agent: string;
  readonly source: Source;
  /** Ticks, and how many of them gave no reading. */
  readonly counts: { ticks: number; missed: number };
  /** @returns how many readings were not sealed. */
  stop(): Promise<{ unsealed: number }>;
}

/** The first multiple of the interval after `now`, but never the one that was just given: timers may fire early. */
const nextAligned = (now: number, everyMs: number, last: number | undefined): number => {
  const at = (Math.floor(now / everyMs) + 1) * everyMs;
  return at === last ? at + everyMs : at;
};

/** The multiples of `everyMs` since 1970, each when it is reached; those that passed while the machine slept are left out. */
export const alignedTicks = (everyMs: number, scheduler: SchedulerLike = asyncScheduler): Observable<number> =>
  defer(() => {
    let last: number | undefined;
    return defer(() => {
      const now = scheduler.now();
      const at = nextAligned(now, everyMs, last);
      return timer(at - now, scheduler).pipe(map(() => (last = at)));
    }).pipe(repeat());
  });

/** Four decimals are finer than anything that is measured. */
const shorten = (percent: number): number => Math.round(percent * 1e4) / 1e4;

const readingLine = (service: string, host: string, at: number, { cpu, ram, disk }: Sample): string =>
  JSON.stringify({
    service,
    host,
    timestamp: new Date(at).toISOString(),
    cpu: shorten(cpu),
    ram: shorten(ram),
    disk: shorten(disk),
  }); // A1

export const startAgent = (options: AgentOptions): RunningAgent => {
  const { service, host, everyMs, probe, scheduler = asyncScheduler, stopWithinMs = 5_000 } = options;
  const agent = randomUUID(); // A3
  const source = options.source(`metrics.${encodeName(service)}.${encodeName(host)}`, agent);
  const counts = { ticks: 0, missed: 0 };
  let measuring: Promise<unknown> = Promise.resolve();
  const measure = (at: number): Promise<void> => {
    const measured = probe
      .sample()
      .catch(() => undefined)
      .then((sample) => {
        if (sample === undefined) return; // A2
        source.add(readingLine(service, host, at, sample));
        counts.missed--;
      });
    measuring = measured;
    return measured;
  };
  const ticks = alignedTicks(everyMs, scheduler)
    .pipe(
      tap(() => {
        counts.ticks++;
        counts.missed++; // until it has given a reading; a tick that comes while the one before is measured gives none
      }),
      exhaustMap((at) => from(measure(at))),
    )
    .subscribe();

  return {
    service,
    agent,
    source,
    counts,
    stop: async () => {
      // A4
      ticks.unsubscribe();
      const drained = defer(() => measuring.then(() => source.drained()));
      await firstValueFrom(race(drained, timer(stopWithinMs, scheduler)));
      source.close();
      return { unsealed: source.counts.kept };
    },
  };
};
