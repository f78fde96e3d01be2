/** One `start` at a time on a data folder: DATA/lock names its process. A lock whose process is gone is taken over. */

import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { OutOfReachError } from '../../infra/errors.js';
import { isAlive, startOf } from '../../infra/process.js';

interface Holder {
  readonly pid: number;
  readonly started: string;
}

const readHolder = (file: string): Holder | undefined => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Holder;
  } catch {
    return undefined; // gone, or never a lock of ours
  }
};

/** A pid alone may have gone to somebody else. */
const isHolding = (holder: Holder | undefined): holder is Holder =>
  holder !== undefined && isAlive(holder.pid) && startOf(holder.pid) === holder.started;

/** Whether `file` was made with this content; false: there is one already. Others see all of it or nothing. */
const createWhole = (file: string, content: string): boolean => {
  const beside = `${file}.${randomUUID()}`;
  writeFileSync(beside, content);
  try {
    linkSync(beside, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(beside);
  }
};

const refusal = (data: string, { pid }: Holder): OutOfReachError =>
  new OutOfReachError(
    `a Tidemark with pid ${pid} runs on ${data} already: ask that one (npx tidemark query …), stop it, or give another folder with --data`,
  );

/** Takes away a lock whose process is gone; if it is a new one by now, puts it back. */
const removeStale = (file: string): void => {
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
  } catch {
    return; // somebody else did
  }
  const holder = readHolder(aside);
  if (isHolding(holder)) linkSync(aside, file);
  rmSync(aside);
};

/** @returns how to release it. @throws OutOfReachError when another process holds it */
export const lockData = (data: string): (() => void) => {
  mkdirSync(data, { recursive: true });
  const file = path.join(data, 'lock');
  const content = JSON.stringify({ pid: process.pid, started: startOf(process.pid) });
  for (let tries = 0; tries < 10; tries++) {
    if (createWhole(file, content))
      return () => {
        if (readHolder(file)?.pid === process.pid) rmSync(file, { force: true });
      };
    const holder = readHolder(file);
    if (isHolding(holder)) throw refusal(data, holder);
    removeStale(file);
  }
  throw new OutOfReachError(`${file} can neither be made nor taken over: remove it if no Tidemark runs on ${data}`);
};
