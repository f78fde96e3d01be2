/** The batch view as anybody reads it who has the files: latest.json, and SQL over the Parquet files that it names. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openBus } from '../../infra/bus/nats.js';
import { OutOfReachError } from '../../infra/errors.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openStorage } from '../../infra/storage/open.js';
import type { Storage } from '../../infra/storage/storage.js';
import { sumPosition } from '../../protocol/range.js';
import { askBatch } from '../ask-batch.js';
import { type FileRow, FileRows } from '../hostile/view-files.js';

/** Where the files are; what is elsewhere is copied to the data folder. */
export type Home = Parameters<typeof openStorage>[0];

interface Latest {
  readonly cut: readonly number[];
  readonly files: readonly { readonly service: string; readonly path: string }[];
}

/** On HDFS, on a machine that has much else to do, a batch takes minutes. */
const waitMsMax = 300_000;

const readLatest = async (storage: Storage): Promise<Latest> => {
  const text = await storage.read('views/batch/latest.json').catch(() => '{"cut":[],"files":[]}');
  return JSON.parse(text.toString()) as Latest;
};

/** Makes batches until latest.json names all of these records. @throws OutOfReachError when that takes too long */
const untilLatest = async (nats: string, storage: Storage, records: number): Promise<Latest> => {
  const bus = await openBus({ nats }, 'chaos batch');
  try {
    for (const until = Date.now() + waitMsMax; Date.now() < until; ) {
      await askBatch(bus, 'batch', waitMsMax).catch(() => undefined); // one may be under way, or abandoned
      for (let looks = 0; looks < 20; looks++) {
        const latest = await readLatest(storage);
        if (sumPosition(latest.cut) === records) return latest;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    throw new OutOfReachError(`latest.json does not name all ${records} records after ${waitMsMax} ms`);
  } finally {
    await bus.close();
  }
};

/** The rows of the files that latest.json names, once it names all of these records. */
export const readBatchFiles = async (nats: string, home: Home, records: number): Promise<FileRow[]> => {
  const storage = await openStorage(home);
  const work = await mkdtemp(path.join(tmpdir(), 'tidemark-chaos-sql-'));
  const sql = await openDuckdb({ memoryMiB: 256, threads: 1, tempFolder: work, allowedFolders: [home.data] });
  try {
    const { files } = await untilLatest(nats, storage, records);
    const rows = new FileRows(sql);
    await rows.add(await Promise.all(files.map((file) => storage.local(file.path))));
    return [...rows.rows()];
  } finally {
    sql.close();
    await storage.close();
    await rm(work, { recursive: true, force: true });
  }
};
