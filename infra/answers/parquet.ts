/** Exact rows of an answer as a Parquet file, like those of the batch view. */
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fromTuple } from '../../protocol/messages/row-tuple.js';
import type { ExactAnswer } from '../client/query.js';
import { formatPosition } from './position-text.js';

/** Writes to `file`, or gives the bytes. */
export const writeParquet = async ({ rows, terms }: ExactAnswer, file: string | undefined): Promise<Buffer | undefined> => {
  const { openDuckdb } = await import('../sql/duckdb.js'); // the engine takes memory: only who needs it loads it
  const { viewFiles } = await import('../sql/view-files.js');
  const folder = await mkdtemp(path.join(tmpdir(), 'tidemark-query-'));
  try {
    const made = path.join(folder, 'rows.parquet');
    const sql = await openDuckdb({ memoryMiB: 256, threads: 1, tempFolder: folder, allowedFolders: [folder] });
    try {
      const metadata = {
        batch: terms.batch ?? '',
        cut: formatPosition(terms.cut),
        position: formatPosition(terms.position),
      };
      await viewFiles(sql).write(made, rows.map(fromTuple), metadata);
    } finally {
      sql.close();
    }
    if (file === undefined) return await readFile(made);
    await copyFile(made, file);
    return undefined;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
