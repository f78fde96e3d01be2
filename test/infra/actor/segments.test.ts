import t from 'tap';
import type { Env } from '../../../infra/actor/env.js';
import type { Work } from '../../../infra/actor/output.js';
import { lookWhy } from '../../../infra/actor/segments.js';
import { HistoryError } from '../../../infra/errors.js';
import { readRawStored } from '../../../protocol/messages/readers.js';
import { logsInMemory } from '../../actors/logs-in-memory.js';

t.test('who was overtaken while it was paused is fenced; with nobody ahead the log is another', async (t) => {
  const commit = (sequence: number) =>
    JSON.stringify({ partition: 0, from: 0, to: 9, files: [], segments: { sequence, chain: 'c'.repeat(64) } });
  const why = (sequence: number): Promise<unknown> => {
    const bus = logsInMemory({ STORED: [{ subject: 'raw.stored.0', sequence: 1, body: commit(sequence) }] });
    const at = { offset: 3, sequence: 5, chain: '' };
    const look = lookWhy([{ subject: 'raw.stored.0', read: readRawStored }], at, new HistoryError('a gap')) as Work;
    return Promise.resolve(look.run({ bus } as Env));
  };
  await t.rejects(why(6), { code: 'E_FENCED', message: /at segment 6 by now, here it is at 5/ });
  await t.rejects(why(5), { code: 'E_HISTORY' });
});
