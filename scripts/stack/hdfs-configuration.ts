/** What the HDFS of the stack is configured with, and what Tidemark needs of any HDFS. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { syncOnClose } from '../../infra/storage/hdfs/server-settings.js';

/**
 * The settings that are part of the contract, on each DataNode: over WebHDFS the DataNode is the HDFS client. `doctor`
 * reads them from the servers.
 */
export const contract = {
  /** A closed file is on disk, not only in the memory of the DataNodes. Without it SEGMENTS is kept an hour longer. */
  [syncOnClose]: 'true',
  /** With three DataNodes and any other policy, the loss of one makes every append fail and lock its file for 60 s. */
  'dfs.client.block.write.replace-datanode-on-failure.policy': 'NEVER',
  /** At the default of 400 an append right after a close waits that long. */
  'dfs.client.block.write.locateFollowingBlock.initial.delay.ms': '50',
} as const;

export interface HdfsPorts {
  readonly namenode: { readonly http: number; readonly rpc: number };
  readonly datanodes: readonly { readonly http: number; readonly transfer: number; readonly ipc: number }[];
}

const loopback = (port: number): string => `127.0.0.1:${port}`;

const xml = (properties: Readonly<Record<string, string>>): string =>
  `<configuration>\n${Object.entries(properties)
    .map(([name, value]) => `<property><name>${name}</name><value>${value}</value></property>\n`)
    .join('')}</configuration>\n`;

/** Writes conf/core-site.xml and conf/hdfs-site.xml, and the folders that the servers' web parts look for. */
export const writeHdfsConfiguration = (
  folder: string,
  { namenode, datanodes }: HdfsPorts,
  more: Readonly<Record<string, string>>,
): void => {
  const core = {
    'fs.defaultFS': `hdfs://${loopback(namenode.rpc)}`,
    'hadoop.tmp.dir': path.join(folder, 'tmp'),
    // no look-up of groups by a shell for each request
    'hadoop.security.group.mapping': 'org.apache.hadoop.security.NullGroupsMapping',
  };
  const hdfs = {
    'dfs.namenode.name.dir': `file://${path.join(folder, 'namenode')}`,
    'dfs.namenode.rpc-address': loopback(namenode.rpc),
    'dfs.namenode.http-address': loopback(namenode.http),
    'dfs.replication': String(Math.min(3, datanodes.length)),
    'dfs.permissions.enabled': 'false',
    'dfs.namenode.datanode.registration.ip-hostname-check': 'false',
    'dfs.datanode.hostname': '127.0.0.1', // the host that redirects name
    'dfs.namenode.safemode.extension': '0',
    'dfs.heartbeat.interval': '1s',
    'dfs.namenode.heartbeat.recheck-interval': '2000', // a DataNode is dead after 14 s
    'dfs.namenode.redundancy.considerLoad': 'false', // on one machine none is ever too busy
    'dfs.namenode.fs-limits.min-block-size': '1024',
    'dfs.datanode.du.reserved': '0',
    ...contract,
    ...more,
  };
  writeFileSync(path.join(folder, 'conf', 'core-site.xml'), xml(core));
  writeFileSync(path.join(folder, 'conf', 'hdfs-site.xml'), xml(hdfs));
  for (const name of ['hdfs', 'datanode', 'static']) mkdirSync(path.join(folder, 'conf', 'webapps', name), { recursive: true });
};
