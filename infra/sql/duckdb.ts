/**
 * SQL by DuckDB, inside this process and off its event loop: memory, threads and spilled files are bounded, nothing is
 * downloaded, no file outside the named folders is touched, and no statement can change that.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBType,
  type DuckDBValue,
  LIST,
  listValue,
  SQLNULL,
  VARCHAR,
} from '@duckdb/node-api';
import accessors from '@duckdb/node-api/lib/vectors/dataAccessors.js';
import { messageOf, RetryableError } from '../errors.js';
import type { Sql, SqlValue } from './sql.js';

export interface DuckdbOptions {
  /** Bound of DuckDB's memory; what does not fit goes to `tempFolder`. At least 128 to read JSON. */
  memoryMiB: number;
  threads: number;
  /** For what is spilled; each opening takes a folder of its own in it and removes it in the end. */
  tempFolder: string;
  /** Only files below these are read or written. */
  allowedFolders: readonly string[];
}

/** What DuckDB can do beside `Sql`: whole columns in and out, without an object for each row. */
export interface Duckdb extends Sql {
  session<T>(use: (sql: Duckdb) => Promise<T>): Promise<T>;
  /** Appends to a table whose columns are, in order, VARCHAR where `columns` has texts, DOUBLE where numbers. */
  append(table: string, columns: readonly (Float64Array | readonly string[])[], rows: number): Promise<void>;
  /** A result by its columns, of type VARCHAR or DOUBLE and without NULL, in order. */
  columns(sql: string, parameters?: SqlParameters): Promise<SqlColumns>;
}

export type SqlParameters = Record<string, SqlValue> | SqlValue[];

export interface SqlColumns {
  readonly length: number;
  /** By index of the column; empty for a column of the other type. */
  readonly numbers: readonly Float64Array[];
  readonly texts: readonly (readonly string[])[];
}

/** The library's own decoder takes a byte order mark away from the beginning of a text: two services would be one. */
Object.assign(accessors, { textDecoder: new TextDecoder('utf-8', { ignoreBOM: true }) });

const spilledMax = '32GiB';
/** DuckDB's vectors hold this many values, and a chunk no more. */
const chunkRows = 2048;

/**
 * By default its allocator keeps up to 128 MiB for each thread: five scans of 100 MB of JSON lines took 220 MiB at most and
 * held 150 to 200 of them afterwards; with these 132 and 35 to 60, for no more CPU.
 */
const givesBack = { allocator_flush_threshold: '1MiB', allocator_bulk_deallocation_flush_threshold: '1MiB' };

/** @throws RetryableError when memory or a disk is full or a file cannot be read. */
export const openDuckdb = async (options: DuckdbOptions): Promise<Duckdb> => {
  const spillFolder = join(options.tempFolder, `duckdb-${process.pid}-${randomUUID()}`);
  await mkdir(spillFolder, { recursive: true }); // two processes in one folder would take each other's spilled files
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${options.memoryMiB}MiB`,
    threads: String(options.threads),
    temp_directory: spillFolder,
    max_temp_directory_size: spilledMax,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
    // It remembers every file that was ever read, some 30 KiB each and outside of memory_limit; the system's cache does as well.
    enable_external_file_cache: 'false',
    ...givesBack,
  });
  const connection = await instance.connect();
  const folders = [spillFolder, ...options.allowedFolders].map(literal).join(', ');
  await connection.run(`SET allowed_directories = [${folders}]`);
  await connection.run('SET enable_external_access = false');
  await connection.run('SET lock_configuration = true');
  const close = () => {
    connection.closeSync();
    instance.closeSync();
    void rm(spillFolder, { recursive: true, force: true }).catch(() => undefined); // DuckDB has removed its files
  };
  return sqlOn(
    connection,
    async (use) => {
      const own = await instance.connect();
      try {
        return await use(
          sqlOn(
            own,
            () => Promise.reject(new TypeError('a session has no sessions')),
            () => undefined,
          ),
        );
      } finally {
        own.closeSync();
      }
    },
    close,
  );
};

const sqlOn = (connection: DuckDBConnection, session: Duckdb['session'], close: () => void): Duckdb => ({
  session,
  close,
  run: (sql, parameters) =>
    attempt(async () => {
      await execute(connection, sql, parameters);
    }),
  rows: (sql, parameters) =>
    attempt(async () => {
      const result = await execute(connection, sql, parameters);
      return (await result.getRowObjectsJS()) as Record<string, unknown>[];
    }),
  columns: (sql, parameters) =>
    attempt(async () => {
      const result = await execute(connection, sql, parameters);
      const length = result.rowCount;
      const isNumber = result.columnTypes().map((type) => type.typeId === DOUBLE.typeId);
      const numbers = isNumber.map((yes) => new Float64Array(yes ? length : 0));
      const texts = isNumber.map((yes) => new Array<string>(yes ? 0 : length));
      let at = 0;
      for (;;) {
        const chunk = await result.fetchChunk();
        if (chunk === null || chunk.rowCount === 0) break;
        for (const [c, yes] of isNumber.entries()) readColumn(chunk, c, (yes ? numbers[c] : texts[c]) as unknown[], at);
        at += chunk.rowCount;
      }
      return { length, numbers, texts };
    }),
  append: (table, columns, rows) =>
    attempt(async () => {
      const appender = await connection.createAppender(table);
      try {
        const types = columns.map((column) => (column instanceof Float64Array ? DOUBLE : VARCHAR));
        for (let from = 0; from < rows; from += chunkRows) {
          const chunk = DuckDBDataChunk.create(types, Math.min(chunkRows, rows - from));
          for (const [c, column] of columns.entries()) fillColumn(chunk, c, column, from);
          appender.appendDataChunk(chunk);
        }
      } finally {
        appender.closeSync();
      }
    }),
});

const readColumn = (chunk: DuckDBDataChunk, c: number, to: unknown[], at: number): void => {
  const vector = chunk.getColumnVector(c);
  const count = vector.itemCount;
  for (let i = 0; i < count; i++) to[at + i] = vector.getItem(i);
};

const fillColumn = (chunk: DuckDBDataChunk, c: number, values: ArrayLike<DuckDBValue>, from: number): void => {
  const vector = chunk.getColumnVector(c);
  const count = vector.itemCount;
  for (let i = 0; i < count; i++) vector.setItem(i, values[from + i] as DuckDBValue);
  vector.flush();
};

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** DuckDB takes a path as a pattern; a character in brackets stands for itself. */
const takeLiterally = (path: string): string => path.replace(/[[*?]/g, '[$&]');

const typed = (value: SqlValue): [DuckDBValue, DuckDBType] => {
  if (value === null) return [null, SQLNULL];
  if (typeof value === 'string') return [value, VARCHAR];
  if (typeof value === 'boolean') return [value, BOOLEAN];
  if (typeof value === 'bigint') return [value, BIGINT];
  if (typeof value === 'number') return Number.isSafeInteger(value) ? [BigInt(value), BIGINT] : [value, DOUBLE];
  return [listValue(value.map(takeLiterally)), LIST(VARCHAR)];
};

const execute = (connection: DuckDBConnection, sql: string, parameters: SqlParameters = {}) => {
  const pairs = Object.entries(parameters).map(([name, value]) => [name, typed(value)] as const);
  const values = pairs.map(([name, [value]]) => [name, value] as const);
  const types = pairs.map(([name, [, type]]) => [name, type] as const);
  if (pairs.length === 0) return connection.run(sql);
  return Array.isArray(parameters)
    ? connection.run(
        sql,
        values.map(([, value]) => value),
        types.map(([, type]) => type),
      )
    : connection.run(sql, Object.fromEntries(values), Object.fromEntries(types));
};

const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    if (/^(Out of Memory|IO) Error/.test(messageOf(error))) {
      throw new RetryableError(`DuckDB: ${messageOf(error)}`, { code: 'E_SQL', cause: error });
    }
    throw error;
  }
};
