/** What the servers of an HDFS say of themselves on their http ports: their settings, and which DataNodes there are. */
import type { Namenode } from './address.js';

const askMsMax = 5_000;

/** On each DataNode: a closed file is on disk, not only in the memory of the DataNodes. */
export const syncOnClose = 'dfs.datanode.synconclose';

const ask = async (address: string, page: string): Promise<unknown> => {
  const response = await fetch(`http://${address}${page}`, {
    headers: { accept: 'application/json' },
    signal: AbortSignal.timeout(askMsMax),
  });
  return await response.json();
};

/**
 * A server's own values of these settings; undefined for one that it does not know.
 * @param address "HOST:PORT" of its http port
 * @throws when it does not answer, or lets nobody look
 */
export const readServerSettings = async (address: string, names: readonly string[]): Promise<Record<string, string | undefined>> => {
  const { properties } = (await ask(address, '/conf')) as { properties: readonly { key: string; value: string }[] };
  const values = new Map(properties.map(({ key, value }) => [key, value]));
  return Object.fromEntries(names.map((name) => [name, values.get(name)]));
};

/** "HOST:PORT" of the http port of each DataNode that is alive. @throws when the NameNode does not answer */
export const readDatanodes = async ({ host, port }: Namenode): Promise<string[]> => {
  const { beans } = (await ask(`${host}:${port}`, '/jmx?qry=Hadoop:service=NameNode,name=NameNodeInfo')) as {
    beans: readonly { LiveNodes: string }[];
  };
  const nodes = JSON.parse(beans[0]?.LiveNodes ?? '{}') as Record<string, { infoAddr: string }>;
  return Object.values(nodes).map(({ infoAddr }) => infoAddr);
};

/** Whether all DataNodes sync a file when it is closed; false when one of them cannot be asked. */
export const datanodesSync = async (namenodes: readonly Namenode[]): Promise<boolean> => {
  for (const namenode of namenodes) {
    try {
      const datanodes = await readDatanodes(namenode);
      const values = await Promise.all(datanodes.map(async (address) => (await readServerSettings(address, [syncOnClose]))[syncOnClose]));
      if (values.length > 0) return values.every((value) => value === 'true');
    } catch {
      // the other NameNode may say it
    }
  }
  return false;
};
