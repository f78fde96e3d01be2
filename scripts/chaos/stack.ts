/** A real HDFS and ZooKeeper for a chaos run, and the faults that strike them. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startHdfs } from '../stack/hdfs.js';
import { stackJars } from '../stack/jars.js';
import { startZookeeper } from '../stack/zookeeper.js';
import type { Random } from './random.js';

export interface ChaosStack {
  /** For `start NAME`. */
  readonly flags: readonly string[];
  /** For `--storage`. */
  readonly storage: string;
  /** Strikes one of its servers, and has it back before it resolves. @returns the fault's name */
  strike(random: Random, strikes: (name: string) => void): Promise<string>;
  stop(): Promise<void>;
  /** The same at once, for a process that ends. */
  endNow(): void;
}

const datanodes = 3;
const zookeepers = 3;

/** @throws OutOfReachError without Java and Maven, or when a server does not start */
export const startChaosStack = async (folder: string, say: (line: string) => void): Promise<ChaosStack> => {
  const jars = await stackJars(say);
  await mkdir(folder, { recursive: true });
  const hdfs = await startHdfs({ folder: path.join(folder, 'hdfs'), jars, datanodes });
  const zookeeper = await startZookeeper({ folder: path.join(folder, 'zookeeper'), jars, servers: zookeepers }).catch(async (error) => {
    await hdfs.stop();
    throw error;
  });
  const storage = `${hdfs.url}/chaos?user=tidemark`;
  const killHdfs = async (server: string, downMs: number): Promise<void> => {
    await hdfs.end(server, 'SIGKILL');
    await sleep(downMs);
    await hdfs.start(server);
  };
  const faults: readonly ((random: Random, strikes: (name: string) => void) => Promise<string>)[] = [
    async (random, strikes) => {
      const server = random.between(0, datanodes);
      strikes(`datanode${server}`);
      await killHdfs(`datanode${server}`, random.between(0, 3_000));
      return 'kill DataNode';
    },
    async (random, strikes) => {
      strikes('namenode');
      await killHdfs('namenode', random.between(0, 3_000));
      return 'kill NameNode';
    },
    async (random, strikes) => {
      const server = random.between(0, zookeepers);
      strikes(`ZooKeeper ${server}`);
      await zookeeper.end(server, 'SIGKILL');
      await sleep(random.between(0, 3_000));
      await zookeeper.start(server);
      return 'kill ZooKeeper';
    },
    async (random, strikes) => {
      const server = random.between(0, zookeepers);
      const pid = zookeeper.pid(server);
      strikes(`ZooKeeper ${server}`);
      if (pid !== undefined) process.kill(pid, 'SIGSTOP');
      await sleep(random.between(200, 6_000));
      if (pid !== undefined) process.kill(pid, 'SIGCONT');
      return 'pause ZooKeeper';
    },
  ];
  return {
    storage,
    flags: ['--storage', storage, '--coordinator', `zookeeper://${zookeeper.connect}/chaos`],
    strike: (random, strikes) => random.pick(faults)(random, strikes),
    endNow: () => {
      const pids = [...hdfs.servers.map(hdfs.pid), ...zookeeper.clientPorts.map((_, server) => zookeeper.pid(server))];
      for (const pid of pids) if (pid !== undefined) process.kill(pid, 'SIGKILL');
    },
    stop: async () => {
      await zookeeper.stop();
      await hdfs.stop();
    },
  };
};
