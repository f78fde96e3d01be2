import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { freePorts } from '../../../infra/ports.js';
import { isAlive } from '../../../infra/process.js';
import { openHdfs } from '../../../infra/storage/hdfs/open.js';
import { stackDown } from '../../../scripts/stack/stack.js';
import { temporaryFolder } from '../../servers.js';
import { jarsOrSkip } from '../../stack.js';
import { runCli } from '../../system/run-cli.js';

interface Status {
  readonly servers: readonly { name: string; pid?: number; port: number; state: string }[];
}

t.test('up, status, down: what it prints can be used, and only its own processes end', async (t) => {
  if ((await jarsOrSkip(t)) === undefined) return;
  const data = temporaryFolder(t);
  t.teardown(() => stackDown(data));
  const [namenodePort, zookeeperPort] = (await freePorts(2)) as [number, number];
  const up = await runCli([
    'stack',
    'up',
    '--data',
    data,
    '--datanodes',
    '1',
    '--json',
    '--namenode-port',
    `${namenodePort}`,
    '--zookeeper-port',
    `${zookeeperPort}`,
  ]);
  t.equal(up.code, 0, up.stderr);
  const settings = JSON.parse(up.stdout) as { storage: string; coordinator: string };
  t.equal(settings.storage, `hdfs://127.0.0.1:${namenodePort}/tidemark?user=tidemark`);
  t.equal(settings.coordinator, `zookeeper://127.0.0.1:${zookeeperPort}/tidemark`);
  const storage = await openHdfs({ storage: settings.storage, data, copiesBytesMax: 2 ** 20 });
  await storage.create('raw/x', Buffer.from('written at once'));
  await storage.close();
  t.equal(storage.unsyncedMs, 0, 'its DataNodes sync what is closed');

  const asked = await runCli(['stack', 'status', '--data', data, '--json']);
  t.equal(asked.code, 0);
  const { servers } = JSON.parse(asked.stdout) as Status;
  t.same(
    servers.map(({ name, state }) => [name, state]),
    [
      ['namenode', 'Operational'],
      ['datanode0', '1 of 1 alive'],
      ['zk0', 'standalone'],
    ],
  );
  const own = readdirSync(path.join(data, 'stack', 'hdfs', 'tmp'));
  t.ok(
    own.some((name) => name.startsWith(`jetty-127_0_0_1-${namenodePort}-`)),
    'what a killed server would leave is below the data',
  );
  const other = await runCli(['stack', 'up', '--data', data, '--datanodes', '2']);
  t.equal(other.code, 2);
  t.match(other.stderr, /has 1 DataNodes and 1 ZooKeepers/);

  t.match((await runCli(['stack', 'down', '--data', data])).stdout, /^3 ended/);
  for (const { name, pid } of servers) t.notOk(isAlive(pid as number), name);
  t.ok(existsSync(path.join(data, 'stack', 'hdfs', 'datanode0', 'current')), 'data stays');
  const after = await runCli(['stack', 'status', '--data', data]);
  t.equal(after.code, 4);
  t.match((await runCli(['stack', 'down', '--data', data, '--purge'])).stdout, /^0 ended, data removed/);
  t.notOk(existsSync(path.join(data, 'stack')));
});

t.test('without Java or Maven it says what to install', async (t) => {
  const bin = path.join(temporaryFolder(t), 'bin');
  mkdirSync(bin);
  const cli = path.join(import.meta.dirname, '../../../scripts/cli.js');
  const run = promisify(execFile)(process.execPath, [cli, 'stack', 'up', '--data', temporaryFolder(t)], { env: { PATH: bin } });
  await t.rejects(run, { code: 4, stderr: /java cannot be run.*Install Java 17 or newer and Maven/ });
});

t.test('numbers that make no sense are refused', async (t) => {
  for (const words of [
    ['--datanodes', '0'],
    ['--zookeepers', '2'],
    ['--namenode-port', 'http'],
  ]) {
    t.equal((await runCli(['stack', 'up', '--data', temporaryFolder(t), ...words])).code, 2, words.join(' '));
  }
});
