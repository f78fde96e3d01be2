import t from 'tap';
import { beginBuffer } from '../../../actors/buffer/begin.js';
import { emptyTable, toSnapshot } from '../../../actors/buffer/source-table.js';
import type { Env } from '../../../infra/actor/env.js';
import type { Storage } from '../../../infra/storage/storage.js';
import { sha256Of } from '../../../protocol/sha256.js';
import { emptySegment, type Logged, logsInMemory } from '../logs-in-memory.js';

const chain = (sequence: number): string => String(sequence).padStart(64, '0');

const table = Buffer.from(toSnapshot(emptyTable(), 0));

const snapshot = (sequence: number, segment: number): Logged => ({
  subject: 'table.stored.0',
  sequence,
  body: JSON.stringify({
    partition: 0,
    offset: 0,
    file: { path: `state/${sequence}`, bytes: table.byteLength, sha256: sha256Of(table) },
    segments: { sequence: segment, chain: chain(segment) },
  }),
});

t.test('B5: who was overtaken while it read its table begins again; without a newer snapshot the log is not the one', async (t) => {
  const storage = { read: async () => table, local: async () => '' } as unknown as Storage;
  const begin = (isOvertaken: boolean) => {
    const logs = { STORED: [snapshot(1, 1)], 'SEGMENTS-0': [1, 2, 3, 4].map((sequence) => emptySegment(sequence, chain(sequence))) };
    const bus = logsInMemory(logs, (what) => {
      if (what !== 'read SEGMENTS-0') return;
      logs['SEGMENTS-0'].splice(0, 3); // purged up to a newer snapshot's place
      if (isOvertaken) logs.STORED.push(snapshot(2, 4));
    });
    return beginBuffer({ bus, storage } as Env, 0);
  };
  await t.rejects(begin(true), { code: 'E_RETRY', message: /newer snapshot/ });
  await t.rejects(begin(false), { code: 'E_HISTORY' });
});
