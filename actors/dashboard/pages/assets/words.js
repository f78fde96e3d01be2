/** Numbers for people, each with its unit. */

const whole = new Intl.NumberFormat('en');

/** `12,345` @param {number} value */
export const count = (value) => whole.format(value);

/** A percentage: `41.2 %`, `0.035 %`; – for none. @param {number | null | undefined} value */
export const percent = (value) => (value === null || value === undefined ? '–' : `${percentNumber(value)} %`);

/** @param {number} value */
export const percentNumber = (value) => {
  if (value !== 0 && Math.abs(value) < 0.1) return String(Number(value.toPrecision(2)));
  return value >= 1000 ? count(Math.round(value)) : value.toFixed(1);
};

/** `12 s`, `5 min`, `3 h`, `2 days` @param {number} ms */
export const duration = (ms) => {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
};

/** A length of time in full: `1 h`, `25 h`, `2 days 3 h`, `15 min` @param {number} ms */
export const length = (ms) => {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 2_880) return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.round(minutes / 60);
  return hours % 24 === 0 ? `${hours / 24} days` : `${Math.floor(hours / 24)} days ${hours % 24} h`;
};

/** `1 reading`, `2 readings` @param {number} n @param {string} one @param {string} [many] */
export const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** @param {readonly number[]} position */
export const sum = (position) => position.reduce((total, offset) => total + offset, 0);
