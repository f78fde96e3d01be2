/** Which times somebody asks for: `now-6h`, `today`, or an instant; and what a preset stands for. */
import { dayStart, previousDay } from './zone.js';

/** @typedef {{ from: string, to: string }} Range as words */
/** @typedef {{ from: number, to: number }} Span in ms, half-open */

/** @type {ReadonlyArray<Range & { label: string }>} */
export const presets = [
  { label: '15 min', from: 'now-15m', to: 'now' },
  { label: '1 h', from: 'now-1h', to: 'now' },
  { label: '6 h', from: 'now-6h', to: 'now' },
  { label: '24 h', from: 'now-24h', to: 'now' },
  { label: '7 days', from: 'now-7d', to: 'now' },
  { label: '30 days', from: 'now-30d', to: 'now' },
  { label: 'today', from: 'today', to: 'now' },
  { label: 'yesterday', from: 'yesterday', to: 'today' },
];

/** @type {Record<string, number>} */
const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/**
 * @param {string} word @param {number} now @param {string} zone in which days begin
 * @returns {number | undefined} ms
 */
export const instantOfWord = (word, now, zone) => {
  if (word === 'today') return dayStart(now, zone);
  if (word === 'yesterday') return previousDay(dayStart(now, zone), zone);
  const relative = /^now(?:([+-])(\d{1,6})([smhdw]))?$/.exec(word);
  if (relative !== null) {
    const ms = Number(relative[2] ?? 0) * (unitMs[relative[3] ?? 's'] ?? 0);
    return relative[1] === '-' ? now - ms : now + ms;
  }
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/.test(word) ? Date.parse(word) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
};

/** @param {Range} range @param {number} now @param {string} zone @returns {Span | undefined} */
export const spanOf = (range, now, zone) => {
  const from = instantOfWord(range.from, now, zone);
  const to = instantOfWord(range.to, now, zone);
  return from === undefined || to === undefined || from >= to ? undefined : { from, to };
};

/** Whether it moves on with the time. @param {Range} range */
export const isMoving = ({ from, to }) => !/^\d/.test(from) || !/^\d/.test(to);

/** @param {number} ms */
export const iso = (ms) => new Date(ms).toISOString().replace('.000Z', 'Z');

/** @param {Span} span @returns {Range} */
export const fixed = ({ from, to }) => ({ from: iso(from), to: iso(to) });

/**
 * Nearer or wider around the middle, or a part to the side.
 * @param {Span} span @param {number} factor of the length @param {number} [shift] in lengths
 * @returns {Span}
 */
export const resized = ({ from, to }, factor, shift = 0) => {
  const length = Math.max(60_000, (to - from) * factor);
  const middle = (from + to) / 2 + shift * (to - from);
  return { from: Math.round(middle - length / 2), to: Math.round(middle + length / 2) };
};
