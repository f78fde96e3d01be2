/**
 * Crash points: named places before and after each durable step, where a process kills itself with SIGKILL when
 * TIDEMARK_CRASH_AT names one (`buffer.segment.sealed.after`, or `…:3` for the third time it gets there). For tests alone.
 */
import { crashAt } from './config.js';

const wanted = crashAt();
let timesLeft = wanted?.count ?? 0;

export const crashPoint = (name: string): void => {
  if (wanted === undefined || name !== wanted.name) return;
  timesLeft -= 1;
  if (timesLeft > 0) return;
  process.stderr.write(`${JSON.stringify({ crashPoint: name })}\n`);
  process.kill(process.pid, 'SIGKILL');
};

const goOn = (): void => undefined;

/** The point before a step. @returns the point after it */
export const crashPoints = (step: string): (() => void) => {
  if (wanted === undefined) return goOn;
  crashPoint(`${step}.before`);
  return () => crashPoint(`${step}.after`);
};
