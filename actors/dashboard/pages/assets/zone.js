/**
 * Clocks of a zone: what they show at an instant, and at which instant they show it; days of 23 and 25 hours among them.
 *
 * A local time is a number too: the ms since 1970 at which a clock in UTC would show the same.
 */

export const minuteMs = 60_000;
export const hourMs = 3_600_000;
export const dayMs = 86_400_000;

/** Offsets are whole quarters of an hour, and so are the instants at which they change (in all zones since 1972). */
const quarterMs = 15 * minuteMs;
const offsetsKeptMax = 20_000;

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();
/** @type {Map<string, number>} */
const offsets = new Map();

/** The zone's IANA name: `local` is this browser's. @param {string} zone */
export const zoneName = (zone) => (zone === 'local' ? new Intl.DateTimeFormat().resolvedOptions().timeZone : zone);

/** @param {string} zone */
export const isZone = (zone) => {
  try {
    formatOf(zoneName(zone));
    return true;
  } catch {
    return false;
  }
};

/** @param {string} zone */
const formatOf = (zone) => {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US-u-ca-gregory-nu-latn', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, format);
  }
  return format;
};

/** How far the zone's clocks are ahead of UTC, ms. @param {number} at @param {string} zone */
export const offsetAt = (at, zone) => {
  const name = zoneName(zone);
  if (name === 'UTC') return 0;
  const quarter = Math.floor(at / quarterMs);
  const key = `${name} ${quarter}`;
  let offset = offsets.get(key);
  if (offset === undefined) {
    /** @type {Record<string, number>} */
    const part = {};
    for (const { type, value } of formatOf(name).formatToParts(quarter * quarterMs)) part[type] = Number(value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
    offset = Date.UTC(year, month - 1, day, hour, minute, second) - quarter * quarterMs;
    if (offsets.size >= offsetsKeptMax) offsets.clear();
    offsets.set(key, offset);
  }
  return offset;
};

/** @param {number} at @param {string} zone */
export const localOf = (at, zone) => at + offsetAt(at, zone);

/**
 * The first instant at which the zone's clocks show a local time; of a time that they leap over, the instant of the leap.
 * @param {number} local @param {string} zone
 */
export const instantOf = (local, zone) => {
  const near = [offsetAt(local - dayMs, zone), offsetAt(local + dayMs, zone)];
  const early = local - Math.max(...near);
  const late = local - Math.min(...near);
  for (const at of [early, late]) if (localOf(at, zone) === local) return at;
  let before = Math.floor(early / quarterMs);
  let after = Math.ceil(late / quarterMs);
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (localOf(middle * quarterMs, zone) < local) before = middle;
    else after = middle;
  }
  return after * quarterMs;
};

/** The beginning of the day that holds an instant. @param {number} at @param {string} zone */
export const dayStart = (at, zone) => instantOf(Math.floor(localOf(at, zone) / dayMs) * dayMs, zone);

/** A day has 23 to 25 hours, so half a day past its end lies in the next. @param {number} start @param {string} zone */
export const nextDay = (start, zone) => dayStart(start + 1.5 * dayMs, zone);

/** @param {number} start @param {string} zone */
export const previousDay = (start, zone) => dayStart(start - dayMs / 2, zone);

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** @param {number} value @param {number} [width] */
const padded = (value, width = 2) => String(value).padStart(width, '0');

/** `10:14`, `10:14:03`, `10:14:03.120` @param {number} at @param {string} zone @param {'minute' | 'second' | 'ms'} [to] */
export const clock = (at, zone, to = 'minute') => {
  const local = new Date(localOf(at, zone));
  const minute = `${padded(local.getUTCHours())}:${padded(local.getUTCMinutes())}`;
  if (to === 'minute') return minute;
  const second = `${minute}:${padded(local.getUTCSeconds())}`;
  return to === 'second' ? second : `${second}.${padded(local.getUTCMilliseconds(), 3)}`;
};

/** `24 Nov`, with the year when it is not that of `now`. @param {number} at @param {string} zone @param {number} [now] */
export const date = (at, zone, now = Date.now()) => {
  const local = new Date(localOf(at, zone));
  const year = local.getUTCFullYear();
  const short = `${local.getUTCDate()} ${months[local.getUTCMonth()]}`;
  return year === new Date(localOf(now, zone)).getUTCFullYear() ? short : `${short} ${year}`;
};

/** `24 Nov 10:14` @param {number} at @param {string} zone @param {'minute' | 'second' | 'ms'} [to] */
export const dateClock = (at, zone, to = 'minute') => `${date(at, zone)} ${clock(at, zone, to)}`;

/** `UTC`, `UTC+1`, `UTC-3:30` @param {number} at @param {string} zone */
export const offsetText = (at, zone) => {
  const minutes = offsetAt(at, zone) / minuteMs;
  if (minutes === 0) return 'UTC';
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? '-' : '+'}${Math.floor(Math.abs(minutes) / 60)}${rest === 0 ? '' : `:${padded(rest)}`}`;
};

/** As a `datetime-local` field has it. @param {number} at @param {string} zone */
export const toField = (at, zone) => new Date(localOf(at, zone)).toISOString().slice(0, 16);

/** @param {string} text of a `datetime-local` field @param {string} zone @returns {number | undefined} */
export const fromField = (text, zone) => {
  const local = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? Date.parse(`${text}Z`) : Number.NaN;
  return Number.isNaN(local) ? undefined : instantOf(local, zone);
};
