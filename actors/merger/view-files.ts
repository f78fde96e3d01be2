/** Reading the files of a view: checked against length, hash and number of records before anything is answered from them. */
import { PromiseError } from '../../infra/errors.js';
import type { RowColumns, ViewFiles } from '../../infra/sql/sql.js';
import type { Storage } from '../../infra/storage/storage.js';
import type { MonthFile } from '../../protocol/messages/batch.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import { sumMessages } from './columns.js';
import { type ReadMonths, togetherRowsMax } from './month-cache.js';
import { RowTable } from './row-table.js';

/** The rows of a stored part; null when it holds no record. @throws PromiseError, FileMissingError */
export const loadPart = async (storage: Storage, viewFiles: ViewFiles, part: PartStored): Promise<RowColumns | null> => {
  if (part.file === undefined) {
    if (part.to > part.from) throw new PromiseError(`part [${part.from}, ${part.to}) of partition ${part.partition} names no file`);
    return null;
  }
  const columns = await viewFiles.read(await storage.local(part.file.path, part.file));
  const records = sumMessages(columns);
  if (records !== part.to - part.from) {
    throw new PromiseError(
      `${part.file.path} holds ${records} records, but its range [${part.from}, ${part.to}) has ${part.to - part.from}`,
    );
  }
  return columns;
};

/** The rows of several parts together, one file at a time: the lower half of a batch. */
export const loadParts = async (storage: Storage, viewFiles: ViewFiles, parts: readonly PartStored[]): Promise<RowTable> => {
  const rows = new RowTable();
  for (const part of parts) {
    const columns = await loadPart(storage, viewFiles, part);
    if (columns !== null) rows.mergeColumns(columns);
  }
  return rows;
};

/** So many files are checked against their length and hash at a time. */
const checkedTogether = 8;

/** @throws PromiseError, FileMissingError */
export const monthReader =
  (storage: Storage, viewFiles: ViewFiles): ReadMonths =>
  async (files) => {
    const localFiles: string[] = [];
    for (let from = 0; from < files.length; from += checkedTogether) {
      const some = files.slice(from, from + checkedTogether);
      localFiles.push(...(await Promise.all(some.map((file) => storage.local(file.path, file)))));
    }
    const isTogether = files.map(({ rows }) => files.length > 1 && rows <= togetherRowsMax);
    const together = await viewFiles.readMonths(localFiles.filter((_, i) => isTogether[i]));
    let next = 0;
    const months: RowColumns[] = [];
    for (const [i, file] of files.entries()) {
      const columns = isTogether[i]
        ? (together[next++] as RowColumns)
        : await viewFiles.read(localFiles[i] as string, { singleService: true });
      mustBeAsNamed(file, columns);
      months.push(columns);
    }
    return months;
  };

const mustBeAsNamed = (file: MonthFile, columns: RowColumns): void => {
  const records = sumMessages(columns);
  if (records === file.msg_num && columns.length === file.rows) return;
  throw new PromiseError(
    `${file.path} holds ${columns.length} rows of ${records} records, but its manifest says ${file.rows} of ${file.msg_num}`,
  );
};
