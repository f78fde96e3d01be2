/** The pages of a live system, in a real browser; what a page must never do is noted while it is open. */
import { createRequire } from 'node:module';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import type { Test } from 'tap';
import { OutOfReachError } from '../../infra/errors.js';
import { runnableActors } from '../../scripts/run-actors.js';
import { freePorts } from '../servers.js';
import { until } from '../until.js';
import { type System, startSystem } from './system.js';

export interface LivePages extends System {
  /** `http://127.0.0.1:4711` */
  readonly address: string;
  get<T>(path: string): Promise<T>;
}

/** Starts all actors and the dashboard, and waits until it answers. */
export const startPages = async (t: Test): Promise<LivePages> => {
  const [port] = (await freePorts(1)) as [number];
  const system = await startSystem(t, { httpPort: String(port) }, [...runnableActors, 'dashboard']);
  const address = `http://127.0.0.1:${port}`;
  const get = async <T>(path: string): Promise<T> => (await (await fetch(address + path)).json()) as T;
  await until(async () => (await fetch(`${address}/api/v1/services`).catch(() => undefined))?.ok || undefined);
  return Object.assign(Object.create(system) as System, { address, get });
};

export interface Look {
  readonly scheme?: 'light' | 'dark';
  readonly width?: number;
}

export interface OpenPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Console errors, refused by the policy, asked of other hosts, thrown: none is right. */
  readonly wrongs: readonly string[];
  /** Opens an address and waits until everything that it asks for is there. */
  go(path: string): Promise<void>;
  /** `ready`, `empty`, `error`. */
  settled(): Promise<string>;
  /** What axe finds against the page as it is. */
  axe(): Promise<string[]>;
}

const axeFile = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const patientMs = 60_000;

export const openPage = async (
  t: Test,
  browser: Browser,
  address: string,
  { scheme = 'light', width = 1280 }: Look = {},
): Promise<OpenPage> => {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    permissions: ['clipboard-read', 'clipboard-write'],
    bypassCSP: false,
  });
  const page = await context.newPage();
  t.teardown(async () => {
    await page.unrouteAll({ behavior: 'ignoreErrors' }); // a live page asks until it is closed
    await context.close();
  });
  context.setDefaultTimeout(patientMs);
  const wrongs: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') wrongs.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrongs.push(`thrown: ${error.message}`));
  page.on('dialog', (dialog) => {
    wrongs.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(`${address}/`) && !request.url().startsWith('blob:')) wrongs.push(`asked elsewhere: ${request.url()}`);
  });
  await page.addInitScript(
    `addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI))`,
  );
  const settled = async (): Promise<string> => {
    await holds(page, `['ready', 'empty', 'error'].includes(document.documentElement.dataset.state)`);
    return (await page.evaluate('document.documentElement.dataset.state')) as string;
  };
  return {
    page,
    context,
    wrongs,
    settled,
    async go(path) {
      await page.goto(address + path);
      await settled();
      await holds(page, `document.querySelector('[aria-busy=true]') === null`);
    },
    async axe() {
      // By the debugger, not by a script element: the page's policy allows none.
      await page.evaluate((await import('node:fs')).readFileSync(axeFile, 'utf8'));
      // Animations move colours: they are let end.
      await page.evaluate(
        'Promise.allSettled(document.getAnimations().filter((a) => a.effect?.getTiming().iterations !== Infinity).map((a) => a.finished))',
      );
      return (await page.evaluate(
        `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.flatMap(({ id, nodes }) => nodes.map((n) => id + ' ' + n.target.join(' ') + ' ' + (n.any[0]?.message ?? ''))))`,
      )) as string[];
    },
  };
};

/**
 * Waits until an expression holds in the page, also across a navigation. (Playwright's own way takes `eval`, which the policy refuses.)
 * @throws OutOfReachError with what the page shows instead
 */
export const holds = async (page: Page, expression: string): Promise<void> => {
  const giveUpAt = Date.now() + patientMs;
  let failed = '';
  await until(async () => {
    const value = await page.evaluate(expression).catch((error: Error) => {
      failed = error.message;
    });
    if (!value && Date.now() > giveUpAt) {
      throw new OutOfReachError(`${expression} does not hold; ${failed}; the page shows: ${await textOf(page.locator('body'))}`);
    }
    return value ? true : undefined;
  });
};

/** As a person sees it, with the breaks between blocks. */
export const textOf = (locator: Locator): Promise<string> =>
  locator.evaluate((element) => (element as unknown as Record<string, string>)['innerText' as string] ?? '');

/** The text of each cell of the summary, by service and column. */
export const readSummary = (page: Page): Promise<Record<string, Record<string, string>>> =>
  page.evaluate(`Object.fromEntries([...document.querySelectorAll('table.summary tbody tr')].map((tr) => {
    const keys = ['service', 'messages', 'cpu.mean', 'cpu.max', 'cpu.peak', 'ram.mean', 'ram.max', 'ram.peak', 'disk.mean', 'disk.max', 'disk.peak', 'missing', 'late', 'refused', 'last'];
    const cells = [...tr.children].map((cell, i) => [keys[i], (cell.querySelector('.name')?.title ?? cell.textContent).trim()]);
    return [cells[0][1], Object.assign(Object.create(null), Object.fromEntries(cells))];
  }).map(([name, cells]) => ['=' + name, cells]))`);
