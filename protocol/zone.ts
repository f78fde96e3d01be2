/**
 * Hours and days of an IANA zone: where each begins. A day may have 23 or 25 hours, an hour may begin at :30 or :45 UTC.
 *
 * Intl knows a zone's offset at an instant, slowly; so offsets are kept for each UTC day, of which nearly all have one.
 */
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;

/** How many UTC days and local days are kept for a zone, and how many zones: more than anyone asks about at once. */
const daysKeptMax = 50_000;
const zonesKeptMax = 1_000;

/** One UTC day in a zone: `before` holds until `changeAt` (a day without a change: its end), then `after`. */
interface ZoneDay {
  readonly before: number;
  readonly after: number;
  readonly changeAt: number;
}

class Zone {
  readonly #format: Intl.DateTimeFormat;
  readonly #days = new Map<number, ZoneDay>();
  readonly #dayStarts = new Map<number, number>();
  #lastDay = Number.NaN;
  #last: ZoneDay = { before: 0, after: 0, changeAt: 0 };

  /** @throws RangeError when there is no such zone. */
  constructor(name: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  #askOffset(at: number): number {
    const whole = Math.floor(at / 1000) * 1000;
    const part: Record<string, number> = {};
    for (const { type, value } of this.#format.formatToParts(whole)) part[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
    return Date.UTC(year, month - 1, day, hour, minute, second) - whole;
  }

  #day(at: number): ZoneDay {
    const day = Math.floor(at / dayMs);
    if (day === this.#lastDay) return this.#last;
    let known = this.#days.get(day);
    if (known === undefined) {
      known = this.#lookAt(day * dayMs);
      if (this.#days.size >= daysKeptMax) this.#days.clear();
      this.#days.set(day, known);
    }
    this.#lastDay = day;
    this.#last = known;
    return known;
  }

  #lookAt(from: number): ZoneDay {
    const before = this.#askOffset(from);
    const after = this.#askOffset(from + dayMs);
    let low = from;
    let high = from + dayMs;
    while (before !== after && high - low > 1000) {
      // zones change at whole seconds
      const middle = Math.floor((low + high) / 2000) * 1000;
      if (this.#askOffset(middle) === before) low = middle;
      else high = middle;
    }
    return { before, after, changeAt: high };
  }

  offsetAt(at: number): number {
    const day = this.#day(at);
    return at < day.changeAt ? day.before : day.after;
  }

  hourStart(at: number): number {
    const offset = this.offsetAt(at);
    const local = Math.floor((at + offset) / hourMs) * hourMs;
    const start = local - offset;
    const offsetThen = this.offsetAt(start);
    if (offsetThen === offset) return start;
    // The clock was set within this hour, by less than an hour (Lord Howe): it began under the offset before.
    return Math.min(local - offsetThen, this.#changeIn(start, at));
  }

  dayStart(at: number): number {
    const local = Math.floor((at + this.offsetAt(at)) / dayMs) * dayMs;
    let start = this.#dayStarts.get(local);
    if (start === undefined) {
      start = this.#findMidnight(local, local - this.offsetAt(at));
      if (this.#dayStarts.size >= daysKeptMax) this.#dayStarts.clear();
      this.#dayStarts.set(local, start);
    }
    return start;
  }

  /** The first instant of a local date: the clock may pass midnight twice (Havana), or leap over it (Beirut, Apia). */
  #findMidnight(local: number, near: number): number {
    const early = this.offsetAt(near - 3 * hourMs);
    const late = this.offsetAt(near + 3 * hourMs);
    const first = local - Math.max(early, late);
    if (this.offsetAt(first) === Math.max(early, late)) return first;
    const second = local - Math.min(early, late);
    if (this.offsetAt(second) === Math.min(early, late)) return second;
    return this.#changeIn(first, second);
  }

  /** The instant in (from, to] from which another offset holds. */
  #changeIn(from: number, to: number): number {
    for (const at of [from, to]) {
      const day = this.#day(at);
      if (day.before !== day.after && day.changeAt > from && day.changeAt <= to) return day.changeAt;
    }
    return to;
  }
}

const zones = new Map<string, Zone>();

const zoneOf = (name: string): Zone => {
  let zone = zones.get(name);
  if (zone === undefined) {
    zone = new Zone(name);
    if (zones.size >= zonesKeptMax) zones.clear();
    zones.set(name, zone);
  }
  return zone;
};

/** Whether this machine knows the IANA zone. */
export const isZone = (name: string): boolean => {
  try {
    zoneOf(name);
    return true;
  } catch {
    return false;
  }
};

/**
 * The beginning, in ms, of the minute, hour or day that holds `at`, as the clocks of an IANA zone have it.
 * @throws RangeError when there is no such zone.
 */
export const stepStart = (at: number, step: 'minute' | 'hour' | 'day', zone: string): number => {
  if (step === 'minute') return Math.floor(at / minuteMs) * minuteMs;
  if (zone === 'UTC') {
    const stepMs = step === 'hour' ? hourMs : dayMs;
    return Math.floor(at / stepMs) * stepMs;
  }
  return step === 'hour' ? zoneOf(zone).hourStart(at) : zoneOf(zone).dayStart(at);
};
