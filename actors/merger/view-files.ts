/** Reading the files of a view: checked against length, hash and number of records before anything is answered from them. */
import { ahead } from '../../infra/at-once.js';
import { PromiseError } from '../../infra/errors.js';
import type { RowColumns, ViewFiles } from '../../infra/sql/sql.js';
import { localFiles } from '../../infra/storage/local-files.js';
import type { Storage, StoredFile } from '../../infra/storage/storage.js';
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
  mustHold(part, columns);
  return columns;
};

/** @throws PromiseError */
const mustHold = ({ file, from, to }: PartStored, columns: RowColumns): void => {
  const records = sumMessages(columns);
  if (records !== to - from)
    throw new PromiseError(`${file?.path} holds ${records} records, but its range [${from}, ${to}) has ${to - from}`);
};

/** A part and its rows, null when it holds no record; undefined where they were not read: who reads it alone hears why. */
export interface LoadedPart {
  readonly part: PartStored;
  readonly rows: RowColumns | null | undefined;
}

/** Files of parts that are read at once: opening a small one costs more than its rows. */
const partsTogetherMax = 64;
const partBytesTogetherMax = 2 * 1024 * 1024;
/** Parts in their order with the rows of those that are needed, some files at a time; the next are read meanwhile. */
export async function* loadEach(
  storage: Storage,
  viewFiles: ViewFiles,
  parts: AsyncIterable<PartStored> | Iterable<PartStored>,
  isNeeded = (_: PartStored): boolean => true,
): AsyncGenerator<LoadedPart> {
  const read = async ({ named, rows }: PartGroup): Promise<void> => {
    const files = named.map(({ file }) => file);
    for (const [i, columns] of (await viewFiles.readTogether(await localFiles(storage, files))).entries()) {
      const part = named[i] as NamedPart;
      mustHold(part, columns);
      rows.set(part, columns);
    }
  };
  for await (const { all, rows } of ahead(groupsOf(parts, isNeeded), 1, read)) {
    for (const part of all) yield { part, rows: part.to === part.from && part.file === undefined ? null : rows.get(part) };
  }
}

type NamedPart = PartStored & { readonly file: StoredFile };

interface PartGroup {
  readonly all: PartStored[];
  readonly named: NamedPart[];
  readonly rows: Map<PartStored, RowColumns>;
}

async function* groupsOf(
  parts: AsyncIterable<PartStored> | Iterable<PartStored>,
  isNeeded: (part: PartStored) => boolean,
): AsyncGenerator<PartGroup> {
  const begin = (): PartGroup => ({ all: [], named: [], rows: new Map() });
  let group = begin();
  let bytes = 0;
  for await (const part of parts) {
    group.all.push(part);
    if (part.file !== undefined && isNeeded(part)) {
      group.named.push(part as NamedPart);
      bytes += part.file.bytes;
    }
    if (group.all.length < partsTogetherMax && bytes < partBytesTogetherMax) continue;
    yield group;
    group = begin();
    bytes = 0;
  }
  if (group.all.length > 0) yield group;
}

/** The rows of several parts together: the lower half of a batch. */
export const loadParts = async (storage: Storage, viewFiles: ViewFiles, parts: readonly PartStored[]): Promise<RowTable> => {
  const table = new RowTable();
  for await (const { part, rows } of loadEach(storage, viewFiles, parts)) {
    const columns = rows === undefined ? await loadPart(storage, viewFiles, part) : rows;
    if (columns !== null) table.mergeColumns(columns);
  }
  return table;
};

/** @throws PromiseError, FileMissingError */
export const monthReader =
  (storage: Storage, viewFiles: ViewFiles): ReadMonths =>
  async (files) => {
    const paths = await localFiles(storage, files);
    const isTogether = files.map(({ rows }) => files.length > 1 && rows <= togetherRowsMax);
    const together = await viewFiles.readTogether(
      paths.filter((_, i) => isTogether[i]),
      { singleService: true },
    );
    let next = 0;
    const months: RowColumns[] = [];
    for (const [i, file] of files.entries()) {
      const columns = isTogether[i] ? (together[next++] as RowColumns) : await viewFiles.read(paths[i] as string, { singleService: true });
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
