/**
 * A real HDFS on loopback: one NameNode and some DataNodes, with WebHDFS.
 *
 * FOLDER/namenode, FOLDER/datanode<i> their data   FOLDER/conf/   FOLDER/logs/<name>.log   FOLDER/pids/<name>
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OutOfReachError, RetryableError } from '../../infra/errors.js';
import { freePorts, requireFree } from '../../infra/ports.js';
import { parseHdfsAddress } from '../../infra/storage/hdfs/address.js';
import { HdfsFiles } from '../../infra/storage/hdfs/hdfs-files.js';
import { WebHdfs } from '../../infra/storage/hdfs/webhdfs.js';
import { type HdfsPorts, writeHdfsConfiguration } from './hdfs-configuration.js';
import { endJava, javaWords, lastWords, launchJava, logFile, logLength, makeFolders, runningPid } from './java-process.js';

export interface HdfsOptions {
  /** Where data, logs and pids are; started again on the same folder, the servers go on with their data. */
  readonly folder: string;
  /** Of `stackJars()`. */
  readonly jars: string;
  readonly datanodes?: number;
  /** Free ones by default. */
  readonly ports?: HdfsPorts;
  /** Of each process. */
  readonly heapMiB?: number;
  /** More properties of hdfs-site.xml. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly readyMsMax?: number;
}

/** namenode, datanode0, datanode1, … */
export type HdfsServer = string;

export interface Hdfs {
  readonly folder: string;
  /** Of the NameNode's http port: "127.0.0.1:9870". */
  readonly address: string;
  /** For `--storage`, without a path: "hdfs://127.0.0.1:9870". */
  readonly url: string;
  readonly ports: HdfsPorts;
  readonly servers: readonly HdfsServer[];
  pid(server: HdfsServer): number | undefined;
  /** Starts one again on its data and ports; resolves when all that run can be written to. */
  start(server: HdfsServer): Promise<void>;
  /** Ends one; SIGKILL is a crash. Resolves when it is gone. */
  end(server: HdfsServer, signal?: NodeJS.Signals): Promise<void>;
  /** Runs an admin tool, such as ['dfsadmin', '-safemode', 'enter']. @returns what it said @throws OutOfReachError */
  admin(words: readonly string[]): Promise<string>;
  /** Ends all of them. */
  stop(): Promise<void>;
}

const namenodeMain = 'org.apache.hadoop.hdfs.server.namenode.NameNode';
const datanodeMain = 'org.apache.hadoop.hdfs.server.datanode.DataNode';
const tools: Readonly<Record<string, string>> = {
  dfsadmin: 'org.apache.hadoop.hdfs.tools.DFSAdmin',
  debug: 'org.apache.hadoop.hdfs.tools.DebugAdmin',
};
const toolMsMax = 60_000;

export const datanodeName = (i: number): string => `datanode${i}`;

/** Some free ports, in this order: NameNode http and rpc, then http, transfer and ipc of each DataNode. */
export const hdfsPorts = async (datanodes: number, wished: readonly number[] = []): Promise<HdfsPorts> => {
  const ports = await freePorts(2 + 3 * datanodes, wished);
  const at = (i: number): number => ports[i] as number;
  return {
    namenode: { http: at(0), rpc: at(1) },
    datanodes: Array.from({ length: datanodes }, (_, i) => ({ http: at(2 + 3 * i), transfer: at(3 + 3 * i), ipc: at(4 + 3 * i) })),
  };
};

const runJava = (words: readonly string[], what: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn('java', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), toolMsMax);
    let said = '';
    const hear = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-20_000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(said);
      const lines = said.trim().split('\n');
      const telling = lines.filter((line) => /ERROR|FATAL|Exception/.test(line));
      reject(
        new OutOfReachError(`${what} ended with ${signal ?? code}:\n  ${(telling.length > 0 ? telling : lines).slice(-3).join('\n  ')}`),
      );
    });
  });

const askMsMax = 2_000;

const jmx = async (address: string, bean: string): Promise<Record<string, unknown> | undefined> => {
  try {
    const query = `http://${address}/jmx?qry=Hadoop:service=NameNode,name=${bean}`;
    const response = await fetch(query, { signal: AbortSignal.timeout(askMsMax) });
    return ((await response.json()) as { beans: Record<string, unknown>[] }).beans[0];
  } catch {
    return undefined;
  }
};

/** How many DataNodes the NameNode takes for alive, with a storage that may be chosen: it comes a second later. */
export const liveDatanodes = async (address: string): Promise<number> => {
  const live = (await jmx(address, 'NameNodeInfo'))?.LiveNodes;
  if (typeof live !== 'string') return 0;
  return Object.values(JSON.parse(live) as Record<string, { capacity: number }>).filter(({ capacity }) => capacity > 0).length;
};

/** Operational or safeMode; undefined while it does not answer. */
export const namenodeState = async (address: string): Promise<string | undefined> => {
  const state = (await jmx(address, 'FSNamesystemState'))?.FSState;
  return typeof state === 'string' ? state : undefined;
};

/** Writes and removes a file, as any client would. */
const canWrite = async (address: string): Promise<boolean> => {
  const files = new HdfsFiles(new WebHdfs(parseHdfsAddress(`hdfs://${address}/?user=tidemark`)), '/tmp');
  try {
    await files.makeFolder('/tmp');
    return await files.remove(await files.write(Buffer.from('ready')));
  } catch (error) {
    if (error instanceof RetryableError) return false;
    throw error;
  }
};

/**
 * Starts the servers that do not run yet, and waits until they can really be written to.
 * @throws OutOfReachError when one ends at its start, or they are not ready in time
 */
export const startHdfs = async (options: HdfsOptions): Promise<Hdfs> => {
  const { jars, heapMiB = 128, readyMsMax = 120_000 } = options;
  const folder = path.resolve(options.folder);
  const ports = options.ports ?? (await hdfsPorts(options.datanodes ?? 3));
  const address = `127.0.0.1:${ports.namenode.http}`;
  const datanodes = ports.datanodes.map((_, i) => datanodeName(i));
  const servers = ['namenode', ...datanodes];
  makeFolders(folder);
  writeHdfsConfiguration(folder, ports, options.properties ?? {});
  const java = (main: string, words: readonly string[]) => ({ folder, jars, heapMiB, main, words });
  const running = (): HdfsServer[] => servers.filter((name) => runningPid(folder, name) !== undefined);

  const launch = async (name: HdfsServer): Promise<void> => {
    if (runningPid(folder, name) !== undefined) return;
    if (name === 'namenode') {
      await requireFree(Object.values(ports.namenode), name);
      await launchJava({ name, ...java(namenodeMain, []) });
      return;
    }
    const own = ports.datanodes[datanodes.indexOf(name)];
    if (own === undefined) throw new OutOfReachError(`${name} is none of ${servers.join(', ')}`);
    await requireFree(Object.values(own), name);
    const properties = {
      'dfs.datanode.data.dir': `file://${path.join(folder, name)}`,
      'dfs.datanode.http.address': `127.0.0.1:${own.http}`,
      'dfs.datanode.address': `127.0.0.1:${own.transfer}`,
      'dfs.datanode.ipc.address': `127.0.0.1:${own.ipc}`,
    };
    const words = Object.entries(properties).flatMap(([key, value]) => ['-D', `${key}=${value}`]);
    await launchJava({ name, ...java(datanodeMain, words) });
  };

  const untilReady = async (must: readonly HdfsServer[], logsFrom: ReadonlyMap<HdfsServer, number>): Promise<void> => {
    const deadline = performance.now() + readyMsMax;
    const wanted = must.filter((name) => name !== 'namenode').length;
    for (;;) {
      for (const name of must) {
        if (runningPid(folder, name) === undefined) {
          throw new OutOfReachError(`${name} ended at its start:\n  ${lastWords(folder, name, logsFrom.get(name))}`);
        }
      }
      const operational = (await namenodeState(address)) === 'Operational';
      if (operational && (await liveDatanodes(address)) >= wanted && (await canWrite(address))) return;
      if (performance.now() > deadline) {
        throw new OutOfReachError(
          `HDFS cannot be written to after ${readyMsMax} ms: ${logFile(folder, 'namenode')} and its neighbours say why`,
        );
      }
      await sleep(100);
    }
  };

  const stop = async (): Promise<void> => {
    await Promise.all(datanodes.map((name) => endJava(folder, name)));
    await endJava(folder, 'namenode');
  };

  if (!existsSync(path.join(folder, 'namenode', 'current'))) {
    await runJava(javaWords(java(namenodeMain, ['-format', '-nonInteractive'])), 'formatting the NameNode');
  }
  const logsFrom = new Map(servers.map((name) => [name, logLength(folder, name)]));
  try {
    for (const name of servers) await launch(name);
    await untilReady(servers, logsFrom);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    folder,
    address,
    url: `hdfs://${address}`,
    ports,
    servers,
    pid: (name) => runningPid(folder, name),
    start: async (name) => {
      const from = new Map([[name, logLength(folder, name)]]);
      await launch(name);
      await untilReady(running().includes('namenode') ? running() : [name], from);
    },
    end: async (name, signal) => {
      await endJava(folder, name, signal);
    },
    admin: ([tool = '', ...words]) => runJava(javaWords(java(tools[tool] ?? tool, words)), tool),
    stop,
  };
};
