import t from 'tap';
import { startNatsServer } from '../../../infra/bus/nats-server.js';
import { loadSettings } from '../../../infra/config.js';
import { createLog, type Log } from '../../../infra/log.js';
import { observe } from '../../../scripts/start/observe.js';
import type { Observed, Order } from '../../../scripts/start/order.js';
import { freePorts, temporaryFolder } from '../../servers.js';

t.test('a server that is away while the first process begins is waited for', async (t) => {
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const data = temporaryFolder(t);
  const { settings } = loadSettings({ data, nats: `nats://127.0.0.1:${port}` }, { env: {} });
  let starting: ReturnType<typeof startNatsServer> | undefined;
  t.teardown(async () => (await starting)?.stop());
  const log = Object.assign(Object.create(createLog({ logLevel: 'silent' })) as Log, {
    warn: () => {
      starting ??= startNatsServer({ data, port, httpPort });
    },
  });
  const told: Observed[] = [];
  const stop = new AbortController();
  const order = { actors: ['dashboard'], settings } as unknown as Order;
  const observer = await observe(order, { signal: stop.signal, log, tell: (one) => told.push(one) });
  t.same(told, [{ streams: 'ready' }]);
  t.ok(starting, 'and was not there at first');
  stop.abort();
  await observer.ended;
});
