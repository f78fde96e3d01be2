/**
 * Made-up readings that look like those of real services: a rhythm over the day and the week, noise, now and then a peak.
 * A reading depends on the seed, the service and its instant alone, so the same seed gives the same readings again.
 */

export interface MadeUpService {
  readonly name: string;
  readonly host: string;
  /** Numbers its noise. */
  readonly index: number;
}

const names = ['web', 'checkout', 'search', 'billing', 'mail', 'images', 'login', 'reports'];

export const madeUpServices = (count: number): MadeUpService[] =>
  Array.from({ length: count }, (_, index) => ({
    name: names[index] ?? `service-${index + 1}`,
    host: `demo-${(index % 3) + 1}`,
    index,
  }));

/** A number in [0, 1) from whole numbers: mixed as the finaliser of MurmurHash3 does. */
export const noise = (...parts: readonly number[]): number => {
  let hash = 0x9e3779b9;
  for (const part of parts) {
    // Instants have more than 32 bits.
    for (const word of [part >>> 0, Math.floor(part / 2 ** 32) >>> 0]) {
      hash ^= word;
      hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
      hash ^= hash >>> 16;
    }
  }
  return (hash >>> 0) / 2 ** 32;
};

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const peakMs = 6 * 60_000;

/** 0 in the small hours, 1 in the early afternoon; less on a weekend. */
const rhythm = (at: number): number => {
  const ofDay = 0.5 - 0.5 * Math.cos((2 * Math.PI * ((at - 2 * hourMs) % dayMs)) / dayMs);
  const weekday = new Date(at).getUTCDay();
  return weekday === 0 || weekday === 6 ? 0.5 * ofDay : ofDay;
};

const within = (percent: number): number => Math.round(Math.min(100, Math.max(0, percent)) * 1e4) / 1e4;

export const madeUpLine = (seed: number, { name, host, index }: MadeUpService, at: number): string => {
  const own = (what: number, ...parts: readonly number[]): number => noise(seed, index, what, ...parts);
  const base = 5 + 20 * own(1);
  const peak = own(2, Math.floor(at / peakMs)) < 0.01 ? 40 * (0.5 + own(3, at)) : 0;
  const cpu = base + 45 * rhythm(at) * (0.5 + own(4)) + 8 * (own(5, at) - 0.5) + peak;
  const ram = 25 + 30 * own(6) + 15 * rhythm(at) + 2 * own(7, at);
  const disk = 20 + 40 * own(8) + (((at / dayMs) * (1 + own(9))) % 20) + 0.1 * own(10, at);
  return `{"service":"${name}","host":"${host}","timestamp":${at},"cpu":${within(cpu)},"ram":${within(ram)},"disk":${within(disk)}}`;
};

/** Whether a reading arrives late: one in two hundred. */
export const isLate = (seed: number, { index }: MadeUpService, at: number): boolean => noise(seed, index, 11, at) < 0.005;
