/** The batch view from raw records, once from the local folder and once from HDFS, with the same tasks. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { PromiseError } from '../../infra/errors.js';
import { openStorage } from '../../infra/storage/open.js';
import { sumPosition } from '../../protocol/range.js';
import { engineBounds, runBatch } from './batch.js';
import type { BatchReport } from './batch-process.js';
import { RawRecords, spanOf } from './raw-records.js';

const filesBelow = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { withFileTypes: true, recursive: true }))
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name));

/** @param storage as `--storage` takes it, with nothing in it */
export const benchHdfsBatch = async (
  records: number,
  storage: string,
  tell: (line: string) => void,
): Promise<{ local: BatchReport; hdfs: BatchReport }> => {
  const data = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  try {
    tell(`making ${records} raw records, here and in HDFS`);
    const raw = new RawRecords(data);
    const commits = join(data, 'commits.json');
    await writeFile(commits, JSON.stringify(raw.add(records, 0, spanOf(records))));
    const home = await openStorage({ storage, data, copiesBytesMax: 2 ** 30 });
    for (const file of await filesBelow(join(data, 'raw'))) await home.create(relative(data, file), await readFile(file));
    tell('the servers read all of it once: of a JVM that was just started every byte costs twice as much');
    for (const path of await home.list('raw')) for await (const _ of home.stream(path));
    await home.close();
    const order = { work: 'batch', data, commits, batch: '000001', base: null, cut: raw.position, ...engineBounds } as const;
    tell('the batch, from the local folder and from HDFS');
    const local = await runBatch(order);
    const hdfs = await runBatch({ ...order, storage });
    for (const one of [local, hdfs]) {
      if (one.records === sumPosition(raw.position) && one.rows === local.rows) continue;
      throw new PromiseError(`a batch has ${one.rows} rows of ${one.records} records; expected were ${local.rows} of ${records}`);
    }
    return { local, hdfs };
  } finally {
    await rm(data, { recursive: true, force: true, maxRetries: 5 });
  }
};
