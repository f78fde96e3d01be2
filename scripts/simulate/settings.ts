/** Settings of a simulated system: short times, small buffers, drawn from the seed. */
import { loadSettings, type Settings } from '../../infra/config.js';
import type { Random } from '../chaos/random.js';

export const partitions = 2;

/** How long a seed goes on with faults, how much is published meanwhile, and how often each fault comes, as shares of steps. */
export interface Shape {
  readonly faultySteps: number;
  readonly publish: number;
  readonly fault: number;
  readonly together: number;
  readonly unanswered: number;
  readonly powerCut: number;
  readonly unheard: number;
  readonly torn: number;
  /** Of the buffer's steps: those that find a segment which is nearly full. */
  readonly crowded: number;
}

export const makeShape = (random: Random): Shape => ({
  faultySteps: random.pick([250, 500, 1_000]),
  publish: random.pick([0.06, 0.12]),
  fault: random.pick([0, 0.003, 0.01]),
  together: random.pick([0, 0.0005, 0.01]),
  unanswered: random.pick([0, 0.005, 0.02]),
  powerCut: random.pick([0, 0.001, 0.004]),
  unheard: random.pick([0, 0.1, 0.4]),
  torn: random.pick([0, 0.02, 0.15]),
  crowded: random.pick([0, 0.2]),
});

export const makeSettings = (random: Random): Settings => ({
  ...loadSettings({}, { env: {}, cwd: '/' }).settings,
  partitions,
  bufferCapacity: random.pick([2, 5, 50]),
  sealAfterMs: random.pick([100, 400]),
  snapshotEveryMs: random.pick([700, 3_000]),
  snapshotRecords: random.pick([5, 250_000]),
  uploadEveryMs: random.pick([150, 600]),
  updateEveryMs: random.pick([50, 250]),
  purgeEveryMs: random.pick([100, 300, 900]),
  segmentsKeepMs: random.pick([0, 800]),
  partEveryMs: random.pick([700, 1_500]),
  batchEveryMs: random.pick([1_000, 3_000]),
  recomputeEveryMs: random.pick([6_000, 86_400_000]),
});
