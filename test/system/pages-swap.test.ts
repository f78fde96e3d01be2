/** The pages while the batch view is replaced under them, and names odd in every way, in Chromium, against a count of the test's own. */
import t from 'tap';
import { openBrowser } from '../chromium.js';
import { until } from '../until.js';
import { holds, openPage, readSummary, startPages, textOf } from './pages-live.js';
import { publishAll, type Reading } from './system.js';

const minuteMs = 60_000;

/** Markup, paths, addresses, formulas, what cannot be seen, what turns text around, what looks alike, what objects have already. */
const names = [
  '"><svg onload=alert(1)>',
  `'"\`\${alert(1)}`,
  '&lt;b&gt; &amp;',
  'javascript:alert(1)',
  '../../etc/passwd',
  'a/b\\c',
  '%2e%2e%2f%00',
  '?x=1&service=web#z',
  '+ 1',
  '  two  spaces  ',
  '.',
  '=1+1',
  "@SUM(1)*cmd|' /C calc'!A0",
  'line\nbreak\r\n\ttab',
  'nothing\u0000here',
  '\u202Egnp.exe',
  'zero\u200Bwidth',
  '\u{1F469}\u200D\u{1F469}\u200D\u{1F467}',
  'caf\u00E9',
  'cafe\u0301',
  '\u05E9\u05DC\u05D5\u05DD (1)',
  '__proto__',
  'constructor',
  'toString',
  '[object Object]',
  'null',
  '0',
  'x'.repeat(200),
  '\u{1F4A5}'.repeat(50),
];

const made = (service: string, timestamp: number, k: number): Reading => ({
  service,
  host: `h${k % 3}`,
  timestamp,
  cpu: (k * 37) % 101,
  ram: (k * 53) % 97,
  disk: (k * 71) % 89,
});

t.setTimeout(300_000);

t.test('the pages over swaps', { timeout: 300_000 }, async (t) => {
  const browser = await openBrowser(t);
  if (browser === undefined) return;
  const system = await startPages(t);
  const readings: Reading[] = [];
  let k = 0;
  /** Some of each service, spread over the last ten minutes. */
  const publish = async (each: number): Promise<number[]> => {
    const now = Date.now();
    const some = names.flatMap((service) => Array.from({ length: each }, () => made(service, now - ((++k * 7_919) % (10 * minuteMs)), k)));
    readings.push(...some);
    return [...(await publishAll(system, some))];
  };
  await system.rows(await publish(4));
  const { page, go, settled, wrongs, axe } = await openPage(t, browser, system.address);
  const link = `/analysis?from=${new Date(Date.now() - 20 * minuteMs).toISOString()}&to=${new Date(Date.now() + 20 * minuteMs).toISOString()}`;
  await go(link);

  await t.test('it stays open: numbers only grow while batches take over, and are the count at the end', async (t) => {
    // Each state of the table that a person may see.
    await page.evaluate(`(() => {
      globalThis.seen = [];
      const look = () => {
        const numbers = [...document.querySelectorAll('table.summary tbody tr')].map((tr) => [
          tr.querySelector('.name').title, Number(tr.children[1].textContent.replaceAll(',', ''))]);
        if (numbers.length > 0) globalThis.seen.push(numbers);
      };
      look();
      new MutationObserver(look).observe(document.getElementById('summary'), { childList: true, subtree: true });
    })()`);
    const batches: (string | undefined)[] = [];
    for (let round = 0; round < 3; round++) {
      const batch = system.batch();
      for (let i = 0; i < 4; i++) await publish(2);
      batches.push((await batch)?.batch);
      await publish(1);
    }
    const last = batches.at(-1) as string;
    await holds(page, `/Batch\\s+(\\d+)/.exec(document.querySelector('#terms').innerText)?.[1] >= '${last}'`); // the first batch comes by itself
    await holds(
      page,
      `[...document.querySelectorAll('table.summary tbody tr')].reduce((sum, tr) => sum + Number(tr.children[1].textContent.replaceAll(',', '')), 0) === ${readings.length}`,
    );
    const seen = (await page.evaluate('globalThis.seen')) as [string, number][][];
    const highest = new Map<string, number>();
    let wentBack = 0;
    for (const numbers of seen) {
      for (const [name, count] of numbers) {
        if (count < (highest.get(name) ?? 0)) wentBack += 1;
        highest.set(name, count);
      }
    }
    t.comment(`${seen.length} states were seen, over batches ${batches.join(', ')}`);
    t.equal(wentBack, 0, 'none went back');
    t.equal(await page.locator('[data-kind=changed]').count(), 0, 'no link was opened whose numbers could have changed');
    t.ok(new Set(seen.map((numbers) => JSON.stringify(numbers))).size > 2, 'it followed');
  });

  await t.test('every name is itself: in the table, by its link, in the message behind its peak', async (t) => {
    await go(link);
    const shown = await readSummary(page);
    t.same(Object.keys(shown).sort(), names.map((name) => `=${name.trim()}`).sort());
    for (const name of names) {
      const own = readings.filter(({ service }) => service === name);
      const row = shown[`=${name.trim()}`] ?? {};
      t.equal(row.messages, String(own.length), JSON.stringify(name));
      t.equal(row['cpu.max'], `${Math.max(...own.map(({ cpu }) => cpu)).toFixed(1)} %`, JSON.stringify(name));
    }
    for (const name of names) {
      await go(`${link}&service=${encodeURIComponent(name)}`);
      t.equal(await settled(), 'ready', JSON.stringify(name));
      t.equal(await page.locator('table.summary tbody tr').count(), 1);
      t.equal(await page.locator('table.summary .name').getAttribute('title'), name);
      t.notMatch(await textOf(page.locator('table.summary .name')), /(?!\u200d)[\p{Cc}\p{Cf}]/u, 'nothing unseen is written');
      await page.locator('table.summary .peak-time').first().click();
      const raw = JSON.parse(await textOf(page.locator('dialog.explain .raw pre').first())) as Reading;
      t.equal(raw.service, name, 'the raw message is raw');
      t.equal(raw.cpu, Math.max(...readings.filter(({ service }) => service === name).map(({ cpu }) => cpu)));
      await page.keyboard.press('Escape');
    }
    await go('/');
    await until(async () => ((await page.locator('#services th a').count()) > 0 ? true : undefined));
    t.same(await axe(), []);
  });
  t.same(wrongs, [], 'no error, nothing against the policy, nothing from elsewhere');
});
