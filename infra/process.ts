/** Processes of this machine, by pid. */
import { readFileSync } from 'node:fs';

/** Whether a process runs; one that ended and was not collected yet does not. */
export const isAlive = (pid: number): boolean => {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const fields = statFields(pid);
  // Of one that was killed the first thread may be gone while others still hold its ports and files.
  return fields?.[0] !== 'Z' || Number(fields[17]) > 1;
};

/** The fields of /proc/PID/stat behind the program's name, from the state on; undefined where there is no such file. */
const statFields = (pid: number): string[] | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
};

/** When it started, in clock ticks since the machine did: with the pid it names one process. "" where it cannot be seen. */
export const startOf = (pid: number): string => statFields(pid)?.[19] ?? '';

/** The pid of its parent; undefined where it cannot be seen. */
export const parentOf = (pid: number): number | undefined => {
  const parent = statFields(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
};
