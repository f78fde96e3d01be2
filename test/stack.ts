/** Real ZooKeeper and HDFS servers for tests; where Java, Maven or the jars are missing, a test says so and is skipped. */
import type { Test } from 'tap';
import { messageOf, OutOfReachError } from '../infra/errors.js';
import { type Hdfs, type HdfsOptions, startHdfs } from '../scripts/stack/hdfs.js';
import { stackJars } from '../scripts/stack/jars.js';
import { startZookeeper, type Zookeeper, type ZookeeperOptions } from '../scripts/stack/zookeeper.js';
import { guard, temporaryFolder } from './servers.js';

/** `npm run test:hdfs` tries every fault, however long it takes; `npm test` one of each server. */
export const everyFault = process.env.TIDEMARK_TEST_HDFS === 'all';

/** The folder of jars; undefined, said aloud, where there can be none: then the test has nothing more to do. */
export const jarsOrSkip = async (t: Test): Promise<string | undefined> => {
  try {
    return await stackJars((line) => t.comment(line));
  } catch (error) {
    if (!(error instanceof OutOfReachError)) throw error;
    process.stderr.write(`SKIPPED, no HDFS and ZooKeeper here: ${messageOf(error)}\n`);
    t.pass('needs Java and Maven', { skip: messageOf(error).split('\n')[0] as string });
    return undefined;
  }
};

/** Ends a server with this process, however that ends; watched again after each start. */
const watchAll = <Name>(t: Test, names: Iterable<Name>, pidOf: (name: Name) => number | undefined, stop: () => Promise<void>) => {
  const ends = new Map<Name, () => void>();
  const watch = (name: Name): void => {
    const pid = pidOf(name);
    if (pid === undefined) return;
    ends.get(name)?.();
    ends.set(name, guard(pid));
  };
  for (const name of names) watch(name);
  t.teardown(async () => {
    await stop();
    for (const end of ends.values()) end();
  });
  return watch;
};

/** One server, or three, on free ports in a temporary folder, gone at the test's teardown. */
export const startTestZookeeper = async (t: Test, options: Pick<ZookeeperOptions, 'jars' | 'servers' | 'tickMs'>): Promise<Zookeeper> => {
  const zookeeper = await startZookeeper({ ...options, folder: temporaryFolder(t) });
  const watch = watchAll(t, zookeeper.clientPorts.keys(), zookeeper.pid, zookeeper.stop);
  return {
    ...zookeeper,
    start: async (server) => {
      await zookeeper.start(server);
      watch(server);
    },
  };
};

/** A NameNode and some DataNodes, on free ports in a temporary folder, gone at the test's teardown. */
export const startTestHdfs = async (t: Test, options: Omit<HdfsOptions, 'folder' | 'ports'>): Promise<Hdfs> => {
  const hdfs = await startHdfs({ ...options, folder: temporaryFolder(t) });
  const watch = watchAll(t, hdfs.servers, hdfs.pid, hdfs.stop);
  return {
    ...hdfs,
    start: async (server) => {
      await hdfs.start(server);
      watch(server);
    },
  };
};
