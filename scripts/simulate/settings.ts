/** Settings of a simulated system: short times, small buffers, drawn from the seed. */
import { loadSettings, type Settings } from '../../infra/config.js';
import type { Random } from '../chaos/random.js';
import type { Rule } from './rules.js';

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
  /** Of a worker's looks for a task: those that find one that was handed out before, maybe done. */
  readonly again: number;
  /** How much one task of a batch reads: with little a batch has many tasks. */
  readonly taskBytesMax: number;
  /** Whom faults strike, each as often as the others. */
  readonly struck: readonly string[];
  /** Acts before which their owner is often paused. */
  readonly held: readonly string[];
  /** Acts that are often their owner's last. */
  readonly last: readonly string[];
  /** Of the steps: those that are of these roles and the workers, if they have one. */
  readonly hurry: number;
  readonly hurried: readonly string[];
  /** Of the seeds: those with a source of which every other reading is lost. */
  readonly gappy: number;
}

/** Nothing else goes wrong: much is done in a few steps. */
const calm: Partial<Shape> = { together: 0, unanswered: 0, powerCut: 0, unheard: 0, torn: 0, crowded: 0 };
/** One batch after the other, of several tasks. */
const batches: Partial<Shape> = { faultySteps: 3_000, taskBytesMax: 1_500, hurry: 0.5, hurried: ['scheduler', 'merger'] };

/** What these rules are against is rare: where one is switched off, it comes more often. */
const leanings: Partial<Record<Rule, { readonly shape?: Partial<Shape>; readonly settings?: Partial<Settings> }>> = {
  'B6 not said': { shape: { gappy: 1 } },
  'B11 through': { shape: { crowded: 0.4, fault: 0.02, powerCut: 0.004 }, settings: { purgeEveryMs: 100, sealAfterMs: 800 } },
  'B11 guard': { shape: { powerCut: 0.01 }, settings: { purgeEveryMs: 100, sealAfterMs: 800 } },
  S1: {
    shape: {
      ...calm,
      ...batches,
      faultySteps: 2_500,
      together: 0.3,
      fault: 0.003,
      struck: ['scheduler'],
      held: ['publish batch.abandoned', 'publish view.proved'],
      last: ['publish batch.abandoned'],
    },
    settings: { partEveryMs: 700, uploadEveryMs: 150, batchEveryMs: 1_000, recomputeEveryMs: 1_500 },
  },
  S3: {
    shape: { ...calm, ...batches, again: 0.6, fault: 0.004 },
    settings: { partEveryMs: 700, uploadEveryMs: 150, batchEveryMs: 1_000, recomputeEveryMs: 300 },
  },
};

export const makeShape = (random: Random, leaning: Rule | undefined): Shape => ({
  faultySteps: random.pick([250, 500, 1_000]),
  publish: random.pick([0.06, 0.12]),
  fault: random.pick([0, 0.004, 0.01, 0.02]),
  together: random.pick([0, 0.001, 0.01, 0.04]),
  unanswered: random.pick([0, 0.01, 0.04]),
  powerCut: random.pick([0, 0.002, 0.008]),
  unheard: random.pick([0, 0.1, 0.4]),
  torn: random.pick([0, 0.1, 0.3]),
  crowded: random.pick([0, 0.1, 0.4]),
  again: 0.03,
  taskBytesMax: random.pick([1_000, 4_000, 1_000_000]),
  struck: ['buffer', 'uploader', 'windower', 'scheduler', 'merger'],
  held: [],
  last: [],
  hurry: 0,
  hurried: [],
  gappy: 0.1,
  ...(leaning && leanings[leaning]?.shape),
});

export const makeSettings = (random: Random, leaning: Rule | undefined): Settings => ({
  ...loadSettings({}, { env: {}, cwd: '/' }).settings,
  partitions,
  leaseTtlMs: Number.POSITIVE_INFINITY, // real time: how busy the machine is must not change a seed
  bufferCapacity: random.pick([2, 5, 50]),
  sealAfterMs: random.pick([100, 800]),
  snapshotEveryMs: random.pick([700, 3_000]),
  snapshotRecords: random.pick([5, 250_000]),
  uploadEveryMs: random.pick([150, 600]),
  updateEveryMs: random.pick([50, 250]),
  purgeEveryMs: random.pick([100, 300, 900]),
  segmentsKeepMs: random.pick([0, 800]),
  partEveryMs: random.pick([700, 3_000]),
  batchEveryMs: random.pick([1_000, 3_000]),
  recomputeEveryMs: random.pick([1_500, 6_000, 86_400_000]),
  ...(leaning && leanings[leaning]?.settings),
});
