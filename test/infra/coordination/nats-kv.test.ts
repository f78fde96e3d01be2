import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Bus } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { natsCoordinator } from '../../../infra/coordination/nats-kv.js';
import { fairShare } from '../../../infra/coordination/coordinator.js';
import { OutOfReachError } from '../../../infra/errors.js';
import { startNats } from '../../servers.js';
import { coordinatorContract } from './coordinator.contract.js';

const nats = await startNats(t);

t.test('fair shares add up to all, and differ by one at most', async (t) => {
  for (let shares = 1; shares < 12; shares++) {
    for (let members = 1; members < 12; members++) {
      const each = Array.from({ length: members }, (_, i) => fairShare(shares, members, i));
      t.equal(each.reduce((sum, share) => sum + share, 0), shares);
      t.ok(Math.max(...each) - Math.min(...each) <= 1);
    }
  }
});

const open = async (t: Test) => {
  let bus: Bus | undefined;
  let isGone = false;
  const coordinator = natsCoordinator(async () => {
    if (isGone) throw new OutOfReachError('gone');
    bus = await openBus({ nats: nats.url }, 'leases');
    return bus;
  }, { ttlMs: 1_500, renewMs: 400 }, pino({ level: 'silent' }));
  t.teardown(() => coordinator.close());
  return { coordinator, vanish: async () => { isGone = true; await bus?.close(); } };
};

coordinatorContract(t, 'nats-kv', open);
