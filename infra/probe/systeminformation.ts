/** Probes by systeminformation: the whole machine, or the processes of one program. */
import { readFile, statfs } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import si from 'systeminformation';
import type { Probe, ProcessChoice, Sample } from './probe.js';
import { cpuBetween, type ProcessUse, readProcesses } from './processes.js';

/** A second look sooner than this gives the first one's answer: shares of so short a time say nothing. */
const lookAgainAfterMs = 200;
const diskAgainAfterMs = 10_000;

/** Runs `look` at most once in `everyMs`, whoever asks; who asks in between gets the same answer. */
const shared = <T>(everyMs: number, look: () => Promise<T>): (() => Promise<T>) => {
  let lookedAtMs = -Infinity;
  let answer: Promise<T> | undefined;
  return () => {
    const now = performance.now();
    if (answer === undefined || now - lookedAtMs >= everyMs) {
      lookedAtMs = now;
      const next = look();
      next.catch(() => {
        lookedAtMs = -Infinity;
      }); // a failure is not kept
      answer = next;
    }
    return answer;
  };
};

/** Ticks of all cores since the machine was started. */
interface MachineTimes {
  readonly busy: number;
  readonly all: number;
}

/** The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user. */
const readMachineTimes = async (): Promise<MachineTimes | undefined> => {
  const line = /^cpu +([\d ]+)$/m.exec(await readFile('/proc/stat', 'utf8').catch(() => ''))?.[1];
  if (line === undefined) return undefined;
  const ticks = line.split(' ').slice(0, 8).map(Number);
  const all = ticks.reduce((sum, one) => sum + one, 0);
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all };
};

let timesBefore: MachineTimes = { busy: 0, all: 0 };

/**
 * One caller for the whole process: it is the difference to the call before, whoever made that. On Linux /proc is read here,
 * because systeminformation's currentLoad starts a `cat` for each call and waits for it, and all of its process does.
 */
const machineCpu = shared(lookAgainAfterMs, async () => {
  const now = await readMachineTimes();
  if (now === undefined) return (await si.currentLoad()).currentLoad;
  const { busy, all } = timesBefore;
  timesBefore = now;
  return Math.min(100, Math.max(0, (100 * (now.busy - busy)) / (now.all - all)));
});

/** `used` includes the caches, which are free for the asking; `active` does not. */
const machineRam = shared(lookAgainAfterMs, async () => {
  const { active, total } = await si.mem();
  return (100 * active) / total;
});

const disks = new Map<string, () => Promise<number>>();

/** statfs costs no process; systeminformation's fsSize starts `df`, so it is the way where statfs says nothing. */
const diskUsed = (path: string): Promise<number> => {
  let look = disks.get(path);
  if (look === undefined) {
    look = shared(diskAgainAfterMs, async () => {
      const { blocks, bfree, bavail } = await statfs(path);
      const used = blocks - bfree;
      return blocks > 0 ? (100 * used) / (used + bavail) : mountUsed(path);
    });
    disks.set(path, look);
  }
  return look();
};

const mountUsed = async (path: string): Promise<number> => {
  const file = resolve(path);
  const holding = (await si.fsSize())
    .filter(({ mount }) => file === mount || file.startsWith(mount.endsWith(sep) ? mount : mount + sep))
    .sort((a, b) => b.mount.length - a.mount.length);
  return holding[0]?.use ?? Number.NaN;
};

const orNothing = async (measure: () => Promise<Sample | undefined>): Promise<Sample | undefined> => {
  try {
    const sample = await measure();
    return sample !== undefined && Number.isFinite(sample.cpu + sample.ram + sample.disk) ? sample : undefined;
  } catch {
    return undefined; // what could not be read is not made up; the agent counts it
  }
};

/** The whole machine. `diskPath` is a path on the file system to watch. */
export const machineProbe = async ({ diskPath }: { diskPath: string }): Promise<Probe> => {
  await machineCpu().catch(() => undefined); // the first one is the average since the machine was started: dropped
  const madeAtMs = performance.now();
  return {
    sample: () =>
      orNothing(async () => {
        if (performance.now() - madeAtMs < lookAgainAfterMs) return undefined;
        const [cpu, ram, disk] = await Promise.all([machineCpu(), machineRam(), diskUsed(diskPath)]);
        return { cpu, ram, disk };
      }),
  };
};

const choose = async (choice: ProcessChoice): Promise<ProcessUse[]> => {
  if ('pids' in choice) return readProcesses(choice.pids());
  const except = new Set(choice.exceptPids?.() ?? []);
  return (await readProcesses()).filter(({ pid, name, ownName }) => (name === choice.name || ownName === choice.name) && !except.has(pid));
};

/** The processes of one program, together: cpu in percent of one core, ram of the machine's memory. */
export const programProbe = async (choice: ProcessChoice, { diskPath }: { diskPath: string }): Promise<Probe> => {
  let before = await choose(choice).catch(() => []);
  let beforeAtMs = performance.now();
  let last: Sample | undefined;
  return {
    sample: () =>
      orNothing(async () => {
        const elapsedMs = performance.now() - beforeAtMs;
        if (elapsedMs < lookAgainAfterMs) return last;
        const now = await choose(choice);
        const cpu = cpuBetween(before, now, elapsedMs).reduce((sum, share) => sum + share, 0);
        const ram = now.reduce((sum, use) => sum + use.ramPercent, 0);
        before = now;
        beforeAtMs += elapsedMs;
        last = now.length === 0 ? undefined : { cpu, ram, disk: await diskUsed(diskPath) };
        return last;
      }),
  };
};

/** The name of the program that used most cpu in `overMs`, and of idle ones most memory; none of these processes. */
export const busiestProgram = async (exceptPids: readonly number[], overMs = 500): Promise<string | undefined> => {
  const before = await readProcesses();
  const beforeAtMs = performance.now();
  await wait(overMs);
  const now = await readProcesses();
  const shares = cpuBetween(before, now, performance.now() - beforeAtMs);
  const programs = new Map<string, { cpu: number; ram: number }>();
  for (const [i, { pid, name, ramPercent }] of now.entries()) {
    if (exceptPids.includes(pid)) continue;
    const program = programs.get(name) ?? { cpu: 0, ram: 0 };
    programs.set(name, { cpu: program.cpu + (shares[i] as number), ram: program.ram + ramPercent });
  }
  const [busiest] = [...programs].sort(([, a], [, b]) => b.cpu - a.cpu || b.ram - a.ram);
  return busiest?.[0];
};
