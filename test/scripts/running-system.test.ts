import { cpSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { loadSettings } from '../../infra/config.js';
import { findSystem } from '../../scripts/running-system.js';
import { startNats, temporaryFolder } from '../servers.js';

const find = (flags: Record<string, string>, env: Record<string, string> = {}) => findSystem(loadSettings(flags, { env, cwd: '/' }));

t.test('without an address, a command finds the server that runs on its data folder', async (t) => {
  const nats = await startNats(t);
  const { data } = nats;
  const found = await find({ data });
  t.equal(found.nats, nats.url);
  t.equal(found.natsHttpPort, nats.httpPort);
  t.equal((await find({ data, natsPort: '4333' })).nats, 'nats://127.0.0.1:4333', 'a port that is named goes before it');
  t.equal((await find({ data }, { TIDEMARK_NATS: 'nats://far:1' })).nats, 'nats://far:1', 'an address too');

  const other = temporaryFolder(t);
  for (const file of ['nats.conf', 'nats.pid']) cpSync(path.join(data, file), path.join(other, file));
  await t.rejects(find({ data: other }), { code: 'E_OUT_OF_REACH' }, 'a server of another store is not its own');

  await nats.stop();
  await t.rejects(find({ data }), { message: /no nats-server answers for .*tidemark start --data/ });
});

t.test('a data folder that never had a server of its own: the default port', async (t) => {
  t.equal((await find({ data: temporaryFolder(t) })).nats, 'nats://127.0.0.1:4222');
});
