/**
 * A disk whose power can be cut: ext4 in a file, mounted by a loop device.
 *
 * What was not synced is in the kernel's cache only, not in the file. So a copy of the file, taken while whoever writes is
 * stopped, is what a power cut would have left. With `commit=300` nothing but a sync brings it there: the worst case.
 */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { OutOfReachError } from '../../infra/errors.js';

const run = promisify(execFile);

/** Why there can be no such disk here; undefined: there can. */
export const whyNoLoopDisk = (): string | undefined => {
  if (process.platform !== 'linux') return 'it takes Linux';
  if (process.getuid?.() !== 0) return 'it takes root';
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices';
  const missing = ['mkfs.ext4', 'mount', 'umount'].find((tool) => spawnSync('which', [tool]).status !== 0);
  return missing === undefined ? undefined : `there is no ${missing}`;
};

/** @throws OutOfReachError with what the command said */
const command = async (name: string, ...args: readonly string[]): Promise<void> => {
  await run(name, args).catch((error: { stderr?: string }) => {
    throw new OutOfReachError(`${name} ${args.join(' ')}: ${error.stderr?.trim() || String(error)}`);
  });
};

export class LoopDisk {
  private isMounted = false;

  private constructor(
    private readonly image: string,
    /** Where it is mounted. */
    readonly folder: string,
  ) {
    process.once('exit', this.unmountNow);
  }

  /** A new one of `mebibytes`, mounted at `folder`; the file takes only what is written. */
  static async make(image: string, folder: string, mebibytes: number): Promise<LoopDisk> {
    const disk = new LoopDisk(image, folder);
    await mkdir(path.dirname(image), { recursive: true });
    await mkdir(folder, { recursive: true });
    await command('truncate', '-s', `${mebibytes}M`, image);
    await command('mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', image);
    await disk.mount();
    return disk;
  }

  private async mount(): Promise<void> {
    await command('mount', '-o', 'loop,commit=300', this.image, this.folder);
    this.isMounted = true;
  }

  private async unmount(): Promise<void> {
    if (!this.isMounted) return;
    await command('umount', this.folder).catch(() => command('umount', '--lazy', this.folder));
    this.isMounted = false;
  }

  private readonly unmountNow = (): void => {
    if (this.isMounted) spawnSync('umount', ['--lazy', this.folder]);
  };

  /** What is on the disk now, and nothing else. Whoever writes is stopped meanwhile. */
  async keep(): Promise<void> {
    await command('cp', '--sparse=always', this.image, `${this.image}.kept`);
  }

  /** The power comes back: what was kept is there. Nobody uses the folder meanwhile. */
  async comeBack(): Promise<void> {
    await this.unmount();
    await rename(`${this.image}.kept`, this.image);
    await this.mount();
  }

  /** Unmounts it, which detaches its loop device, and removes it. */
  async remove(): Promise<void> {
    await this.unmount();
    process.removeListener('exit', this.unmountNow);
    await rm(this.image, { force: true });
    await rm(`${this.image}.kept`, { force: true });
  }
}
