/** What Tidemark's processes on this machine hold in memory. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isAlive } from '../../infra/process.js';

export interface ProcessMemory {
  readonly pid: number;
  /** Its share: pages that several processes use count once. null where the system does not tell. */
  readonly pssBytes: number | null;
  /** Resident, shared pages in full. */
  readonly rssBytes: number | null;
}

export interface Memory {
  readonly pssBytes: number | null;
  readonly rssBytes: number | null;
  readonly processes: readonly ProcessMemory[];
}

const readText = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
};

/** Linux tells; elsewhere nothing is known. */
const memoryOf = (pid: number): ProcessMemory => {
  const rollup = readText(`/proc/${pid}/smaps_rollup`);
  const bytes = (name: string): number | null => {
    const kB = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup ?? '')?.[1];
    return kB === undefined ? null : Number(kB) * 1024;
  };
  return { pid, pssBytes: bytes('Pss'), rssBytes: bytes('Rss') };
};

const sumOf = (values: readonly (number | null)[]): number | null =>
  values.some((value) => value === null) ? null : values.reduce<number>((sum, value) => sum + (value ?? 0), 0);

export const readMemory = (pids: readonly number[]): Memory => {
  const processes = [...new Set(pids)].filter(isAlive).map(memoryOf);
  return {
    pssBytes: sumOf(processes.map(({ pssBytes }) => pssBytes)),
    rssBytes: sumOf(processes.map(({ rssBytes }) => rssBytes)),
    processes,
  };
};

/** The nats-server that `start` runs on this data; undefined where there is none. */
export const readNatsPid = (data: string): number | undefined => {
  const pid = Number(readText(path.join(data, 'nats.pid')) ?? Number.NaN);
  return pid > 0 ? pid : undefined;
};

/** Whether a process is a nats-server: a pid that was written down may have gone to somebody else. */
export const isNatsServer = (pid: number): boolean => isAlive(pid) && /nats-server/.test(readText(`/proc/${pid}/cmdline`) ?? 'nats-server');

/** The supervisor of `start`. */
export const readSupervisorPid = (data: string): number | undefined => {
  try {
    const { pid } = JSON.parse(readText(path.join(data, 'lock')) ?? '{}') as { pid?: number };
    return pid;
  } catch {
    return undefined;
  }
};
