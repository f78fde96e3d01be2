/** The pages on a live system, in Chromium: every control, the numbers against a count of the test's own, names that attack. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { openBrowser } from '../chromium.js';
import { holds, openPage, readSummary, startPages, textOf } from './pages-live.js';
import { publishAll, type Reading } from './system.js';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const attack = '<img src=x onerror=alert(1)>';
const odd = [attack, '../up', '__proto__', '=1+1', 'שלום עולם', 'x'.repeat(200)];
const names = ['web', 'constructor', ...odd];

/** Whole days lie behind: the readings are the same whenever this runs. */
const day = Date.UTC(2026, 9, 25);
const iso = (ms: number): string => new Date(ms).toISOString();

const made = (service: string, timestamp: number, k: number): Reading => ({
  service,
  host: `h${k % 2}`,
  timestamp: timestamp + ((k * 7_919) % minuteMs),
  cpu: ((k * 37 + service.length * 11) % 1_000) / 10,
  ram: ((k * 53) % 900) / 10,
  disk: ((k * 71) % 800) / 10,
});

/** Each quarter of an hour of 26 hours around the day that has 25 in Berlin; a gap of two hours in `web`. */
const history = (): Reading[] =>
  names.flatMap((service, i) =>
    Array.from({ length: 26 * 4 }, (_, k) => made(service, day - 3 * hourMs + k * 15 * minuteMs, k + i * 13)).filter(
      ({ timestamp }) => service !== 'web' || timestamp < day + 4 * hourMs || timestamp >= day + 6 * hourMs,
    ),
  );

/** As the page has it, counted apart. */
const counted = (readings: readonly Reading[], service: string, from: number, to: number) => {
  const own = readings.filter((one) => one.service === service && one.timestamp >= from && one.timestamp < to);
  const of = (metric: 'cpu' | 'ram' | 'disk') => {
    const sorted = [...own].sort((a, b) => b[metric] - a[metric] || a.timestamp - b.timestamp);
    const mean = own.reduce((sum, one) => sum + Math.round(one[metric] * 1e6), 0) / 1e6 / own.length;
    return {
      mean: own.length === 0 ? '–' : text(mean),
      max: own.length === 0 ? '–' : text(sorted[0]?.[metric] as number),
      peak: sorted[0]?.timestamp,
    };
  };
  return { messages: own.length, cpu: of('cpu'), ram: of('ram'), disk: of('disk') };
};
const text = (value: number): string => (value !== 0 && value < 0.1 ? `${Number(value.toPrecision(2))} %` : `${value.toFixed(1)} %`);

const holdsNumbers = async (
  t: Test,
  page: Page,
  readings: readonly Reading[],
  services: readonly string[],
  from: number,
  to: number,
): Promise<void> => {
  const shown = await readSummary(page);
  for (const service of services) {
    const row = shown[`=${service}`] ?? {};
    const own = counted(readings, service, from, to);
    const label = `${service.slice(0, 30)} ${iso(from)}`;
    t.equal(row.messages, own.messages === 0 ? 'no messages' : String(own.messages), `${label} messages`);
    for (const metric of ['cpu', 'ram', 'disk'] as const) {
      t.equal(row[`${metric}.mean`], own[metric].mean, `${label} ${metric} mean`);
      t.equal(row[`${metric}.max`], own[metric].max, `${label} ${metric} max`);
    }
  }
};

const link = (from: number, to: number, more = ''): string => `/analysis?from=${iso(from)}&to=${iso(to)}${more}`;

t.setTimeout(600_000);

t.test('the pages', { timeout: 600_000 }, async (t) => {
  const browser = await openBrowser(t);
  if (browser === undefined) return;
  const system = await startPages(t);
  const readings = history();
  await system.rows(await publishAll(system, readings));
  const first = await openPage(t, browser, system.address);
  const { page, wrongs, go, settled } = first;
  const whole = [day - 3 * hourMs, day + 23 * hourMs] as const;
  const search = (): URLSearchParams => new URL(page.url()).searchParams;
  /** Does something that asks anew, and waits for its answer. */
  const then = async (act: () => Promise<unknown>): Promise<void> => {
    await page.evaluate(`document.documentElement.dataset.state = 'before'`);
    await act();
    await holds(page, `document.documentElement.dataset.state !== 'before'`);
    await settled();
    await holds(page, `document.querySelector('[aria-busy=true]') === null`);
  };

  await t.test('home: what is there, what runs, and a range to look at', async (t) => {
    await go('/');
    await page.locator('#actors tr', { hasText: 'merger' }).waitFor(); // status says within two seconds what it knows by then
    t.match(await textOf(page.locator('#services')), /silent since/);
    t.equal(await page.locator('#services img').count(), 0, 'a name is no markup');
    t.match(await textOf(page.locator('#proved')), /not yet|no difference/);
    await page.locator('#from').fill('2026-10-25T02:00');
    await page.locator('#to').fill('2026-10-25T03:00');
    await then(() => page.getByRole('button', { name: 'Show', exact: true }).click());
    t.match(page.url(), /\/analysis\?from=2026-10-25T02:00:00Z&to=2026-10-25T03:00:00Z/);
    await holdsNumbers(t, page, readings, names, day + 2 * hourMs, day + 3 * hourMs);
  });

  await t.test('numbers of a range, before, across and after a batch; reload equals', async (t) => {
    await go(link(...whole));
    await holdsNumbers(t, page, readings, names, ...whole);
    t.match(await textOf(page.locator('#terms')), /Batch\s+none yet/);
    const before = await readSummary(page);
    await system.batch();
    await page.reload();
    await holds(page, `document.querySelector('#terms')?.textContent.includes('no difference')`);
    await settled();
    t.same(await readSummary(page), before, 'the same numbers from the batch view');
    await holds(
      page,
      `/Readings from batch\\s*${readings.length}\\s*from real time\\s*0/.test(document.querySelector('#terms').innerText)`,
    ); // it swaps just after the proof
    t.same(await readSummary(page), before, 'and so it is after the swap');
    t.equal(await page.locator('[data-kind=changed]').count(), 0, 'the link holds its etag, and they have not changed');
    const late = made('web', day + 2 * hourMs, 999);
    readings.push(late);
    await system.rows(await publishAll(system, [late]));
    await page.reload();
    await page.locator('[data-kind=changed]').waitFor();
    t.match(await textOf(page.locator('[data-kind=changed]')), /have changed since this link was made/);
    await settled();
    await holdsNumbers(t, page, readings, names, ...whole);
  });

  await t.test('days of 25 and 23 hours, in the zone chosen', async (t) => {
    await go(link(...whole, '&zone=Europe/Berlin'));
    await page.locator('#from').fill('2026-10-25T00:00');
    await page.locator('#to').fill('2026-10-26T00:00');
    t.equal(await textOf(page.locator('#from-hint')), 'UTC+2');
    t.equal(await textOf(page.locator('#to-hint')), 'UTC+1');
    await then(() => page.getByRole('button', { name: 'Show', exact: true }).click());
    t.match(await textOf(page.locator('.span')), /25 h/);
    await holdsNumbers(t, page, readings, ['web', attack], day - 2 * hourMs, day + 23 * hourMs);
    await page.locator('#from').fill('2026-03-29T02:30');
    t.match(await textOf(page.locator('#from-hint')), /skipped by the clocks: 03:00 UTC\+2/);
    await page.locator('#from').fill('2026-03-29T00:00');
    await page.locator('#to').fill('2026-03-30T00:00');
    await then(() => page.getByRole('button', { name: 'Show', exact: true }).click());
    t.match(await textOf(page.locator('.span')), /23 h/);
    t.match(await textOf(page.locator('[data-kind=empty]')), /No messages from any service in this range: first data .* newest/);
    await then(() => page.getByRole('button', { name: 'Go to the newest data' }).click());
    t.equal(await page.evaluate('document.documentElement.dataset.state'), 'ready');
    await then(() => page.locator('#zone').selectOption('America/New_York'));
    t.equal(search().get('zone'), 'America/New_York');
    await then(() => page.goBack());
    t.equal(await page.locator('#zone').inputValue(), 'Europe/Berlin', 'the back button');
  });

  await t.test('presets, services, sorting', async (t) => {
    await go(link(...whole));
    for (const [label, from] of [
      ['15 min', 'now-15m'],
      ['30 days', 'now-30d'],
      ['today', 'today'],
      ['yesterday', 'yesterday'],
    ] as const) {
      await then(() => page.getByRole('button', { name: label, exact: true }).click());
      t.equal(search().get('from'), from, label);
      t.equal(await page.getByRole('button', { name: label, exact: true }).getAttribute('aria-pressed'), 'true');
    }
    await go(link(...whole));
    await page.keyboard.press('/');
    await page.locator('#service-search').fill('onerror');
    t.equal(await page.locator('.checks input').count(), 1);
    await page.locator('.checks input').check();
    await then(() => page.getByRole('button', { name: 'Show', exact: true }).click());
    t.same(search().getAll('service'), [attack]);
    t.same(Object.keys(await readSummary(page)), [`=${attack}`]);
    await go(link(...whole));
    await page.getByRole('columnheader', { name: 'cpu mean', exact: true }).getByRole('button').click();
    t.equal(search().get('sort'), '-cpu.mean');
    const means = Object.values(await readSummary(page)).map((row) => Number.parseFloat(row['cpu.mean'] as string));
    t.same(
      means,
      [...means].sort((a, b) => b - a),
    );
    t.equal(await page.getByRole('columnheader', { name: 'cpu mean', exact: true }).getAttribute('aria-sort'), 'descending');
    await page.reload();
    await settled();
    t.same(
      Object.values(await readSummary(page)).map((row) => Number.parseFloat(row['cpu.mean'] as string)),
      means,
      'the link holds it',
    );
  });

  await t.test('a peak leads to the raw message that set it', async (t) => {
    await go(link(...whole, `&service=${encodeURIComponent(attack)}`));
    const { cpu } = counted(readings, attack, ...whole);
    const own = readings.find((one) => one.service === attack && one.timestamp === cpu.peak) as Reading;
    await page.locator('table.summary .peak-time').first().click();
    const raw = JSON.parse(await textOf(page.locator('dialog.explain .raw pre').first())) as Reading;
    t.match({ service: raw.service, cpu: raw.cpu, ram: raw.ram }, { service: attack, cpu: own.cpu, ram: own.ram });
    t.match(await textOf(page.locator('dialog.explain .raw').first()), /set the peak of .*cpu/);
    t.same(await first.axe(), [], 'axe finds nothing in the dialog');
    await page.keyboard.press('Escape');
    await page.locator('dialog.explain').waitFor({ state: 'hidden' });
    await page.locator('#charts .peak').first().click();
    await page.locator('dialog.explain .raw pre').first().waitFor();
    await page.keyboard.press('Escape');
    t.equal(await page.locator('body img:not([src="/assets/favicon.svg"])').count(), 0, 'no image came of a name');
  });

  await t.test('drag to zoom, cursors together, double click and back', async (t) => {
    await go(link(...whole, '&service=web'));
    const over = page.locator('#charts .u-over').first();
    const box = (await over.boundingBox()) as { x: number; y: number; width: number; height: number };
    const at = (part: number) => [box.x + box.width * part, box.y + box.height * 0.8] as const;
    await page.mouse.move(...at(0.5));
    t.same(new Set(await page.locator('.chart .at').allTextContents()).size, 1, 'all three at one time');
    t.not(await textOf(page.locator('.chart .at').first()), '');
    await then(async () => {
      await page.mouse.move(...at(0.25));
      await page.mouse.down();
      await page.mouse.move(...at(0.4), { steps: 4 });
      await page.mouse.move(...at(0.5), { steps: 4 });
      await page.mouse.up();
    });
    const [from, to] = (search().get('zoom') ?? '').split('..').map((one) => Date.parse(one)) as [number, number];
    t.ok(Math.abs(from - (whole[0] + 6.5 * hourMs)) < 10 * minuteMs, `from ${iso(from)}`);
    t.ok(Math.abs(to - (whole[0] + 13 * hourMs)) < 10 * minuteMs, `to ${iso(to)}`);
    await holdsNumbers(t, page, readings, ['web'], from, to);
    await then(() => page.goBack());
    t.equal(search().get('zoom'), null, 'the back button goes back out');
    await then(() => page.goForward());
    t.ok(search().get('zoom'));
    await then(() => page.mouse.dblclick(...at(0.9)));
    t.equal(search().get('zoom'), null, 'a double click too');
    await then(() => page.keyboard.press('+'));
    t.ok(search().get('zoom'));
    await then(() => page.keyboard.press('0'));
    await then(() => page.keyboard.press('['));
    t.equal(search().get('from'), iso(whole[0] - 13 * hourMs).replace('.000', ''));
    await then(() => page.getByRole('button', { name: 'Later' }).click());
    await then(() => page.keyboard.press('-'));
    t.match(await textOf(page.locator('#span-length')), /2 days 4 h/);
  });

  await t.test('taking the numbers along: CSV, JSON, Parquet, curl, a link', async (t) => {
    await go(link(...whole));
    await page.locator('#export summary').click();
    const taken = async (format: string): Promise<Buffer> => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.locator(`[data-format=${format}]`).click()]);
      return readFile(await download.path());
    };
    const rows = JSON.parse((await taken('json')).toString()).rows as { service: string; msg_num: number; cpu: number }[];
    t.equal(
      rows.reduce((sum, { msg_num }) => sum + msg_num, 0),
      readings.length,
    );
    const csv = (await taken('csv')).toString();
    t.match(csv, /^service,time_stamp,cpu,/);
    t.match(csv, /^'=1\+1,/m, 'no cell is a formula');
    t.equal((await taken('parquet')).subarray(0, 4).toString(), 'PAR1');
    await page.locator('#export-step').selectOption('range');
    const { stdout } = await promisify(execFile)('sh', ['-c', await textOf(page.locator('#curl'))]);
    const answered = JSON.parse(stdout) as { rows: { service: string; msg_num: number }[] };
    t.same(answered.rows.map(({ service }) => service).sort(), [...names].sort(), 'the line for a shell asks the same');
    await page.keyboard.press('Escape');
    await then(() => page.getByRole('button', { name: '7 days', exact: true }).click());
    await page.getByRole('button', { name: 'Copy link' }).click();
    await page.locator('[data-kind=copied]').waitFor();
    const copied = new URL((await page.evaluate('navigator.clipboard.readText()')) as string);
    t.match(copied.searchParams.get('from'), /^\d{4}-/, 'its times are fixed');
    t.ok(copied.searchParams.get('etag'));
    t.match(copied.searchParams.get('position'), /^\d+(,\d+)*$/);
  });

  await t.test('live: rows come in, a pause holds them back', async (t) => {
    await then(async () => go('/analysis?from=now-15m&to=now&service=web&service=constructor'));
    await page.locator('#live[data-kind=live]').waitFor();
    const now = Date.now();
    const fresh: Reading = { service: 'web', host: 'h1', timestamp: now, cpu: 77.7, ram: 10, disk: 20 };
    readings.push(fresh);
    await publishAll(system, [fresh]);
    await page.locator('#rows tbody tr', { hasText: '77.7' }).waitFor();
    await holds(page, `[...document.querySelectorAll('table.summary tbody tr')].some((tr) => tr.textContent.includes('77.7'))`);
    await page.locator('#charts .peak').first().waitFor();
    t.match(await textOf(page.locator('table.summary tbody')), /constructor\s+no messages[\s\S]*silent since/);
    await page.keyboard.press('p');
    const held: Reading = { ...fresh, timestamp: now + 1, cpu: 88.8 };
    readings.push(held);
    await publishAll(system, [held]);
    await holds(page, `/paused, .* behind, [1-9]/.test(document.querySelector('#live').textContent)`);
    t.equal(await page.locator('table.summary', { hasText: '88.8' }).count(), 0);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.locator('table.summary', { hasText: '88.8' }).waitFor();
  });

  await t.test('keys and colours', async (t) => {
    await go(link(...whole));
    await page.keyboard.press('?');
    t.match(await textOf(page.locator('dialog[open]')), /dark or light/);
    await page.getByLabel('Single keys are on').uncheck();
    await page.keyboard.press('Escape');
    await page.keyboard.press('d');
    t.equal(await page.evaluate('document.documentElement.dataset.theme'), undefined, 'single keys can be turned off');
    await page.getByRole('button', { name: 'Dark / light' }).click();
    await page.reload();
    await settled();
    t.equal(await page.evaluate('document.documentElement.dataset.theme'), 'dark', 'it is remembered');
  });
  t.same(wrongs, [], 'no error, nothing against the policy, nothing from elsewhere');

  for (const scheme of ['light', 'dark'] as const) {
    for (const width of [1280, 390]) {
      await t.test(`${scheme}, ${width} px: axe finds nothing, nothing sticks out`, async (t) => {
        const look = await openPage(t, browser, system.address, { scheme, width });
        for (const path of ['/', link(...whole)]) {
          await look.go(path);
          t.same(await look.axe(), [], path);
          t.ok(Number(await look.page.evaluate('document.documentElement.scrollWidth')) <= width, `${path} is as wide as the window`);
        }
        t.same(look.wrongs, []);
      });
    }
  }
});
