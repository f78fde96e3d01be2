/** SQL over files: what the two layers need of an engine. DuckDB is the one (infra/sql/duckdb.ts). */
import type { KeyedRow, MinuteRow } from '../../protocol/minute-row.js';

export interface Sql {
  /** Runs statements without a result. `?` or `$name` parameters; names and paths are only ever bound, never joined in. */
  run(sql: string, parameters?: Record<string, SqlValue> | SqlValue[]): Promise<void>;
  /** Rows as objects; BIGINT columns come as bigint. */
  rows(sql: string, parameters?: Record<string, SqlValue> | SqlValue[]): Promise<Record<string, unknown>[]>;
  /** A connection of its own, so that temporary tables of two tasks do not meet. */
  session<T>(use: (sql: Sql) => Promise<T>): Promise<T>;
  close(): void;
}

/** A whole number is bound as BIGINT, another as DOUBLE. A list is one of files' paths, each taken as it is written. */
export type SqlValue = string | number | bigint | boolean | null | readonly string[];

/** Rows in columns, as read from a file: a view file's rows are never changed, so they are kept like this. */
export interface RowColumns {
  readonly length: number;
  /** The service of each row; absent when the file is one service's. */
  readonly services?: readonly string[];
  /** Beginning of the minute, ms. */
  readonly minute: Float64Array;
  /** Sums in millionths; exact below 2^53. Rows past that are in `wide`, by index. */
  readonly cpu: Float64Array;
  readonly ram: Float64Array;
  readonly disk: Float64Array;
  readonly maxCpu: Float64Array;
  readonly maxCpuAt: Float64Array;
  readonly maxRam: Float64Array;
  readonly maxRamAt: Float64Array;
  readonly maxDisk: Float64Array;
  readonly maxDiskAt: Float64Array;
  readonly messages: Float64Array;
  /** Row index to its exact row, where a sum is past 2^53. */
  readonly wide: ReadonlyMap<number, MinuteRow>;
}

/** View files: Parquet with the twelve columns, written and read by their rows. */
export interface ViewFiles {
  /** Writes rows, sorted by service and minute, to a local file; `metadata` goes into the Parquet key-value metadata. */
  write(localFile: string, rows: readonly KeyedRow[], metadata: Record<string, string>): Promise<void>;
  /** Rows of a local file, sorted as written; `service` for a file of one service saves reading its name. */
  read(localFile: string, options?: { singleService?: boolean }): Promise<RowColumns>;
  /** The same of several local files, all in memory together: many small ones in the time of few. */
  readTogether(localFiles: readonly string[], options?: { singleService?: boolean }): Promise<RowColumns[]>;
}
