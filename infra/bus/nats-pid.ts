/**
 * The process of a nats-server, by its command line. A second server on the same configuration writes its own pid into the pid
 * file before it meets the taken port and ends: then the file names nobody.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { isAlive, startOf } from '../process.js';

const configurationOf = (pid: number): string | undefined => {
  try {
    const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    const at = args.findIndex((arg) => arg === '-c' || arg === '--config');
    if (!path.basename(program).startsWith('nats-server') || at < 0) return undefined;
    return realpathSync(path.resolve(readlinkSync(`/proc/${pid}/cwd`), args[at + 1] ?? ''));
  } catch {
    return undefined; // it ended meanwhile, or is somebody else's
  }
};

/** The longest running nats-server with this configuration; undefined where there is none, or no /proc. */
export const pidByConfiguration = (configuration: string): number | undefined => {
  try {
    const wanted = realpathSync(configuration);
    const pids = readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0 && configurationOf(pid) === wanted && isAlive(pid));
    return pids.sort((a, b) => Number(startOf(a)) - Number(startOf(b)))[0];
  } catch {
    return undefined;
  }
};
