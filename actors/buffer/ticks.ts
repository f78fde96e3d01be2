/** When the buffer seals, says where it is, keeps a snapshot, and purges: by time. By count it seals in its step. */
import { distinctUntilChanged, map, merge, NEVER, type Observable, of, type SchedulerLike, switchMap, timer } from 'rxjs';
import { every } from '../../infra/actor/every.js';

/** A tick, `sealAfterMs` after a buffer got its first content. `opening` numbers the buffers; undefined: empty. */
export const sealTicks = (opening: Observable<number | undefined>, sealAfterMs: number, scheduler: SchedulerLike): Observable<'seal'> =>
  opening.pipe(
    distinctUntilChanged(),
    switchMap((number) => (number === undefined ? NEVER : timer(sealAfterMs, scheduler))),
    map(() => 'seal' as const),
  );

/**
 * Before the first message: where SEGMENTS is full the first seal is refused and the life ends, so a life that waited would
 * never get to make room.
 */
export const beginningTicks: Observable<string> = of('snapshot', 'purge');

export const bufferTicks = (
  opening: Observable<number | undefined>,
  times: { sealAfterMs: number; snapshotEveryMs: number; purgeEveryMs: number },
  scheduler: SchedulerLike,
): Observable<string> =>
  merge(
    sealTicks(opening, times.sealAfterMs, scheduler),
    every(1_000, 'position', scheduler), // B9: at most one a second
    every(times.snapshotEveryMs, 'snapshot', scheduler),
    every(times.purgeEveryMs, 'purge', scheduler),
  );
