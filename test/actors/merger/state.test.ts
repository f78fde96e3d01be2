import t from 'tap';
import { applyOrFault } from '../../../actors/merger/state.js';
import { createView } from '../../../actors/merger/view-state.js';
import type { Env } from '../../../infra/actor/env.js';
import { createLog } from '../../../infra/log.js';
import type { PartStored } from '../../../protocol/messages/part-stored.js';
import { logsInMemory } from '../logs-in-memory.js';

t.test('who lags behind a proved batch begins anew from it; a gap that no batch holds is a fault', async (t) => {
  const file = { path: 'views/batch/000003.json', bytes: 1, sha256: 'a'.repeat(64) };
  const proved = (cut: number) =>
    JSON.stringify({ batch: '000003', cut: [cut], records: cut, rows: 1, differences: 0, examples: [], manifest: file, requestedAt: 1 });
  const part: PartStored = {
    partition: 0,
    from: 40,
    to: 50,
    file: { ...file, path: 'views/realtime/0/40-50.parquet' },
    rows: 1,
    refused: {},
    missing: {},
    segments: { sequence: 9, chain: 'c'.repeat(64) },
  };
  const apply = (cut: number) => {
    const bus = logsInMemory({ BATCH: [{ subject: 'view.proved', sequence: 4, body: proved(cut) }] });
    return applyOrFault({ bus, log: createLog({ logLevel: 'silent' }) } as Env, createView(1, null), part);
  };
  await t.rejects(apply(40), { code: 'E_RETRY', message: /begins anew/ });
  t.match(await apply(0), { outcome: 'rebuild', fault: { partition: 0, to: 50 } });
});
