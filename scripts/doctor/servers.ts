/** What Tidemark stands on: the NATS server and its streams, leases, the engine, storage, ZooKeeper. */
import { randomUUID } from 'node:crypto';
import { access, constants, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openBus } from '../../infra/bus/nats.js';
import { hostOf, inspectServer, monitoringOf } from '../../infra/bus/nats-inspect.js';
import { findNatsServer, programVersion } from '../../infra/bus/nats-program.js';
import { streamDifferences } from '../../infra/bus/streams.js';
import type { Settings } from '../../infra/config.js';
import { openCoordinator } from '../../infra/coordination/open.js';
import { createLog } from '../../infra/log.js';
import { openStorage } from '../../infra/storage/open.js';
import type { RunningSettings } from '../running-system.js';
import { type Finding, fail, ok, warn } from './finding.js';

/** Where no server runs: is there a program to run? */
export const lookAtNatsProgram = async ({ natsServer }: Pick<Settings, 'natsServer'>): Promise<Finding> => {
  const program = await findNatsServer({ program: natsServer, installers: [] });
  return ok('nats-server', `${await programVersion(program)} at ${program}; it does not run`);
};

export const lookAtNats = async ({ nats, natsHttpPort }: RunningSettings): Promise<Finding> => {
  const { url, version, unproven } = await inspectServer(nats, natsHttpPort);
  if (unproven !== undefined) return warn('nats-server', `${version} at ${url}, durability unproven`, unproven);
  return ok('nats-server', `${version} at ${url}, with JetStream; what it acknowledges is on disk`);
};

const skewMsMax = 1_000;

/** The server stamps what it receives: its clock says how late a reading is, and resuming by time goes by it. */
export const lookAtClock = async ({ nats, natsHttpPort }: RunningSettings): Promise<Finding> => {
  const { host } = hostOf(nats.split(',')[0] as string);
  const before = Date.now();
  const { now } = await monitoringOf(`http://${host}:${natsHttpPort}`);
  const skewMs = Math.round(Math.abs(now - (before + Date.now()) / 2));
  if (skewMs > skewMsMax)
    return warn(
      'clock',
      `the server's is ${(skewMs / 1000).toFixed(1)} s off this machine's`,
      'have both follow one time server (chrony, ntpd)',
    );
  return ok('clock', `within ${skewMs} ms of the server's`);
};

export const lookAtStreams = async (settings: RunningSettings): Promise<Finding> => {
  const differences = await streamDifferences(settings);
  if (differences.length === 0) return ok('streams', 'as they have to be');
  if (differences.every((line) => line.endsWith('is not there'))) {
    return warn('streams', `${differences.length} are not there yet`, '`tidemark start` makes them');
  }
  return fail('streams', differences.join('; '), 'set them back as said (nats stream edit), with the actors stopped');
};

/** A lease is taken and given back. */
export const lookAtLeases = async (settings: RunningSettings): Promise<Finding> => {
  const log = createLog({ logLevel: 'silent' });
  const coordinator = await openCoordinator(settings, () => openBus(settings, 'tidemark doctor'), log);
  const begun = Date.now();
  try {
    await new Promise<void>((resolve, reject) => {
      const calls = { gained: () => resolve(), lost: () => undefined, wanted: () => undefined };
      coordinator.join(`doctor-${randomUUID().slice(0, 8)}`, 'doctor', 1, calls).catch(reject);
    });
    return ok('leases', `by ${settings.coordinator === 'nats' ? 'NATS' : 'ZooKeeper'}; one was taken within ${Date.now() - begun} ms`);
  } finally {
    await coordinator.close();
  }
};

export const lookAtEngine = async ({
  memoryMiB,
  mapThreads,
  data,
}: Pick<Settings, 'memoryMiB' | 'mapThreads' | 'data'>): Promise<Finding> => {
  const { openDuckdb } = await import('../../infra/sql/duckdb.js');
  const sql = await openDuckdb({ memoryMiB, threads: mapThreads, tempFolder: tmpdir(), allowedFolders: [data] });
  try {
    const [row] = await sql.rows('SELECT version() AS version, 1 + 1 AS two');
    return row?.two === 2 ? ok('DuckDB', String(row.version)) : fail('DuckDB', 'it cannot add', 'install the packages again: npm ci');
  } finally {
    sql.close();
  }
};

/** A file is written, read and removed, as actors would. */
export const lookAtStorage = async (settings: Settings): Promise<Finding> => {
  if (settings.storage === 'local' && (await stat(settings.data).catch(() => undefined)) === undefined) {
    await access(path.dirname(settings.data), constants.W_OK);
    return ok('storage', `${settings.data} is not there yet: \`tidemark start\` makes it`);
  }
  const storage = await openStorage(settings);
  const file = `work/doctor-${randomUUID()}`;
  const begun = Date.now();
  try {
    await storage.create(file, Buffer.from('doctor\n'));
    await storage.append(file, Buffer.from('doctor\n'), 7);
    const content = (await storage.read(file)).toString();
    if (content !== 'doctor\ndoctor\n')
      return fail('storage', `${settings.storage}: what was written is not what is read`, 'look at the disk, or at HDFS');
    return ok(
      'storage',
      `${settings.storage === 'local' ? settings.data : settings.storage}: created, appended, read and removed in ${Date.now() - begun} ms`,
    );
  } finally {
    await storage.remove(file).catch(() => undefined);
    await storage.close();
  }
};

/** Keys are for this account alone. */
export const lookAtKeys = async ({ data }: Pick<Settings, 'data'>): Promise<Finding> => {
  const folder = path.join(data, 'users');
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined) return ok('keys', 'none yet: `tidemark start` makes them');
  for (const name of names) {
    const mode = (await stat(path.join(folder, name))).mode & 0o077;
    if (mode !== 0)
      return fail(
        'keys',
        `${name} may be read by other accounts`,
        `chmod 600 ${path.join(folder, name)}, and make a new one if somebody may have read it`,
      );
  }
  return ok('keys', `${names.length} users, readable by this account alone`);
};
