/**
 * The stack: a real HDFS and ZooKeeper of one's own on this machine.
 *
 * DATA/stack/stack.json the ports, the same at each start   DATA/stack/hdfs/, DATA/stack/zookeeper/ the servers' own
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { SettingsError, UsageError } from '../../infra/errors.js';
import { freePorts } from '../../infra/ports.js';
import { datanodeName, type Hdfs, hdfsPorts, liveDatanodes, namenodeState, startHdfs } from './hdfs.js';
import type { HdfsPorts } from './hdfs-configuration.js';
import { stackJars } from './jars.js';
import { endJava, runningPid } from './java-process.js';
import { startZookeeper, zookeeperName, zookeeperRole } from './zookeeper.js';

export interface StackOptions {
  /** The data folder: the stack lies in DATA/stack. */
  readonly data: string;
  readonly datanodes: number;
  readonly zookeepers: 1 | 3;
  /** Of the first server of each kind, if nobody has it: NameNode http, ZooKeeper client. */
  readonly namenodePort: number;
  readonly zookeeperPort: number;
  readonly tell?: (line: string) => void;
}

/** What stack.json holds. */
interface Ports {
  readonly hdfs: HdfsPorts;
  /** Client, quorum and election port of each server. */
  readonly zookeeper: readonly number[];
}

export interface StackServer {
  readonly name: string;
  readonly pid: number | undefined;
  readonly port: number;
  /** What it says of itself; "-" when it does not answer. */
  readonly state: string;
}

const foldersOf = (data: string) => {
  const top = path.join(path.resolve(data), 'stack');
  return { top, hdfs: path.join(top, 'hdfs'), zookeeper: path.join(top, 'zookeeper'), ports: path.join(top, 'stack.json') };
};

const readPorts = (data: string): Ports | undefined => {
  const { ports } = foldersOf(data);
  if (!existsSync(ports)) return undefined;
  try {
    return JSON.parse(readFileSync(ports, 'utf8')) as Ports;
  } catch (cause) {
    throw new SettingsError(`${ports} cannot be read: put it back, or make a new stack with \`tidemark stack down --purge\``, { cause });
  }
};

/** The ports of the last start, if it was of as many servers. */
const portsFor = async ({ data, datanodes, zookeepers, namenodePort, zookeeperPort }: StackOptions): Promise<Ports> => {
  const known = readPorts(data);
  if (known !== undefined) {
    if (known.hdfs.datanodes.length !== datanodes || known.zookeeper.length !== zookeepers * 3) {
      throw new UsageError(
        `the stack in ${foldersOf(data).top} has ${known.hdfs.datanodes.length} DataNodes and ${known.zookeeper.length / 3} ZooKeepers: ` +
          'start it with as many, or remove it with `tidemark stack down --purge`',
      );
    }
    return known;
  }
  const hdfs = await hdfsPorts(datanodes, [namenodePort]);
  // Side by side: client, quorum and election of each server.
  const wished = Array.from({ length: zookeepers }, (_, i) => [zookeeperPort + i, undefined, undefined]).flat();
  return { hdfs, zookeeper: await freePorts(zookeepers * 3, wished) };
};

/** The settings to use, as flags. */
export const stackSettings = ({ hdfs, zookeeper }: Ports): string[] => {
  const clients = zookeeper.filter((_, i) => i % 3 === 0);
  return [
    '--storage',
    `hdfs://127.0.0.1:${hdfs.namenode.http}/tidemark?user=tidemark`,
    '--coordinator',
    `zookeeper://${clients.map((port) => `127.0.0.1:${port}`).join(',')}/tidemark`,
  ];
};

/** Starts what does not run yet, and returns when all can be written to. @returns the settings to use */
export const stackUp = async (options: StackOptions): Promise<string[]> => {
  const tell = options.tell ?? (() => undefined);
  const jars = await stackJars(tell);
  const folders = foldersOf(options.data);
  const ports = await portsFor(options);
  mkdirSync(folders.top, { recursive: true });
  writeFileSync(folders.ports, `${JSON.stringify(ports)}\n`);
  tell(`starting a NameNode, ${options.datanodes} DataNodes and ${options.zookeepers} ZooKeeper …`);
  const started = await Promise.allSettled([
    startHdfs({ folder: folders.hdfs, jars, ports: ports.hdfs, heapMiB: 256 }),
    startZookeeper({ folder: folders.zookeeper, jars, servers: options.zookeepers, ports: ports.zookeeper }),
  ]);
  const failed = started.find((one): one is PromiseRejectedResult => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  tell(`ready: HDFS pages at http://${(started[0] as PromiseFulfilledResult<Hdfs>).value.address}/`);
  return stackSettings(ports);
};

/** Ends what `stackUp` started here, and nothing else; its data stays unless it is to be purged. @returns how many ended */
export const stackDown = async (data: string, { purge = false } = {}): Promise<number> => {
  const folders = foldersOf(data);
  const ports = readPorts(data);
  let ended = 0;
  if (ports !== undefined) {
    const zookeepers = ports.zookeeper.filter((_, i) => i % 3 === 0).map((_, i) => endJava(folders.zookeeper, zookeeperName(i)));
    const datanodes = ports.hdfs.datanodes.map((_, i) => endJava(folders.hdfs, datanodeName(i)));
    const ends = [...(await Promise.all([...zookeepers, ...datanodes])), await endJava(folders.hdfs, 'namenode')];
    ended = ends.filter(Boolean).length;
  }
  if (purge) rmSync(folders.top, { recursive: true, force: true });
  return ended;
};

/** Every server of the stack, and how it is; undefined where there is none. */
export const stackStatus = async (data: string): Promise<{ servers: StackServer[]; settings: string[] } | undefined> => {
  const ports = readPorts(data);
  if (ports === undefined) return undefined;
  const folders = foldersOf(data);
  const namenode = `127.0.0.1:${ports.hdfs.namenode.http}`;
  const live = await liveDatanodes(namenode);
  const servers: StackServer[] = [
    {
      name: 'namenode',
      pid: runningPid(folders.hdfs, 'namenode'),
      port: ports.hdfs.namenode.http,
      state: (await namenodeState(namenode)) ?? '-',
    },
    ...ports.hdfs.datanodes.map(({ http }, i) => {
      const pid = runningPid(folders.hdfs, datanodeName(i));
      return { name: datanodeName(i), pid, port: http, state: pid === undefined ? '-' : `${live} of ${ports.hdfs.datanodes.length} alive` };
    }),
  ];
  for (const [i, port] of ports.zookeeper.filter((_, at) => at % 3 === 0).entries()) {
    servers.push({
      name: zookeeperName(i),
      pid: runningPid(folders.zookeeper, zookeeperName(i)),
      port,
      state: (await zookeeperRole(port)) ?? '-',
    });
  }
  return { servers, settings: stackSettings(ports) };
};
