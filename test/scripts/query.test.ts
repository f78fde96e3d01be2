import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import t, { type Test } from 'tap';
import { formatCsv } from '../../infra/answers/csv.js';
import { parsePosition } from '../../infra/answers/position-text.js';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { viewFiles } from '../../infra/sql/view-files.js';
import { toViewRow } from '../../protocol/minute-row.js';
import { register } from '../../scripts/commands/query.js';
import { runProgram } from '../../scripts/program.js';
import { formatTable, formatTerms } from '../../scripts/view-formats.js';
import { blocksOf, oneRow } from '../infra/client/stand-in.js';
import { startNats, temporaryFolder } from '../servers.js';

const rows = ['=cmd()', 'a,"b"'].map(oneRow);
const viewRows = rows.map(({ service, minute, row }) => toViewRow(service, minute, row));
const terms = {
  batch: '000042',
  cut: [1, 2],
  position: [3, 4],
  newest: '2026-11-23T10:15:00Z',
  missing: 1,
  refused: 2,
  late: 3,
};

/** Runs the command line. @returns its exit code and what it wrote. */
const run = async (t: Test, words: string[]): Promise<{ code: number; out: string; err: string }> => {
  const out = t.capture(process.stdout, 'write', (_text: unknown, done?: unknown) => {
    if (typeof done === 'function') done();
    return true;
  });
  const err = t.capture(process.stderr, 'write', () => true);
  const program = new Command('tidemark').exitOverride();
  register(program);
  const code = await runProgram(['query', ...words], program);
  const text = (calls: { args: unknown[] }[]): string => calls.map(({ args }) => String(args[0])).join('');
  const result = { code, out: text(out()), err: text(err()) };
  out.restore();
  err.restore();
  return result;
};

const answering = async (t: Test): Promise<{ url: string; bus: Bus }> => {
  const { url } = await startNats(t);
  const bus = await openBus({ nats: url }, 'a stand-in');
  bus.hear('view.asked', (message) => {
    const asked = JSON.parse(Buffer.from(message.body).toString('utf8')) as { after?: number[] };
    if ((asked.after?.[0] ?? 0) > 3) message.respond(JSON.stringify({ error: 'not there yet', code: 'E_OUT_OF_REACH' }));
    else message.respond(blocksOf(rows, terms));
  });
  await bus.flush();
  t.teardown(() => bus.close());
  return { url, bus };
};

t.test('query prints rows in each format, and the terms beside them', async (t) => {
  const { url } = await answering(t);
  const asked = ['--nats', url, '--from', '2026-11-23', '--to', 'now'];
  t.same(await run(t, asked), { code: 0, out: formatTable(viewRows), err: `${formatTerms(terms)}\n` });
  const json = await run(t, [...asked, '--json']);
  t.same(JSON.parse(json.out), { rows: viewRows, terms });
  t.equal(json.err, '');
  t.equal((await run(t, [...asked, '--format', 'csv'])).out, formatCsv(viewRows));
  const file = path.join(temporaryFolder(t), 'rows.parquet');
  t.equal((await run(t, [...asked, '--format', 'parquet', '--output', file])).code, 0);
  const folder = path.dirname(file);
  const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: folder, allowedFolders: [folder] });
  t.teardown(() => sql.close());
  t.equal((await viewFiles(sql).read(file)).length, 2);
  t.equal(readFileSync(file).subarray(0, 4).toString(), 'PAR1');
});

t.test('what is wrong in a question ends with 2, before anybody is asked', async (t) => {
  const wrong = [
    ['--from', 'now', '--to', 'now-1h'],
    ['--from', 'soon', '--to', 'now'],
    ['--from', 'now-1h', '--to', 'now', '--zone', 'Mars/Olympus'],
    ['--from', 'now-1h', '--to', 'now', '--step', 'week'],
    ['--from', 'now-1h', '--to', 'now', '--format', 'xml'],
    ['--from', 'now-1h', '--to', 'now', '--after', '1,x'],
    ['--from', 'now-1h', '--to', 'now', '--wait', 'long'],
    ['--from', 'now-1h'],
  ];
  for (const words of wrong) t.equal((await run(t, ['--nats', 'nats://127.0.0.1:1', ...words])).code, 2, words.join(' '));
});

t.test('nobody there, and a position that is not reached, end with 4', async (t) => {
  const { url } = await answering(t);
  t.equal((await run(t, ['--nats', 'nats://127.0.0.1:1', '--from', 'now-1h', '--to', 'now'])).code, 4);
  t.equal((await run(t, ['--nats', url, '--from', 'now-1h', '--to', 'now', '--after', '4,0', '--wait', '100ms'])).code, 4);
  t.equal((await run(t, ['--nats', url, '--from', 'now-1h', '--to', 'now', '--after', '3,0'])).code, 0);
});

t.test('CSV is safe in a spreadsheet, a table on a terminal', async (t) => {
  const csv = formatCsv(viewRows).split('\r\n');
  t.match(csv[1], /^'=cmd\(\),2026-11-23T10:15:00Z,12.345678,/);
  t.match(csv[2], /^"a,""b""",/);
  t.notMatch(formatTable([{ ...(viewRows[0] as (typeof viewRows)[number]), service: '\u001b[2Jx' }]), /\p{Cc}x/u);
});

t.test('a position is read as it is written', async (t) => {
  t.same(parsePosition('120,88,,431'), [120, 88, 0, 431]);
  t.throws(() => parsePosition('1;2'), { code: 'E_USAGE' });
  t.throws(() => parsePosition('-1'), { code: 'E_USAGE' });
});
