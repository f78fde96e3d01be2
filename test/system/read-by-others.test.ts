/** What the README tells people to type is typed here, in the data folder, without anything of ours. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import t from 'tap';
import { queryView } from '../../infra/client/query.js';
import type { Manifest } from '../../protocol/messages/batch.js';
import type { ViewRow } from '../../protocol/minute-row.js';
import { answered, publishAll, type Reading, type System, startSystem } from './system.js';

const typedSql = [
  `SET VARIABLE files = (SELECT list(file.path) FROM (SELECT unnest(files) AS file FROM read_json('views/batch/latest.json')))`,
  `CREATE TABLE view AS FROM read_parquet(getvariable('files'))`,
];

const typedPython = `
import json, pandas
latest = json.load(open('views/batch/latest.json'))
view = pandas.concat(pandas.read_parquet(file['path']) for file in latest['files'])
`;

const python = 'python3';

/** Two months, three services, names that paths and SQL might trip over. */
const someReadings = (count: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({
    service: ['web', 'Ticketing Service', "o'clock? [*] ü"][i % 3] as string,
    host: `h${i % 2}`,
    timestamp: Date.UTC(2026, 9, 31, 23, 30) + ((i * 7919) % 3_600) * 1_000,
    cpu: i % 101,
    ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
    disk: 33.333333,
  }));

/** latest.json may follow its proof a moment later. */
const latestOf = async ({ data }: System, batch: string): Promise<Manifest> => {
  for (;;) {
    const latest = answerOrNothing(() => readFileSync(path.join(data, 'views/batch/latest.json'), 'utf8'));
    if (latest !== undefined && (JSON.parse(latest) as Manifest).batch === batch) return JSON.parse(latest) as Manifest;
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
};

const answerOrNothing = (read: () => string): string | undefined => {
  try {
    return read();
  } catch {
    return undefined;
  }
};

const byServiceAndTime = (rows: ViewRow[]): ViewRow[] =>
  rows.sort((a, b) => (`${a.service} ${a.time_stamp}` < `${b.service} ${b.time_stamp}` ? -1 : 1));

t.test('other readers have the whole batch view by views/batch/latest.json', async (t) => {
  const system = await startSystem(t);
  await publishAll(system, someReadings(3_000));
  const proved = await system.batch();
  t.match(proved, { records: 3_000, differences: 0 });
  const latest = await latestOf(system, proved?.batch as string);
  t.ok(latest.files.length > 3, 'several months');
  const { rows, terms } = await answered(() => queryView(system.bus, { from: 0, to: '2100-01-01' }));
  t.same(terms.cut, terms.position, 'all of the view is batch view');
  const expected = byServiceAndTime(rows);

  await t.test('DuckDB', async (t) => {
    const before = process.cwd();
    process.chdir(system.data);
    t.teardown(() => process.chdir(before));
    const duckdb = await (await DuckDBInstance.create(':memory:')).connect();
    for (const statement of typedSql) await duckdb.run(statement);
    const read = await (await duckdb.run('FROM view')).getRowObjectsJS();
    t.same(byServiceAndTime(read as unknown as ViewRow[]), expected);
    t.same(Object.keys(read[0] ?? {}), Object.keys(expected[0] ?? {}), 'the twelve columns in order');
    duckdb.closeSync();
  });

  const lacks = spawnSync(python, ['-c', 'import pandas, pyarrow']).status !== 0;
  const skip = lacks && `${python} has no pandas with pyarrow here: python3 -m pip install pandas pyarrow`;
  await t.test('pandas', { skip }, (t) => {
    const print = `print(json.dumps(view.to_dict('records')))`;
    const said = execFileSync(python, ['-c', `${typedPython}${print}`], { cwd: system.data, encoding: 'utf8' });
    const read = JSON.parse(said) as ViewRow[];
    t.same(byServiceAndTime(read), expected);
    t.same(Object.keys(read[0] ?? {}), Object.keys(expected[0] ?? {}), 'the twelve columns in order');
    t.end();
  });
});
