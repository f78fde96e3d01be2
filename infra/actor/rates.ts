/** How much actors get done a second, from what they say of themselves once a second. */
import type { ActorStatus } from '../../protocol/messages/actor-status.js';

/** Those that records go through. */
const measured: readonly string[] = ['buffer', 'uploader', 'windower', 'merger'];
/** The mean goes back so far. */
const windowMs = 10_000;

/** Records of an actor so far, in its present lives: those it counts, else the sum of the offsets it has got to. */
const recordsOf = ({ counts, places }: Pick<ActorStatus, 'counts' | 'places'>): number =>
  counts.records ?? Object.values(places).reduce((sum, place) => sum + place, 0);

const holds = ({ partitions, places }: Pick<ActorStatus, 'partitions' | 'places'>): string => `${partitions} ${Object.keys(places)}`;

interface Seen {
  readonly at: number;
  readonly records: number;
  readonly holds: string;
}

export class Rates {
  readonly #seen = new Map<string, Seen[]>();

  /** @returns records a second over the last ten, or since it took or lost a partition; undefined at first */
  of(status: Pick<ActorStatus, 'actor' | 'instance' | 'partitions' | 'places' | 'counts'>, at: number): number | undefined {
    if (!measured.includes(status.actor) || Object.keys(status.places).length === 0) return undefined;
    const now = { at, records: recordsOf(status), holds: holds(status) };
    const key = `${status.actor}.${status.instance}`;
    const before = this.#seen.get(key) ?? [];
    const newest = before.at(-1);
    const isNew = newest !== undefined && (newest.holds !== now.holds || newest.records > now.records); // a new life counts anew
    const seen = [...(isNew ? [] : before.filter((one) => at - one.at <= windowMs)), now];
    this.#seen.set(key, seen);
    const first = seen[0] as Seen;
    return first.at === at ? undefined : Math.round(((now.records - first.records) * 10_000) / (at - first.at)) / 10;
  }
}
