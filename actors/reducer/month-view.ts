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
import { joinRows, mergeRows, parquetMetadata, restoreRows, rowColumns, timeStamp } from '../../protocol/minute-row-sql.js';
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
 * Makes the table `view`: the rows of the group's months in numbers, with `i`, the index of their month; sorted (R1).
 * @returns the exact sums of the rows that need them, by month
 * @throws PromiseError when a base file lacks exact sums (R3)
 */
export const makeView = async (
  task: ServicesAssigned,
  { storage, sql }: { storage: Storage; sql: Sql },
  inputs: readonly string[],
  group: readonly TouchedMonth[],
): Promise<Map<number, ExactSums[]>> => {
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
  const ofMonths = 'JOIN months USING (service) WHERE minute >= since AND minute < before';
  const base = group.flatMap((month) => month.base ?? []);
  const files = await localFiles(storage, base); // R3
  // Sorted as numbers: with the times as text it costs five times as much.
  const make = (rows: string, parameters: Record<string, string[]>) =>
    sql.run(`CREATE OR REPLACE TEMP TABLE view AS FROM (${rows}) ORDER BY i, minute`, parameters);
  const ofInputs = `FROM ${fromInputs} ${ofMonths}`;
  // A file of a mapper has each row once.
  const merged = inputs.length > 1 ? mergeRows(`(${ofInputs})`, ['i']) : `SELECT i, ${rowColumns.join(', ')} ${ofInputs}`;
  const fresh = inputs.length > 0 ? merged : undefined;
  if (files.length === 0 && fresh !== undefined) {
    await make(fresh, { inputs: [...inputs] });
    return await exactSumsOf(sql, group, []);
  }
  const large = await createExact(sql, files, base);
  await createTable(
    sql,
    'recomputed',
    { date: 'VARCHAR' },
    (task.dates === 'all' ? [] : task.dates).map((date) => ({ date })),
  );
  const exactly = rowColumns.join(', ').replaceAll(/\b(cpu|ram|disk)\b/g, 'coalesce(exact.$1, row.$1) AS $1');
  const old = `(SELECT i, ${exactly} FROM (${restoreRows(kept)}) AS row LEFT JOIN exact USING (service, minute) ${ofMonths})`;
  if (fresh === undefined) await make(old, { files });
  else await make(joinRows(old, `(${fresh})`, 'i'), { files, inputs: [...inputs] });
  return await exactSumsOf(sql, group, large);
};

/** The rows of base files but for those of dates that are recomputed. */
const kept = `(FROM read_parquet($files, hive_partitioning = false, union_by_name = true)
  WHERE left(time_stamp, 10) NOT IN (FROM recomputed))`;

const monthStart = (month: string, later: number): number => Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5)) - 1 + later);

/**
 * Makes the table `exact`: the base's sums that are past what a double gives back.
 * @returns the files that may have one
 */
const createExact = async (sql: Sql, files: readonly string[], base: readonly MonthFile[]): Promise<string[]> => {
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
  return large;
};

/** The largest reading, in millionths. */
const readingMax = 10_000 * 1_000_000;

/** The exact sums of the rows of `view` that need them, by month. `large`: the base's files that may have such. */
const exactSumsOf = async (sql: Sql, group: readonly TouchedMonth[], large: readonly string[]): Promise<Map<number, ExactSums[]>> => {
  const wide = await sql.rows(`SELECT i, minute, cpu::VARCHAR AS cpu, ram::VARCHAR AS ram, disk::VARCHAR AS disk FROM view
    WHERE greatest(cpu, ram, disk) >= ${exactBelow} ORDER BY i, minute`);
  if (wide.length > 0 && large.length > 0) {
    const [lacking] = await sql.rows(
      `SELECT service, time_stamp FROM ${kept} WHERE greatest(cpu, ram, disk) >= ${exactBelow / 1_000_000}
      AND (service, time_stamp) NOT IN (SELECT (service, ${timeStamp('minute')}) FROM exact) LIMIT 1`,
      { files: [...large] },
    );
    if (lacking !== undefined) {
      throw new PromiseError(`the base's file of ${JSON.stringify(lacking.service)} lacks exact_sums of ${lacking.time_stamp}`);
    }
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
