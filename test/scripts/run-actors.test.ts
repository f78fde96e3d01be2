import t from 'tap';
import { startNatsServer } from '../../infra/bus/nats-server.js';
import { loadSettings } from '../../infra/config.js';
import { createLog, type Log } from '../../infra/log.js';
import { runActors } from '../../scripts/run-actors.js';
import { freePorts, temporaryFolder } from '../servers.js';

t.test('a server that is away while the first process begins is waited for', async (t) => {
  const [port, httpPort, pagesPort] = (await freePorts(3)) as [number, number, number];
  const data = temporaryFolder(t);
  const { settings } = loadSettings({ data, nats: `nats://127.0.0.1:${port}` }, { env: {} });
  let starting: ReturnType<typeof startNatsServer> | undefined;
  t.teardown(async () => (await starting)?.stop());
  const log = Object.assign(Object.create(createLog({ logLevel: 'silent' })) as Log, {
    warn: () => {
      starting ??= startNatsServer({ data, port, httpPort });
    },
  });
  const stop = new AbortController();
  let timesJoined = 0;
  const running = runActors(['dashboard'], Object.freeze({ ...settings, httpPort: pagesPort }), {
    signal: stop.signal,
    log,
    joined: () => {
      timesJoined += 1;
      stop.abort();
    },
  });
  await running;
  t.equal(timesJoined, 1);
  t.ok(starting, 'and was not there at first');
});
