import t from 'tap';
import { onReduced } from '../../../actors/scheduler/batch.js';
import type { OpenBatch, SchedulerState } from '../../../actors/scheduler/state.js';
import type { Env } from '../../../infra/actor/env.js';
import type { Output, Work } from '../../../infra/actor/output.js';
import { emptyStorage } from '../logs-in-memory.js';

t.test('S1: a batch whose listing is gone is abandoned, which a stale owner is refused', async (t) => {
  const open = {
    requested: { batch: '000002', base: null, cut: [5], reduceTasks: 1, dates: [] },
    reduced: new Map(),
    draft: {},
    index: undefined,
  } as unknown as OpenBatch;
  const state = { open, counts: { abandoned: 0 } } as unknown as SchedulerState;
  const listing = { path: 'minutes/000002/services-0.json', bytes: 9, sha256: 'a'.repeat(64) };
  const [write] = onReduced(state, open, { batch: '000002', task: 0, listing, records: 5, rows: 1 });
  const outputs = (await (write as Work).run({ storage: emptyStorage } as Env)) as readonly Output[];
  t.match(outputs[0], { do: 'publish', message: 'batch.abandoned', fence: 'batch.*' });
  t.equal(state.open, undefined);
});
