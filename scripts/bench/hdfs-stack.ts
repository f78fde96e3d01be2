/** A real HDFS with three replicas, and a ZooKeeper, for the lines of `npm run bench -- --hdfs`; gone with this process. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHdfs } from '../stack/hdfs.js';
import { stackJars } from '../stack/jars.js';
import { startZookeeper } from '../stack/zookeeper.js';

export interface BenchStack {
  /** For `--storage`: a folder of its own at each call. */
  storage(): string;
  /** For `--coordinator`, likewise. */
  coordinator(): string;
  stop(): Promise<void>;
}

/** As its servers' heap is for load. */
const heapMiB = 256;

/** @throws OutOfReachError without Java and Maven */
export const startBenchStack = async (tell: (line: string) => void): Promise<BenchStack> => {
  const jars = await stackJars(tell);
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-bench-stack-'));
  tell('starting a NameNode, 3 DataNodes and a ZooKeeper');
  const hdfs = await startHdfs({ folder: join(folder, 'hdfs'), jars, datanodes: 3, heapMiB });
  const zookeeper = await startZookeeper({ folder: join(folder, 'zookeeper'), jars, servers: 1 }).catch(async (error: unknown) => {
    await hdfs.stop();
    throw error;
  });
  const endNow = (): void => {
    for (const pid of [...hdfs.servers.map(hdfs.pid), zookeeper.pid(0)]) if (pid !== undefined) process.kill(pid, 'SIGKILL');
  };
  process.once('exit', endNow);
  let systems = 0;
  let folders = 0;
  return {
    storage: () => `${hdfs.url}/bench-${++folders}?user=tidemark`,
    coordinator: () => `zookeeper://${zookeeper.connect}/bench-${++systems}`,
    stop: async () => {
      await zookeeper.stop();
      await hdfs.stop();
      process.removeListener('exit', endNow);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
};
