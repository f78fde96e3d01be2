/** Puts the series of several services over one time axis. Where nothing was measured there is null: a gap is drawn as a gap. */

/** @typedef {import('./api.js').ServiceSeries} ServiceSeries */

/**
 * The times of all services, and one more behind each time that nothing follows at once, for the gap.
 * @param {readonly ServiceSeries[]} services @param {number} bucketSeconds
 * @returns {number[]} seconds, in order
 */
export const timesOf = (services, bucketSeconds) => {
  const all = new Set();
  for (const { time } of services) for (const at of time) all.add(at);
  const sorted = /** @type {number[]} */ ([...all]).sort((a, b) => a - b);
  /** @type {number[]} */
  const times = [];
  sorted.forEach((at, i) => {
    times.push(at);
    const next = sorted[i + 1];
    if (next !== undefined && next - at > bucketSeconds * 1.5) times.push(at + bucketSeconds);
  });
  return times;
};

/**
 * @param {readonly ServiceSeries[]} services @param {'cpu' | 'ram' | 'disk'} metric
 * @param {readonly number[]} times of timesOf
 * @returns {(number | null)[][]} mean and max of each service, in turn
 */
export const alignedValues = (services, metric, times) =>
  services.flatMap(({ time, [metric]: measured }) => {
    /** @type {(number | null)[]} */
    const mean = new Array(times.length).fill(null);
    /** @type {(number | null)[]} */
    const max = new Array(times.length).fill(null);
    let from = 0;
    time.forEach((at, i) => {
      while (/** @type {number} */ (times[from]) < at) from += 1;
      mean[from] = measured.mean[i] ?? null;
      max[from] = measured.max[i] ?? null;
    });
    return [mean, max];
  });
