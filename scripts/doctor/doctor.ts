/** Looks at everything that a system stands on, on this machine and around it. */
import type { Origins, Settings } from '../../infra/config.js';
import { findSystem, type RunningSettings } from '../running-system.js';
import { type Finding, look } from './finding.js';
import { lookAtDisk, lookAtMemory, lookAtNode, lookAtPorts } from './machine.js';
import {
  lookAtClock,
  lookAtEngine,
  lookAtKeys,
  lookAtLeases,
  lookAtNats,
  lookAtNatsProgram,
  lookAtStorage,
  lookAtStreams,
} from './servers.js';

/** The system that runs; undefined: none does. */
const runningOf = async (given: { settings: Settings; origins: Origins }): Promise<RunningSettings | undefined> => {
  const found = await findSystem(given).catch(() => undefined);
  if (found === undefined || given.settings.nats !== undefined) return found;
  return (await lookAtNats(found).catch(() => undefined)) === undefined ? undefined : found;
};

/** @returns what was found, in the order in which it is shown */
export const examine = async (given: { settings: Settings; origins: Origins }): Promise<Finding[]> => {
  const { settings } = given;
  const running = await runningOf(given);
  const start = 'start it (`tidemark start`), or name it by --nats';
  const aboutNats =
    running === undefined
      ? [look('nats-server', 'see what `tidemark start` says of it', () => lookAtNatsProgram(settings))]
      : [
          look('nats-server', start, () => lookAtNats(running)),
          look('clock', 'open the monitoring port, or name it by --nats-http-port', () => lookAtClock(running)),
          look('streams', start, () => lookAtStreams(running)),
          look('leases', 'see whether the server answers', () => lookAtLeases(running)),
        ];
  const aboutHdfs =
    settings.storage === 'local'
      ? []
      : [look('HDFS', 'is the NameNode at that address?', async () => (await import('./hdfs.js')).lookAtHdfs(settings))];
  const findings = await Promise.all([
    look('Node', '', () => lookAtNode()),
    look('memory', '', () => lookAtMemory(settings)),
    look('disk', '', () => lookAtDisk(settings)),
    look('ports', '', () => lookAtPorts(settings, running !== undefined)),
    look('keys', '', () => lookAtKeys(settings)),
    look('DuckDB', 'install the packages again: npm ci', () => lookAtEngine(settings)),
    look('storage', 'give this account the folder, or name another by --data or --storage', () => lookAtStorage(settings)),
    ...aboutNats,
    ...aboutHdfs,
  ]);
  return findings.flat();
};
