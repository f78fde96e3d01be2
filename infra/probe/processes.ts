/**
 * The processes of a machine: who they are, the cpu time they have used, the memory they hold.
 *
 * On Linux /proc is read here, because systeminformation's processLoad starts a `ps` for each call (33 ms and a child
 * process, against 20 µs for each /proc/<pid>/stat) and knows a program by 15 letters of its name only. Elsewhere it is
 * systeminformation's list.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { basename } from 'node:path';
import si from 'systeminformation';

export interface ProcessUse {
  readonly pid: number;
  /** The program's name, as a person would type it. */
  readonly name: string;
  /** What it calls itself, if that is something else: cut to 15 characters on Linux. */
  readonly ownName: string;
  /** When it was started, in a unit of the system: with the pid it tells one process from another. */
  readonly started: string | number;
  /** Cpu time used since it was started, ms. */
  readonly cpuMs?: number;
  /** Percent of one core, where the system says that instead. */
  readonly cpuPercent?: number;
  /** Percent of the machine's memory. */
  readonly ramPercent: number;
}

/** Clock ticks a second in /proc: USER_HZ, 100 on every architecture that Node runs on. */
const msPerTick = 10;
/** Longer names are cut in /proc/<pid>/stat. */
const nameCharactersMax = 15;

/** Fields behind the name in /proc/<pid>/stat, counted from the state (proc(5), field 3). */
const field = { utime: 11, stime: 12, started: 19, rssPages: 21 } as const;

interface Stat {
  name: string;
  cpuMs: number;
  started: number;
  rssPages: number;
}

/** One /proc/<pid>/stat. The name stands in parentheses and may hold any character, parentheses too. */
export const parseStat = (text: string): Stat | undefined => {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open === -1 || close < open) return undefined;
  const fields = text.slice(close + 2).split(' ');
  const number = (index: number): number => Number(fields[index]);
  const stat = {
    name: text.slice(open + 1, close),
    cpuMs: (number(field.utime) + number(field.stime)) * msPerTick,
    started: number(field.started),
    rssPages: number(field.rssPages),
  };
  return Number.isFinite(stat.cpuMs + stat.started + stat.rssPages) ? stat : undefined;
};

const readText = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return undefined; // it ended meanwhile, or is not ours to see
  }
};

/** Node does not tell the page size: our own resident size in bytes and in pages does. */
const pageBytes = (): number => {
  const pages = parseStat(readText('/proc/self/stat') ?? '')?.rssPages ?? 0;
  return pages > 0 ? 2 ** Math.round(Math.log2(process.memoryUsage.rss() / pages)) : 4096;
};

let knownPageBytes: number | undefined;
/** Full names by pid; the start tells whether it is still the same process. */
const fullNames = new Map<number, { started: number; name: string | undefined }>();
const fullNamesMax = 50_000;

/** What was typed to start it, without the folder: "node" and not "MainThread", the whole of a long name. */
export const typedName = (firstArgument: string, ownName: string): string | undefined => {
  if (firstArgument === '') return undefined; // a thread of the kernel
  const whole = basename(firstArgument);
  if (whole.slice(0, nameCharactersMax) === ownName) return whole;
  // "sshd: root@pts/0" and "-bash" are titles that a process gave itself, or was given.
  return basename(firstArgument.split(' ', 1)[0] as string).replace(/^-|:$/g, '') || ownName;
};

const fullName = (pid: number, stat: Stat): string | undefined => {
  const known = fullNames.get(pid);
  if (known !== undefined && known.started === stat.started) return known.name;
  const name = typedName(readText(`/proc/${pid}/cmdline`)?.split('\0', 1)[0] ?? '', stat.name);
  if (fullNames.size >= fullNamesMax) fullNames.clear();
  fullNames.set(pid, { started: stat.started, name });
  return name;
};

const readLinux = (pids: readonly number[] | undefined): ProcessUse[] => {
  knownPageBytes ??= pageBytes();
  const total = totalmem();
  const chosen =
    pids ??
    readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0);
  const uses: ProcessUse[] = [];
  for (const pid of chosen) {
    const stat = parseStat(readText(`/proc/${pid}/stat`) ?? '');
    if (stat === undefined) continue;
    const name = fullName(pid, stat);
    if (name === undefined) continue;
    uses.push({
      pid,
      name,
      ownName: stat.name,
      started: stat.started,
      cpuMs: stat.cpuMs,
      ramPercent: (100 * stat.rssPages * knownPageBytes) / total,
    });
  }
  return uses;
};

/** systeminformation gives percent of all cores, but on macOS (ps) percent of one. */
const readElsewhere = async (pids: readonly number[] | undefined): Promise<ProcessUse[]> => {
  const { list } = await si.processes();
  const cores = process.platform === 'darwin' ? 1 : cpus().length;
  return list
    .filter(({ pid }) => pids === undefined || pids.includes(pid))
    .map(({ pid, name, started, cpu, mem }) => ({
      pid,
      name,
      ownName: name,
      started,
      cpuPercent: cpu * cores,
      ramPercent: mem,
    }));
};

/** All processes, or those of these pids that run. */
export const readProcesses = async (pids?: readonly number[]): Promise<ProcessUse[]> =>
  process.platform === 'linux' ? readLinux(pids) : readElsewhere(pids);

/** Cpu of each process between two looks, percent of one core; one that was not there before has used nothing yet. */
export const cpuBetween = (before: readonly ProcessUse[], now: readonly ProcessUse[], elapsedMs: number): number[] => {
  const byPid = new Map(before.map((use) => [use.pid, use]));
  return now.map((use) => {
    if (use.cpuMs === undefined) return use.cpuPercent ?? 0;
    const old = byPid.get(use.pid);
    if (old === undefined || old.started !== use.started) return 0;
    return (100 * Math.max(0, use.cpuMs - (old.cpuMs ?? 0))) / elapsedMs;
  });
};
