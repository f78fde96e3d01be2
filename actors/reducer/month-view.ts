/**
 * The rows of some months as a table: the base's merged with the new ones (R1 of the reducer).
 */
import { PromiseError } from '../../infra/errors.js';
import type { Sql } from '../../infra/sql/sql.js';
import { localFiles } from '../../infra/storage/local-files.js';
import type { Storage } from '../../infra/storage/storage.js';
import { type ExactSums, exactBelow, exactSumsKey, parseExactSums } from '../../protocol/exact-sums.js';
import { groupBy } from '../../protocol/group-by.js';
import type { MonthFile, ServicesAssigned } from '../../protocol/messages/batch.js';
import { mergeRows, parquetMetadata, projectRows, restoreRows, rowColumns, rowTypes, timeStamp } from '../../protocol/minute-row-sql.js';
import { parseSum } from '../../protocol/units.js';

/** One month of one service that has to be written. `rows`: about how many it will have. */
export interface TouchedMonth {
  readonly service: string;
  readonly month: string;
  readonly rows: number;
  readonly base?: MonthFile;
}

/** The mappers' rows; `$inputs` are their files. */
export const fromInputs = 'read_parquet($inputs, hive_partitioning = false)';

/**
 * Makes the table `view`: the public columns of the group's months, with `i`, the index of their month; sorted. Only
 * rows of the base that got something new are merged (R1).
 */
export const makeView = async (
  task: ServicesAssigned,
  { storage, sql }: { storage: Storage; sql: Sql },
  inputs: readonly string[],
  group: readonly TouchedMonth[],
): Promise<void> => {
  const monthColumns = { i: 'BIGINT', service: 'VARCHAR', month: 'VARCHAR', since: 'BIGINT', before: 'BIGINT' };
  await createTable(
    sql,
    'months',
    monthColumns,
    group.map(({ service, month }, i) => ({
      i,
      service,
      month,
      since: monthStart(month, 0),
      before: monthStart(month, 1),
    })),
  );
  const columns = rowColumns.join(', ');
  await sql.run(`CREATE OR REPLACE TEMP TABLE fresh (i BIGINT, ${rowTypes('BIGINT')})`);
  if (inputs.length > 0) {
    await sql.run(
      `INSERT INTO fresh SELECT i, ${columns} FROM ${fromInputs} JOIN months USING (service)
      WHERE minute >= since AND minute < before`,
      { inputs },
    );
  }
  const base = group.flatMap((month) => month.base ?? []);
  const files = await localFiles(storage, base); // R3
  await createExact(sql, files, base);
  const merged = mergeRows('fresh', ['i']);
  // Sorted while they are numbers: with the times as text it costs five times as much.
  const make = (rows: string) =>
    sql.run(`CREATE OR REPLACE TEMP TABLE view AS ${projectRows(`(FROM (${rows}) ORDER BY i, minute)`, 'BIGINT', ['i'])}`);
  if (files.length === 0) return await make(merged);
  await createTable(
    sql,
    'recomputed',
    { date: 'VARCHAR' },
    (task.dates === 'all' ? [] : task.dates).map((date) => ({ date })),
  );
  const kept = `(FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
    WHERE left(time_stamp, 10) NOT IN (FROM recomputed))`;
  await sql.run(
    `CREATE OR REPLACE TEMP TABLE old AS SELECT i, ${columns.replaceAll(/\b(cpu|ram|disk)\b/g, 'coalesce(exact.$1, row.$1) AS $1')}
    FROM (${restoreRows(kept)}) AS row LEFT JOIN exact USING (service, minute) JOIN months USING (service)
    WHERE minute >= since AND minute < before`,
    { files },
  );
  await sql.run('CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT i, minute FROM fresh');
  await sql.run('INSERT INTO fresh FROM old SEMI JOIN touched USING (i, minute)');
  await make(`${merged} UNION ALL BY NAME FROM old ANTI JOIN touched USING (i, minute)`);
  await sql.run('DROP TABLE old');
};

const monthStart = (month: string, later: number): number => Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5)) - 1 + later);

/** Makes the table `exact`: the base's sums that are past what a double gives back. */
const createExact = async (sql: Sql, files: readonly string[], base: readonly MonthFile[]): Promise<void> => {
  // Only a file with so many records can have one.
  const large = files.filter((_, i) => (base[i] as MonthFile).msg_num * readingMax >= exactBelow);
  const services = new Map(files.map((file, i) => [file, (base[i] as MonthFile).service]));
  const noted = large.length === 0 ? [] : await sql.rows(parquetMetadata, { files: large });
  const exact = noted
    .filter(({ key }) => key === exactSumsKey)
    .flatMap(({ file, value }) => parseExactSums(String(value), services.get(String(file)) ?? ''));
  const columns = { service: 'VARCHAR', minute: 'BIGINT', cpu: 'BIGINT', ram: 'BIGINT', disk: 'BIGINT' };
  await createTable(
    sql,
    'exact',
    columns,
    exact.map((sums) => ({ ...sums, cpu: String(sums.cpu), ram: String(sums.ram), disk: String(sums.disk) })),
  );
};

/** The largest reading, in millionths. */
const readingMax = 10_000 * 1_000_000;

/** The exact sums of the rows of `view` that need them, by month: of merged rows their own, of others the base's. */
export const exactSumsOf = async (sql: Sql, group: readonly TouchedMonth[]): Promise<Map<number, ExactSums[]>> => {
  const wide = await sql.rows(`WITH wide AS (SELECT i, service, time_stamp FROM view
      WHERE greatest(cpu, ram, disk) >= ${exactBelow / 1_000_000}),
    merged AS (FROM (${mergeRows('(FROM fresh SEMI JOIN (SELECT service, i FROM wide) USING (service, i))', ['i'])})),
    sums AS (SELECT service, minute, cpu, ram, disk FROM merged
      UNION ALL SELECT * FROM exact ANTI JOIN merged USING (service, minute))
    SELECT i, minute, cpu::VARCHAR AS cpu, ram::VARCHAR AS ram, disk::VARCHAR AS disk FROM wide
    LEFT JOIN (SELECT *, ${timeStamp('minute')} AS time_stamp FROM sums) USING (service, time_stamp)
    ORDER BY i, minute`);
  if (wide.some(({ minute }) => minute === null)) {
    throw new PromiseError('a file of the base lacks exact_sums that it needs');
  }
  return groupBy(
    wide.map(({ i, minute, cpu, ram, disk }) => ({
      i: Number(i),
      service: (group[Number(i)] as TouchedMonth).service,
      minute: Number(minute),
      cpu: parseSum(String(cpu)),
      ram: parseSum(String(ram)),
      disk: parseSum(String(disk)),
    })),
    ({ i }) => i,
  );
};

const createTable = (
  sql: Sql,
  name: string,
  columns: Record<string, string>,
  rows: readonly Record<string, string | number>[],
): Promise<void> =>
  sql.run(
    `CREATE OR REPLACE TEMP TABLE ${name} AS SELECT unnest(from_json($rows, '[${JSON.stringify(columns)}]'),
    recursive := true)`,
    { rows: JSON.stringify(rows) },
  );
