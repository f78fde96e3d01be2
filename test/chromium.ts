/** Debian's Chromium for tests of the pages: found, installed where that can be done, or the tests are skipped aloud. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import type { Test } from 'tap';

const places = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export const findChromium = (): string | undefined => places.find((place) => existsSync(place));

/** Fetching it takes some 20 s, and unpacking as long again. */
const installMsMax = 180_000;

/** Ends with the exit code, or null when it could not be started or took too long. */
const run = (command: string, words: readonly string[], ms: number): Promise<number | null> =>
  new Promise((resolve) => {
    const child = spawn(command, words, { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
    const timer = setTimeout(() => child.kill('SIGTERM'), ms);
    child.once('error', () => resolve(null));
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
  });

/**
 * Installs Chromium where there is none, as root on a Debian: a fresh machine of CI is one. It never throws and is never
 * a reason to fail: without it the tests that need it are skipped.
 * @returns where it is, or undefined
 */
export const installChromium = async ({ tell = (_line: string): void => undefined } = {}): Promise<string | undefined> => {
  const found = findChromium();
  if (found !== undefined) return found;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !existsSync('/usr/bin/apt-get')) {
    tell('no chromium here, and it cannot be installed (that takes root and apt-get): the tests of the pages in a browser are skipped');
    return undefined;
  }
  tell('installing chromium, for the tests of the pages (apt-get install chromium) …');
  const until = Date.now() + installMsMax;
  const waitForLock = ['-o', 'DPkg::Lock::Timeout=60'];
  const install = (): Promise<number | null> =>
    run('apt-get', [...waitForLock, 'install', '-y', '--no-install-recommends', 'chromium'], until - Date.now());
  // Most often the lists are there already; reading them anew takes a while.
  if ((await install()) !== 0 && Date.now() < until) {
    await run('apt-get', [...waitForLock, 'update'], until - Date.now());
    if (Date.now() < until) await install();
  }
  const installed = findChromium();
  if (installed === undefined) tell('chromium could not be installed: the tests of the pages in a browser are skipped');
  return installed;
};

/** A browser that ends at the test's teardown; undefined: there is none, and the test says that it was skipped. */
export const openBrowser = async (t: Test): Promise<Browser | undefined> => {
  const executablePath = findChromium();
  if (executablePath === undefined) {
    t.pass('the pages in a browser', { skip: 'no chromium here: apt-get install chromium' });
    return undefined;
  }
  // As root it starts without its sandbox only; /dev/shm is small in containers.
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    timeout: 60_000,
  });
  t.teardown(() => browser.close());
  return browser;
};
