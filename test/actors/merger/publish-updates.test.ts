import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Changes } from '../../../actors/merger/changes.js';
import { publishUpdates } from '../../../actors/merger/publish-updates.js';
import type { MergerState } from '../../../actors/merger/state.js';
import { applyUpdate, createView } from '../../../actors/merger/view.js';
import type { Env } from '../../../infra/actor/env.js';
import type { Work } from '../../../infra/actor/output.js';
import type { Bus } from '../../../infra/bus/bus.js';
import { RetryableError } from '../../../infra/errors.js';
import { toTuple } from '../../../protocol/messages/row-tuple.js';
import { addRecord, emptyRow } from '../../../protocol/minute-row.js';

t.test('a connection that is lost while the next rows are read ends the work, not the process', async (t) => {
  const minute = Date.UTC(2026, 10, 23, 10, 15);
  const row = emptyRow();
  addRecord(row, minute, 1, 2, 3);
  const rows = ['web', 'db'].map((service) => toTuple(service, minute, row));
  const view = createView(1, null);
  applyUpdate(view, { partition: 0, from: 0, since: 0, to: 2, rows, refused: {}, missing: {} });
  const batch = { batch: '000001', months: new Map([['db', [{ month: '2026-11' }]]]) };
  const months = {
    newest: () => undefined,
    peek: () => undefined,
    load: async () => {
      await sleep(20); // long enough for a rejection that nobody looks at to be noticed
      return { minute: [] };
    },
  };
  const state = { view: { ...view, batch }, months, leads: true, unsaid: new Changes(), isUpdating: false } as unknown as MergerState;
  const published: string[] = [];
  const bus = {
    publish: async (subject: string) => {
      published.push(subject);
      throw new RetryableError('the connection was lost');
    },
  } as unknown as Bus;
  let unhandled = 0;
  const count = (): void => {
    unhandled += 1;
  };
  process.prependListener('unhandledRejection', count);
  t.teardown(() => process.removeListener('unhandledRejection', count));
  const [publish] = publishUpdates(state);
  await t.rejects(Promise.resolve((publish as Work).run({ bus } as Env)), { code: 'E_RETRY' });
  t.same(published, ['view.updated.web', 'view.updated.db']);
  t.equal(unhandled, 0);
});
