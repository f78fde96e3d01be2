import { readFileSync } from 'node:fs';
import t from 'tap';
import { isAlive } from '../../../infra/process.js';
import { startZookeeper, zookeeperRole } from '../../../scripts/stack/zookeeper.js';
import { temporaryFolder } from '../../servers.js';
import { jarsOrSkip, startTestZookeeper } from '../../stack.js';

t.test('three servers: one leads, a killed one comes back as it was', async (t) => {
  const jars = await jarsOrSkip(t);
  if (jars === undefined) return;
  const zookeeper = await startTestZookeeper(t, { jars, servers: 3 });
  const roles = async () => Promise.all([0, 1, 2].map((server) => zookeeper.role(server)));
  t.same((await roles()).sort(), ['follower', 'follower', 'leader']);
  t.match(zookeeper.connect, /^127\.0\.0\.1:\d+,127\.0\.0\.1:\d+,127\.0\.0\.1:\d+$/);
  const follower = (await roles()).indexOf('follower');
  await zookeeper.end(follower, 'SIGKILL');
  t.equal(await zookeeper.role(follower), undefined);
  await zookeeper.start(follower);
  t.ok(await zookeeper.role(follower));
});

t.test('one server alone: it ends with what was started here, and only with that', async (t) => {
  const jars = await jarsOrSkip(t);
  if (jars === undefined) return;
  const folder = temporaryFolder(t);
  const zookeeper = await startZookeeper({ folder, jars, servers: 1 });
  t.teardown(() => zookeeper.stop());
  const [port] = zookeeper.clientPorts as [number];
  const pid = zookeeper.pid(0) as number;
  t.equal(await zookeeperRole(port), 'standalone');
  const again = await startZookeeper({ folder, jars, servers: 1, ports: [port, 0, 0] });
  t.equal(again.pid(0), pid, 'what runs is not started twice');
  t.match(readFileSync(`${folder}/pids/zk0`, 'utf8'), new RegExp(`^${pid} \\d+\n$`));
  await zookeeper.stop();
  t.notOk(isAlive(pid));
  t.equal(zookeeper.pid(0), undefined);
});

t.test('a port that is taken is said', async (t) => {
  const jars = await jarsOrSkip(t);
  if (jars === undefined) return;
  const zookeeper = await startTestZookeeper(t, { jars, servers: 1 });
  const ports = [zookeeper.clientPorts[0] as number, 0, 0];
  await t.rejects(startZookeeper({ folder: temporaryFolder(t), jars, servers: 1, ports }), {
    code: 'E_OUT_OF_REACH',
    message: /port \d+, for ZooKeeper server 0, is taken/,
  });
});
