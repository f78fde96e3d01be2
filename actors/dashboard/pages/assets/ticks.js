/** Where a time axis has its lines: at round times of the zone's clocks, also on days with 23 and 25 hours. */
import { clock, date, dayMs, dayStart, hourMs, localOf, minuteMs, nextDay } from './zone.js';

const minuteSteps = [1, 2, 5, 10, 15, 30].map((n) => n * minuteMs);
const hourSteps = [1, 2, 3, 6, 12];
const daySteps = [1, 2, 7, 14, 28, 91, 182, 364];

/**
 * @param {number} from ms @param {number} to ms @param {string} zone
 * @param {number} countMax
 * @returns {number[]} instants, ms, in order
 */
export const ticksOf = (from, to, zone, countMax) => {
  const smallest = (to - from) / Math.max(1, countMax);
  const minutes = minuteSteps.find((stepMs) => stepMs >= smallest);
  if (minutes !== undefined) return minuteTicks(from, to, zone, minutes);
  const hours = hourSteps.find((step) => step * hourMs >= smallest);
  if (hours !== undefined) return hourTicks(from, to, zone, hours);
  return dayTicks(from, to, zone, daySteps.find((step) => step * dayMs >= smallest) ?? 364);
};

/** @param {number} from @param {number} to @param {string} zone @param {number} stepMs */
const minuteTicks = (from, to, zone, stepMs) => {
  const shift = localOf(from, zone) - from;
  const ticks = [];
  for (let at = Math.ceil((from + shift) / stepMs) * stepMs - shift; at <= to; at += stepMs) ticks.push(at);
  return ticks;
};

/** Hour by hour: those whose hour on the clock is a multiple. @param {number} from @param {number} to @param {string} zone @param {number} step */
const hourTicks = (from, to, zone, step) => {
  const ticks = [];
  for (let at = Math.ceil(from / (30 * minuteMs)) * 30 * minuteMs; at <= to; at += 30 * minuteMs) {
    const local = new Date(localOf(at, zone));
    if (local.getUTCMinutes() === 0 && local.getUTCHours() % step === 0) ticks.push(at);
  }
  return ticks;
};

/** @param {number} from @param {number} to @param {string} zone @param {number} step */
const dayTicks = (from, to, zone, step) => {
  const ticks = [];
  for (let at = dayStart(from, zone); at <= to; at = nextDay(at, zone)) {
    const day = Math.round(localOf(at, zone) / dayMs);
    if (at >= from && day % step === 0) ticks.push(at);
  }
  return ticks;
};

/** The date where a day begins and at the first tick, else the time. @param {number[]} ticks ms @param {string} zone */
export const tickTexts = (ticks, zone) =>
  ticks.map((at, i) => {
    const time = clock(at, zone);
    const before = ticks[i - 1];
    const newDay = before === undefined || date(before, zone) !== date(at, zone);
    if (time === '00:00' || !newDay) return newDay ? date(at, zone) : time;
    return `${time}\n${date(at, zone)}`;
  });
