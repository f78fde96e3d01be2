import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Bus } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { dueShares } from '../../../infra/coordination/coordinator.js';
import { natsCoordinator } from '../../../infra/coordination/nats-kv.js';
import { OutOfReachError } from '../../../infra/errors.js';
import { startNats } from '../../servers.js';
import { coordinatorContract } from './coordinator.contract.js';

const nats = await startNats(t);

t.test('due shares: whoever follows them ends even, and nobody moves a share for its own sake', async (t) => {
  for (let shares = 1; shares < 10; shares++) {
    for (let members = 1; members < 8; members++) {
      const holdings = new Array<number>(members).fill(0);
      holdings[0] = shares; // it was alone before
      for (let turn = 0; turn < 40; turn++) {
        const i = turn % members;
        const due = dueShares(shares, holdings, holdings[i] as number);
        const free = shares - holdings.reduce((sum, held) => sum + held, 0);
        holdings[i] = Math.min(due, (holdings[i] as number) + free);
      }
      t.equal(
        holdings.reduce((sum, held) => sum + held, 0),
        shares,
        `${shares} among ${members}: ${holdings}`,
      );
      t.ok(Math.max(...holdings) - Math.min(...holdings) <= 1, `${shares} among ${members}: ${holdings}`);
    }
  }
  t.equal(dueShares(1, [1, 0], 1), 1, 'who leads goes on leading when another joins');
  t.equal(dueShares(1, [1, 0], 0), 1, 'a free lead would be taken');
});

const open = async (t: Test) => {
  let bus: Bus | undefined;
  let isGone = false;
  const coordinator = natsCoordinator(
    async () => {
      if (isGone) throw new OutOfReachError('gone');
      bus = await openBus({ nats: nats.url }, 'leases');
      return bus;
    },
    { ttlMs: 1_500, renewMs: 400 },
    pino({ level: 'silent' }),
  );
  t.teardown(() => coordinator.close());
  return {
    coordinator,
    vanish: async () => {
      isGone = true;
      await bus?.close();
    },
  };
};

coordinatorContract(t, 'nats-kv', open);
