/** An HDFS that data lives in: are its servers set as the promise takes it? */
import type { Settings } from '../../infra/config.js';
import { parseHdfsAddress } from '../../infra/storage/hdfs/address.js';
import { readDatanodes, readServerSettings } from '../../infra/storage/hdfs/server-settings.js';
import { contract } from '../stack/hdfs-configuration.js';
import { type Finding, fail, ok, warn } from './finding.js';

/** What happens without each of them. */
const why: Record<string, string> = {
  'dfs.datanode.synconclose': 'a power cut of all DataNodes may take what was stored in the last hour; SEGMENTS keeps it so much longer',
  'dfs.client.block.write.replace-datanode-on-failure.policy':
    'while one DataNode is away appends fail, and each locks its file for a minute',
  'dfs.client.block.write.locateFollowingBlock.initial.delay.ms': 'appends pause for 400 ms now and then',
};

export const lookAtHdfs = async ({ storage }: Pick<Settings, 'storage'>): Promise<Finding[]> => {
  const { namenodes } = parseHdfsAddress(storage);
  const found = await Promise.all(namenodes.map((namenode) => readDatanodes(namenode).catch(() => undefined)));
  const away = namenodes.filter((_, i) => found[i] === undefined).map(({ host, port }) => `${host}:${port}`);
  const datanodes = found.find((nodes) => nodes !== undefined && nodes.length > 0);
  if (datanodes === undefined)
    return [fail('HDFS', 'no NameNode names a DataNode that is alive', 'start them, or name others by --storage hdfs://…')];
  const names = Object.keys(contract);
  const findings: Finding[] =
    away.length > 0
      ? [warn('HDFS', `the NameNode ${away.join(', ')} does not answer`, 'start it: while it is away there is no other to go on with')]
      : [ok('HDFS', `${datanodes.length} DataNodes are alive`)];
  for (const address of datanodes) {
    const values = await readServerSettings(address, names).catch(() => undefined);
    if (values === undefined) {
      findings.push(
        warn(`DataNode ${address}`, 'it does not show its settings', 'look yourself: hdfs-site.xml needs what the README names'),
      );
      continue;
    }
    for (const [name, needed] of Object.entries(contract)) {
      if (values[name] === needed) continue;
      findings.push(
        warn(
          `DataNode ${address}`,
          `${name} is ${values[name] ?? 'not set'}: ${why[name] ?? ''}`,
          `set it to ${needed} in its hdfs-site.xml`,
        ),
      );
    }
  }
  return findings;
};
