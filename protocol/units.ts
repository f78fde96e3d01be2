/**
 * Units: percentages travel between programs as decimal numbers and inside as whole millionths.
 *
 * A reading holds at most 10,000 percent, 1e10 millionths. `Math.round(x * 1e6)` gives the millionths of a double with
 * at most six decimals back exactly below 2^32 * 1e6 (decision 0002), so a value survives any number of trips; larger sums
 * travel beside the doubles, exactly (exact-sums.ts).
 */

/** Whole millionths of a percent. A number while that is exact, else a bigint. */
export type Sum = number | bigint;

export const millionthsPerUnit = 1_000_000;

/** Percent, as a double, to whole millionths. -0 becomes 0. */
export const toMillionths = (percent: number): number => Math.round(percent * millionthsPerUnit) + 0;

/** Whole millionths to percent: the double nearest to the exact value, up to 2^53. */
export const toPercent = (millionths: Sum): number => Number(millionths) / millionthsPerUnit;

/** a + b, exactly. */
export const addSums = (a: Sum, b: Sum): Sum => {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (sum <= Number.MAX_SAFE_INTEGER) return sum;
  }
  return BigInt(a) + BigInt(b);
};

/** The one way to write a sum: a number where that is exact, so that equal sums are `===` equal. */
export const normalSum = (sum: Sum): Sum => (sum <= Number.MAX_SAFE_INTEGER ? Number(sum) : BigInt(sum));

export const parseSum = (text: string | number): Sum => normalSum(BigInt(text));
