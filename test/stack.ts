/** Real ZooKeeper and HDFS servers for tests; where Java, Maven or the jars are missing, a test says so and is skipped. */
import type { Test } from 'tap';
import { messageOf, OutOfReachError } from '../infra/errors.js';
import { stackJars } from '../scripts/stack/jars.js';
import { startZookeeper, type Zookeeper, type ZookeeperOptions } from '../scripts/stack/zookeeper.js';
import { guard, temporaryFolder } from './servers.js';

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

/** One server, or three, on free ports in a temporary folder, gone at the test's teardown. */
export const startTestZookeeper = async (t: Test, options: Pick<ZookeeperOptions, 'jars' | 'servers' | 'tickMs'>): Promise<Zookeeper> => {
  const folder = temporaryFolder(t);
  const zookeeper = await startZookeeper({ ...options, folder });
  const release = new Map<number, () => void>();
  const watch = (server: number): void => {
    const pid = zookeeper.pid(server);
    if (pid === undefined) return;
    release.get(server)?.();
    release.set(server, guard(pid));
  };
  for (const server of zookeeper.clientPorts.keys()) watch(server);
  t.teardown(async () => {
    await zookeeper.stop();
    for (const end of release.values()) end();
  });
  return {
    ...zookeeper,
    start: async (server) => {
      await zookeeper.start(server);
      watch(server);
    },
  };
};
