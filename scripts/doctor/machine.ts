/** The machine: Node, memory, ports, and how long its disk lasts. */
import { readdir, stat, statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import path from 'node:path';
import type { Settings } from '../../infra/config.js';
import { isPortFree } from '../../infra/ports.js';
import { type Finding, fail, ok, warn } from './finding.js';

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** Bytes with one digit behind the point, for people. */
export const roughly = (bytes: number): string => (bytes >= GiB ? `${(bytes / GiB).toFixed(1)} GiB` : `${Math.round(bytes / MiB)} MiB`);

export const lookAtNode = async (version = process.versions.node): Promise<Finding> => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 20)) return fail('Node', version, 'install Node 20.20 or newer');
  return ok('Node', version);
};

/** What a system on one machine takes beside the engine's bound, its server included. */
const memoryBytesNeeded = 700 * MiB;

export const lookAtMemory = async ({ memoryMiB }: Pick<Settings, 'memoryMiB'>): Promise<Finding> => {
  const needed = memoryBytesNeeded + memoryMiB * MiB;
  const found = `${roughly(freemem())} free of ${roughly(totalmem())}`;
  if (totalmem() < needed)
    return fail('memory', found, `a whole system may need ${roughly(needed)}: lower --memory (${memoryMiB}MiB), or give it more`);
  if (freemem() < needed / 2)
    return warn('memory', found, `a batch may need ${roughly(needed)} in all: end what else runs, or lower --memory`);
  return ok('memory', found);
};

/** @param runs the system runs, so its ports are taken by itself */
export const lookAtPorts = async (
  { natsPort, natsHttpPort, httpPort, natsHost }: Pick<Settings, 'natsPort' | 'natsHttpPort' | 'httpPort' | 'natsHost'>,
  runs: boolean,
): Promise<Finding> => {
  const ports = { '--nats-port': natsPort, '--nats-http-port': natsHttpPort, '--http-port': httpPort };
  if (runs) return ok('ports', 'the system has its own');
  for (const [flag, port] of Object.entries(ports)) {
    if (port !== 0 && !(await isPortFree(port, flag === '--nats-port' ? natsHost : '127.0.0.1'))) {
      return fail('ports', `${port} is taken by another program`, `give another one by ${flag}`);
    }
  }
  return ok('ports', `${Object.values(ports).join(', ')} are free`);
};

const dayMs = 86_400_000;
const daysLooked = 7;

/** Bytes below a folder; 0 if it is not there. */
const bytesBelow = async (folder: string): Promise<number> => {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  let bytes = 0;
  for (const entry of entries) {
    if (entry.isFile()) bytes += (await stat(path.join(entry.parentPath, entry.name)).catch(() => ({ size: 0 }))).size;
  }
  return bytes;
};

export interface Growth {
  /** New raw bytes a day, over the days that were looked at. */
  readonly bytesPerDay: number;
  readonly days: number;
}

/**
 * How much raw data comes in a day. By when files were written, not by the dates in their names: readings may be late.
 * @returns undefined where nothing was written for long enough to tell
 */
export const growthOf = async (data: string, now = Date.now()): Promise<Growth | undefined> => {
  const raw = path.join(data, 'raw');
  let [bytes, oldest] = [0, now];
  for (const entry of await readdir(raw, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (!entry.isFile()) continue;
    const file = await stat(path.join(entry.parentPath, entry.name)).catch(() => undefined);
    if (file === undefined || now - file.mtimeMs > daysLooked * dayMs) continue;
    bytes += file.size;
    oldest = Math.min(oldest, file.birthtimeMs || file.mtimeMs);
  }
  const days = (now - oldest) / dayMs;
  return days * 24 < 1 ? undefined : { bytesPerDay: bytes / days, days };
};

const daysLeftWarn = 30;
const daysLeftFail = 2;
const freeBytesMin = 256 * MiB;

/** Room on the disk of the data folder, and when it is full if it goes on like this. */
export const lookAtDisk = async ({ data }: Pick<Settings, 'data'>): Promise<Finding> => {
  const exists = await stat(data).then(
    () => true,
    () => false,
  );
  const { bavail, bsize } = await statfs(exists ? data : path.dirname(data)).catch(() => statfs('/'));
  const free = bavail * bsize;
  const used = exists ? await bytesBelow(data) : 0;
  const growth = exists ? await growthOf(data) : undefined;
  const daysLeft = growth === undefined || growth.bytesPerDay === 0 ? Number.POSITIVE_INFINITY : free / growth.bytesPerDay;
  const forecast = Number.isFinite(daysLeft)
    ? `; ${roughly(growth?.bytesPerDay ?? 0)} of raw data a day: full in ${daysLeft >= 730 ? 'years' : `${Math.floor(daysLeft)} days`}`
    : '; too little came yet to say when it is full';
  const found = `${roughly(used)} of data, ${roughly(free)} free${forecast}`;
  const mend = `give ${data} more room, or move it: raw data is kept for good`;
  if (free < freeBytesMin || daysLeft < daysLeftFail) return fail('disk', found, mend);
  if (daysLeft < daysLeftWarn) return warn('disk', found, mend);
  return ok('disk', found);
};
