import t from 'tap';
import { readLog } from '../../../infra/bus/read-log.js';
import { logsInMemory } from '../../actors/logs-in-memory.js';

t.test('what was purged while it is read is not waited for', { timeout: 10_000 }, async (t) => {
  const bus = logsInMemory({ BATCH: [{ subject: 'view.proved', sequence: 7, body: '' }] });
  const read: number[] = [];
  for await (const { sequence } of readLog(bus, 'BATCH', { filter: 'view.proved', to: 9 })) read.push(sequence);
  t.same(read, [7], 'the one that is there; 9 was purged since somebody looked');
});
