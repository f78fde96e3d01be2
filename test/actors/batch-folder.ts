/** A data folder for tests of the batch's workers: raw files with their commits' inputs, and the view that comes out. */

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type MapperEnvironment, mapRange } from '../../actors/mapper.js';
import { reduceServices } from '../../actors/reducer.js';
import { type Duckdb, openDuckdb } from '../../infra/sql/duckdb.js';
import { type LocalStorage, openLocalStorage } from '../../infra/storage/local.js';
import type { BatchRequested, Manifest, MonthFile, RangeMapped, RawInput, ServiceListing } from '../../protocol/messages/batch.js';
import type { RecordLine } from '../../protocol/messages/segment-sealed.js';
import type { ViewRow } from '../../protocol/minute-row.js';

export interface BatchFolder extends MapperEnvironment {
  readonly storage: LocalStorage;
  readonly sql: Duckdb;
  /** Absolute path. */
  at(path: string): string;
  put(path: string, content: string): Promise<void>;
  close(): Promise<void>;
}

export const openBatchFolder = async (): Promise<BatchFolder> => {
  const root = await mkdtemp(join(tmpdir(), 'batch-'));
  const storage = await openLocalStorage(root);
  const sql = await openDuckdb({ memoryMiB: 256, threads: 2, tempFolder: join(root, 'spill'), allowedFolders: [root] });
  const at = (path: string) => join(root, path);
  return {
    storage,
    sql,
    at,
    put: async (path, content) => {
      await mkdir(dirname(at(path)), { recursive: true });
      await writeFile(at(path), content);
    },
    close: async () => {
      sql.close();
      await storage.close();
      await rm(root, { recursive: true, force: true });
    },
  };
};

export const record = (offset: number, some: Partial<RecordLine> = {}): RecordLine => ({
  offset,
  service: 'web',
  host: 'h1',
  timestamp: Date.UTC(2026, 10, 23, 10, 15) + offset * 1_000,
  cpu: offset % 7,
  ram: 0.000001,
  disk: 9_999.5,
  received: 0,
  ...some,
});

export const linesOf = (records: readonly RecordLine[]): string => records.map((line) => `${JSON.stringify(line)}\n`).join('');

/** The whole of a file as one commit's input. */
export const inputOf = (path: string, partition: number, records: readonly RecordLine[], content = linesOf(records)): RawInput => ({
  path,
  partition,
  fromByte: 0,
  toByte: Buffer.byteLength(content),
  fileBytes: Buffer.byteLength(content),
  from: Math.min(...records.map(({ offset }) => offset)),
  to: Math.max(...records.map(({ offset }) => offset)) + 1,
  records: records.length,
});

/** Writes records as a raw file; its input. */
export const putRaw = async (folder: BatchFolder, path: string, partition: number, records: readonly RecordLine[]): Promise<RawInput> => {
  await folder.put(path, linesOf(records));
  return inputOf(path, partition, records);
};

export const map = (folder: BatchFolder, batch: string, task: number, inputs: RawInput[]): Promise<RangeMapped> =>
  mapRange({ batch, task, inputs, output: `minutes/${batch}/${task}.parquet` }, folder);

/** Reduces in some buckets and writes the manifest, as the scheduler does. */
export const reduce = async (
  folder: BatchFolder,
  batch: string,
  mapped: readonly RangeMapped[],
  {
    base = null,
    dates = [],
    buckets = 3,
  }: {
    base?: { path: string; bytes: number; sha256: string } | null;
    dates?: BatchRequested['dates'];
    buckets?: number;
  } = {},
): Promise<{
  manifest: { path: string; bytes: number; sha256: string };
  files: MonthFile[];
  records: number;
  rows: number;
}> => {
  const files: MonthFile[] = [];
  let records = 0;
  let rows = 0;
  for (let task = 0; task < buckets; task++) {
    const reduced = await reduceServices(
      {
        batch,
        task,
        buckets,
        base,
        dates,
        inputs: mapped.map(({ file, records }) => ({ ...file, records })),
        output: `minutes/${batch}/services-${task}.json`,
      },
      folder,
    );
    records += reduced.records;
    rows += reduced.rows;
    files.push(...(JSON.parse(await readFile(folder.at(reduced.listing.path), 'utf8')) as ServiceListing).files);
  }
  const content = JSON.stringify({ batch, files } as Partial<Manifest>);
  const path = `views/batch/${batch}.json`;
  await folder.put(path, content);
  const manifest = {
    path,
    bytes: Buffer.byteLength(content),
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  return { manifest, files, records, rows };
};

/** All rows of some view files, as text with every digit, sorted. */
export const viewOf = async (folder: BatchFolder, files: readonly MonthFile[]): Promise<ViewRow[]> =>
  (await folder.sql.rows('SELECT * FROM read_parquet($files, union_by_name = true) ORDER BY service, time_stamp', {
    files: files.map(({ path }) => folder.at(path)),
  })) as unknown as ViewRow[];
