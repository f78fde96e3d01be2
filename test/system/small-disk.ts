/** A small disk for tests: a tmpfs that can be filled to its last byte and freed again. Needs root. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { OutOfReachError } from '../../infra/errors.js';
import { temporaryFolder } from '../servers.js';

/** Why such a test is skipped; false: it is not. */
export const noSmallDisk = process.getuid?.() === 0 ? false : 'SKIPPED: only root can mount a small disk';

export interface SmallDisk {
  readonly folder: string;
  /** Takes all there is. @returns bytes */
  fill(): number;
  free(): void;
}

/** @param folder where it is mounted; without it a temporary one */
export const mountSmallDisk = (t: Test, size: string, folder = temporaryFolder(t)): SmallDisk => {
  mkdirSync(folder, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tidemark-test', folder]);
  t.teardown(() => {
    execFileSync('umount', ['-l', folder]); // whoever has a file open there ends later
  });
  const filler = path.join(folder, 'filler');
  const mounted = statSync(folder).dev;
  return {
    folder,
    fill: () => {
      // After a time-out the teardown has unmounted it, and this would be the machine's own disk.
      if (statSync(folder).dev !== mounted) throw new OutOfReachError(`${folder} is not mounted any more`);
      const file = openSync(filler, 'a');
      let bytes = 0;
      try {
        for (let chunk = Buffer.alloc(65_536); chunk.length > 0; chunk = chunk.subarray(0, chunk.length >> 1)) {
          try {
            for (;;) bytes += writeSync(file, chunk);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
          }
        }
      } finally {
        closeSync(file);
      }
      return bytes;
    },
    free: () => rmSync(filler, { force: true }),
  };
};
