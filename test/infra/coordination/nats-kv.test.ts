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

t.test('a look that never ends is given up: the next one takes a new connection', async (t) => {
  let opened = 0;
  const given: Bus[] = [];
  const coordinator = natsCoordinator(
    async () => {
      opened += 1;
      const bus = await openBus({ nats: nats.url }, 'leases');
      given.push(bus);
      if (opened > 1) return bus;
      // As a server that stops in the middle of an answer: nothing more comes, and no connection ends.
      const silent = { all: () => new Promise<never>(() => undefined) };
      const bucket: Bus['bucket'] = async (name, options) => Object.assign(await bus.bucket(name, options), silent);
      return Object.assign(bus, { bucket });
    },
    { ttlMs: 1_500, renewMs: 100, turnMsMax: 300 },
    pino({ level: 'silent' }),
  );
  t.teardown(() => coordinator.close());
  await new Promise<void>((resolve, reject) => {
    coordinator.join('silent', 'a', 1, { gained: () => resolve(), lost: () => undefined, wanted: () => undefined }).catch(reject);
  });
  t.ok(opened > 1);
  t.ok(given[0]?.isClosed, 'the one that was given up is closed');
});
