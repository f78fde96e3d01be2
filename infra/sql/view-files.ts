/**
 * View files: Parquet with the twelve public columns, sorted by service and minute.
 *
 * The file of one service's month says so by `service` in its key-value metadata; its `exact_sums` is then keyed by
 * minute, else by service and minute (protocol/exact-sums.ts).
 */
import { type ExactSums, exactBelow, exactSumsKey, formatExactSums, needsExactSums, parseExactSums } from '../../protocol/exact-sums.js';
import type { KeyedRow, MinuteRow } from '../../protocol/minute-row.js';
import {
  copyToParquet,
  messageType,
  parquetMetadata,
  projectRows,
  restoreRows,
  rowTypes,
  viewFormat,
} from '../../protocol/minute-row-sql.js';
import { PromiseError } from '../errors.js';
import type { Duckdb } from './duckdb.js';
import type { RowColumns, ViewFiles } from './sql.js';

export const viewFiles = (sql: Duckdb): ViewFiles => ({
  write: (localFile, rows, metadata) => sql.session((session) => writeRows(session, localFile, rows, metadata)),
  read: (localFile, options = {}) => sql.session((session) => readRows(session, localFile, options.singleService === true)),
  readTogether: (localFiles, options = {}) => sql.session((session) => readTogether(session, localFiles, options.singleService === true)),
});

/** The row's numbers in the order of `rowColumns` after the service. */
const numbersOf: ((keyed: KeyedRow) => number)[] = [
  ({ minute }) => minute,
  ({ row }) => Number(row.cpu),
  ({ row }) => Number(row.ram),
  ({ row }) => Number(row.disk),
  ({ row }) => row.maxCpu,
  ({ row }) => row.maxCpuAt,
  ({ row }) => row.maxRam,
  ({ row }) => row.maxRamAt,
  ({ row }) => row.maxDisk,
  ({ row }) => row.maxDiskAt,
  ({ row }) => row.messages,
];

const writeRows = async (sql: Duckdb, localFile: string, rows: readonly KeyedRow[], metadata: Record<string, string>): Promise<void> => {
  await sql.run(`CREATE TEMP TABLE rows (${rowTypes('DOUBLE')})`);
  await sql.append(
    'rows',
    [rows.map((keyed) => keyed.service), ...numbersOf.map((numberOf) => Float64Array.from(rows, numberOf))],
    rows.length,
  );
  const wide = rows.filter(({ row }) => needsExactSums(row)).map(({ service, minute, row }) => ({ ...row, service, minute }));
  const type = messageType(rows.reduce((max, { row }) => Math.max(max, row.messages), 0));
  await sql.run(
    ...copyToParquet(projectRows('(FROM rows ORDER BY service, minute)', type), viewFormat, localFile, {
      ...metadata,
      ...(wide.length > 0 && { [exactSumsKey]: formatExactSums(wide, Object.hasOwn(metadata, 'service')) }),
    }),
  );
  await sql.run('DROP TABLE rows');
};

const readRows = async (sql: Duckdb, localFile: string, singleService: boolean): Promise<RowColumns> => {
  const view = 'read_parquet($files, hive_partitioning = false)';
  const select = restoreRows(view, 'DOUBLE', singleService ? '' : 'service');
  const { numbers, texts } = await sql.columns(select, { files: [localFile] });
  const columns = toRowColumns((singleService ? numbers : numbers.slice(1)) as Eleven);
  return await withExactSums(sql, singleService ? columns : { ...columns, services: texts[0] as readonly string[] }, localFile);
};

/**
 * Small files together: opening one costs more than its rows. What is read is put in one table before it is taken apart, for
 * each file is a chunk of its own and expressions over chunks of a row are dear.
 */
const many = `(WITH stored AS MATERIALIZED (SELECT *, file_index, file_row_number
    FROM read_parquet($files, hive_partitioning = false, union_by_name = true))
  FROM stored ORDER BY file_index, file_row_number)`;

const readTogether = async (sql: Duckdb, localFiles: readonly string[], singleService: boolean): Promise<RowColumns[]> => {
  if (localFiles.length === 0) return [];
  const first = `${singleService ? '' : 'service, '}file_index::DOUBLE AS file`;
  const found = await sql.columns(restoreRows(many, 'DOUBLE', first), { files: localFiles });
  const [fileOf, ...columns] = (singleService ? found.numbers : found.numbers.slice(1)) as [Float64Array, ...Eleven];
  const each: RowColumns[] = [];
  let from = 0;
  for (const [i, localFile] of localFiles.entries()) {
    let to = from;
    while (to < found.length && fileOf[to] === i) to += 1;
    const rows = toRowColumns(columns.map((column) => column.slice(from, to)) as Eleven); // a copy: one that is kept must not keep all
    const services = singleService ? {} : { services: (found.texts[0] as readonly string[]).slice(from, to) };
    each.push(await withExactSums(sql, { ...rows, ...services }, localFile));
    from = to;
  }
  if (from !== found.length) throw new TypeError('rows of several files came in another order than the files');
  return each;
};

const toRowColumns = (numbers: Eleven): RowColumns & { wide: Map<number, MinuteRow> } => {
  const [minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages] = numbers;
  const length = minute.length;
  return { length, minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages, wide: new Map() };
};

const withExactSums = async (
  sql: Duckdb,
  columns: RowColumns & { wide: Map<number, MinuteRow> },
  localFile: string,
): Promise<RowColumns> => {
  const { cpu, ram, disk } = columns;
  if (!(anyFrom(exactBelow, cpu) || anyFrom(exactBelow, ram) || anyFrom(exactBelow, disk))) return columns;
  const found = await sql.rows(`${parquetMetadata} WHERE decode(key) = $key`, { files: [localFile], key: exactSumsKey });
  putExactSums(
    columns,
    columns.wide,
    found.map(({ value }) => String(value)),
    localFile,
  );
  return columns;
};

type Eleven = [
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
  Float64Array,
];

const anyFrom = (limit: number, sums: Float64Array): boolean => sums.some((sum) => sum >= limit);

/** @throws PromiseError when a row's sum is too large for a double and the file does not name it exactly. */
const putExactSums = (columns: RowColumns, wide: Map<number, MinuteRow>, found: readonly string[], localFile: string): void => {
  const keyOf = (service: string, minute: number) => `${minute} ${service}`;
  const exact = new Map(
    found
      .flatMap((text) => parseExactSums(text, ''))
      .map((sums) => [keyOf(columns.services === undefined ? '' : sums.service, sums.minute), sums]),
  );
  for (let i = 0; i < columns.length; i++) {
    const sum = Math.max(columns.cpu[i] as number, columns.ram[i] as number, columns.disk[i] as number);
    if (sum < exactBelow) continue;
    const minute = columns.minute[i] as number;
    const sums = exact.get(keyOf(columns.services?.[i] ?? '', minute)) ?? exact.get(keyOf('', minute));
    if (sums === undefined) {
      throw new PromiseError(`${localFile}: row ${i} has a sum past ${exactBelow} and no exact one`);
    }
    columns.cpu[i] = Number(sums.cpu);
    columns.ram[i] = Number(sums.ram);
    columns.disk[i] = Number(sums.disk);
    if ([sums.cpu, sums.ram, sums.disk].some((sum) => typeof sum === 'bigint')) wide.set(i, exactRow(columns, i, sums));
  }
};

const exactRow = (columns: RowColumns, i: number, { cpu, ram, disk }: ExactSums): MinuteRow => ({
  cpu,
  ram,
  disk,
  maxCpu: columns.maxCpu[i] as number,
  maxCpuAt: columns.maxCpuAt[i] as number,
  maxRam: columns.maxRam[i] as number,
  maxRamAt: columns.maxRamAt[i] as number,
  maxDisk: columns.maxDisk[i] as number,
  maxDiskAt: columns.maxDiskAt[i] as number,
  messages: columns.messages[i] as number,
});
