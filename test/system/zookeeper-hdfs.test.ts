/** The whole system with its files in a real HDFS and its leases in a real ZooKeeper: owners are killed under load, and all is counted. */
import t from 'tap';
import { jarsOrSkip, startTestHdfs, startTestZookeeper } from '../stack.js';
import { until } from '../until.js';
import { startUnderLoad } from './under-load.js';

t.setTimeout(600_000); // of a machine that has much else to do

const partitioned = ['buffer', 'uploader', 'windower'];

t.test('on HDFS and ZooKeeper: batches are proved, a killed owner is replaced, everything is in the view once', async (t) => {
  const jars = await jarsOrSkip(t);
  if (jars === undefined) return;
  const [hdfs, zookeeper] = await Promise.all([
    startTestHdfs(t, { jars, datanodes: 3 }),
    startTestZookeeper(t, { jars, servers: 1, tickMs: 500 }),
  ]);
  const system = await startUnderLoad(t, {
    seed: 81,
    messagesPerSecond: 20, // its late readings go to many dates, and each file costs a call
    storage: `${hdfs.url}/tides?user=tidemark`,
    flags: ['--coordinator', `zookeeper://${zookeeper.connect}`, '--zookeeper-session', '4s'],
  });
  const rest = await system.start('rest', ['scheduler', 'mapper', 'reducer', 'merger']);
  const first = await system.start('first', partitioned);
  const second = await system.start('second', partitioned);
  for (const actor of partitioned) await system.untilShared(actor, 2);
  await system.load.start(system.nats.url);
  const isProved = async (batches: number) =>
    until(async () => {
      const last = await system.bus.last('BATCH', 'view.proved');
      const batch = last === undefined ? 0 : Number((JSON.parse(Buffer.from(last.body).toString()) as { batch: string }).batch);
      return batch >= batches ? batch : undefined;
    });
  const before = await isProved(1);
  await second.kill();
  for (const actor of partitioned) {
    await until(async () => (await system.working(actor)).find(({ pid, partitions }) => pid === first.pid && partitions.length === 4));
  }
  await second.start();
  await rest.kill();
  await rest.start();
  await isProved(before + 1);
  for (const actor of partitioned) await system.untilShared(actor, 2);
  await system.isExact(t);
});
