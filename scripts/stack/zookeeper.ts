/**
 * ZooKeeper servers on loopback: one alone, or an ensemble of three; real processes.
 *
 * FOLDER/zk<i>/ the data of server i   FOLDER/conf/zk<i>.cfg   FOLDER/logs/zk<i>.log   FOLDER/pids/zk<i>
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OutOfReachError } from '../../infra/errors.js';
import { freePorts, requireFree } from '../../infra/ports.js';
import { endJava, lastWords, launchJava, logFile, logLength, makeFolders, runningPid } from './java-process.js';

export interface ZookeeperOptions {
  /** Where data, logs and pids are; started again on the same folder, the servers go on with their data. */
  readonly folder: string;
  /** Of `stackJars()`. */
  readonly jars: string;
  readonly servers: 1 | 3;
  /** Client, quorum and election port of each server, three times as many as servers; free ones by default. */
  readonly ports?: readonly number[];
  /** Sessions live 2 to 20 of these. */
  readonly tickMs?: number;
  readonly heapMiB?: number;
  readonly readyMsMax?: number;
}

/** standalone, leader or follower; undefined while it does not serve. */
export type ZookeeperRole = 'standalone' | 'leader' | 'follower';

export interface Zookeeper {
  /** "127.0.0.1:2181,127.0.0.1:2182,127.0.0.1:2183" */
  readonly connect: string;
  readonly clientPorts: readonly number[];
  /** Of a server that runs. */
  pid(server: number): number | undefined;
  role(server: number): Promise<ZookeeperRole | undefined>;
  /** Starts one again, on the same data and ports; resolves when it serves. */
  start(server: number): Promise<void>;
  /** Ends one; SIGKILL is a crash. Resolves when it is gone. */
  end(server: number, signal?: NodeJS.Signals): Promise<void>;
  /** Ends all of them. */
  stop(): Promise<void>;
}

const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';

export const zookeeperName = (server: number): string => `zk${server}`;

const answerMsMax = 2_000;

/** What a server answers to a four-letter word; "" when it does not. */
const ask = (port: number, word: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(word));
    let said = '';
    socket.setTimeout(answerMsMax, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
    });
    socket.once('error', () => undefined);
    socket.once('close', () => resolve(said));
  });

/** An open port is not enough: a server without a quorum has one as well, and its answer has no mode. */
export const zookeeperRole = async (port: number): Promise<ZookeeperRole | undefined> =>
  /^Mode: (standalone|leader|follower)$/m.exec(await ask(port, 'srvr'))?.[1] as ZookeeperRole | undefined;

const writeConfiguration = (folder: string, servers: number, ports: readonly number[], tickMs: number): void => {
  const member = (server: number) => `server.${server + 1}=127.0.0.1:${ports[server * 3 + 1]}:${ports[server * 3 + 2]}`;
  for (let server = 0; server < servers; server++) {
    const data = path.join(folder, zookeeperName(server));
    mkdirSync(data, { recursive: true });
    writeFileSync(path.join(data, 'myid'), `${server + 1}\n`);
    const lines = [
      `tickTime=${tickMs}`,
      `dataDir=${data}`,
      `clientPort=${ports[server * 3]}`,
      'clientPortAddress=127.0.0.1',
      'initLimit=20',
      'syncLimit=10',
      'admin.enableServer=false',
      '4lw.commands.whitelist=srvr',
      'maxClientCnxns=0',
      'preAllocSize=1024',
      ...(servers > 1 ? Array.from({ length: servers }, (_, i) => member(i)) : []),
    ];
    writeFileSync(path.join(folder, 'conf', `${zookeeperName(server)}.cfg`), `${lines.join('\n')}\n`);
  }
};

/**
 * Starts the servers that do not run yet, and waits until each of them serves.
 * @throws OutOfReachError when one ends at its start, or does not serve in time
 */
export const startZookeeper = async (options: ZookeeperOptions): Promise<Zookeeper> => {
  const { jars, servers, tickMs = 500, heapMiB = 64, readyMsMax = 60_000 } = options;
  const folder = path.resolve(options.folder);
  const ports = options.ports ?? (await freePorts(servers * 3));
  makeFolders(folder);
  writeConfiguration(folder, servers, ports, tickMs);
  const clientPorts = Array.from({ length: servers }, (_, i) => ports[i * 3] as number);
  const all = clientPorts.map((_, server) => server);

  const launch = async (server: number): Promise<() => Promise<void>> => {
    const name = zookeeperName(server);
    const from = logLength(folder, name);
    if (runningPid(folder, name) === undefined) await requireFree([clientPorts[server] as number], `ZooKeeper server ${server}`);
    const words = [path.join(folder, 'conf', `${name}.cfg`)];
    await launchJava({ name, folder, jars, heapMiB, main, words });
    return async () => {
      const deadline = performance.now() + readyMsMax;
      while ((await zookeeperRole(clientPorts[server] as number)) === undefined) {
        if (runningPid(folder, name) === undefined) {
          throw new OutOfReachError(`ZooKeeper server ${server} ended at its start:\n  ${lastWords(folder, name, from)}`);
        }
        if (performance.now() > deadline) {
          throw new OutOfReachError(`ZooKeeper server ${server} does not serve: ${logFile(folder, name)} says what it does`);
        }
        await sleep(50);
      }
    };
  };

  const stop = async (): Promise<void> => {
    await Promise.all(all.map((server) => endJava(folder, zookeeperName(server))));
  };

  const serving = await Promise.all(all.map(launch));
  try {
    await Promise.all(serving.map((serves) => serves()));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    connect: clientPorts.map((port) => `127.0.0.1:${port}`).join(','),
    clientPorts,
    pid: (server) => runningPid(folder, zookeeperName(server)),
    role: (server) => zookeeperRole(clientPorts[server] as number),
    start: async (server) => (await launch(server))(),
    end: async (server, signal) => {
      await endJava(folder, zookeeperName(server), signal);
    },
    stop,
  };
};
