/** Settings of a simulated system: short times, small buffers, drawn from the seed. */
import { loadSettings, type Settings } from '../../infra/config.js';
import type { Random } from '../chaos/random.js';

export const partitions = 2;

export const makeSettings = (random: Random): Settings => ({
  ...loadSettings({}, { env: {}, cwd: '/' }).settings,
  partitions,
  bufferCapacity: random.pick([2, 5, 50]),
  sealAfterMs: 100,
  snapshotEveryMs: random.pick([700, 3_000]),
  snapshotRecords: random.pick([5, 250_000]),
  uploadEveryMs: random.pick([150, 600]),
  updateEveryMs: random.pick([50, 250]),
  purgeEveryMs: random.pick([300, 900]),
  segmentsKeepMs: random.pick([0, 800]),
  partEveryMs: random.pick([700, 1_500]),
  batchEveryMs: random.pick([2_000, 5_000]),
  recomputeEveryMs: random.pick([7_000, 86_400_000]),
});
