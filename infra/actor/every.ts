/** The plainest tick of a fold. */
import { interval, map, type Observable, type SchedulerLike } from 'rxjs';

/** The same tick again and again, the first one after `ms`. */
export const every = <T extends string>(ms: number, tick: T, scheduler: SchedulerLike): Observable<T> =>
  interval(ms, scheduler).pipe(map(() => tick));
