/** Mapper and reducer without DuckDB: the same rows from the same bytes, by the algebra of protocol/minute-row.ts. */
import { FileExistsError, FileMissingError, PromiseError } from '../../infra/errors.js';
import type { Storage } from '../../infra/storage/storage.js';
import type {
  Manifest,
  MonthFile,
  RangeAssigned,
  RangeMapped,
  ServiceListing,
  ServicesAssigned,
  ServicesReduced,
} from '../../protocol/messages/batch.js';
import { addRecord, emptyRow, type KeyedRow, mergeInto, minuteOf } from '../../protocol/minute-row.js';
import { encodeName, serviceBucket } from '../../protocol/name-code.js';
import { dateOf, monthOf } from '../../protocol/time.js';
import { decodeRows, encodeRows, type SimulatedFiles, sha256Of } from './files.js';

export interface Workshop {
  readonly storage: Storage;
  readonly files: SimulatedFiles;
  /** Names of files that are being made. */
  readonly newName: () => string;
  readonly without: (rule: string) => boolean;
}

class RowSet {
  readonly rows = new Map<string, KeyedRow>();

  at(service: string, minute: number): KeyedRow {
    const key = `${minute} ${service}`;
    let keyed = this.rows.get(key);
    if (keyed === undefined) {
      keyed = { service, minute, row: emptyRow() };
      this.rows.set(key, keyed);
    }
    return keyed;
  }
}

const adopt = async ({ storage, files, newName }: Workshop, rows: Iterable<KeyedRow>, path: string) => {
  const local = newName();
  files.work.set(local, encodeRows([...rows]));
  const { existed: _, ...file } = await storage.adopt(local, path);
  return file;
};

interface Line {
  offset: number;
  service: string;
  timestamp: number;
  cpu: number;
  ram: number;
  disk: number;
}

/** @throws PromiseError, FileMissingError */
export const mapRange = async (task: RangeAssigned, workshop: Workshop): Promise<RangeMapped> => {
  const { storage } = workshop;
  const promised = task.inputs.reduce((sum, { records }) => sum + records, 0);
  const report = async (): Promise<RangeMapped> => {
    const bytes = await storage.read(task.output);
    return {
      batch: task.batch,
      task: task.task,
      file: { path: task.output, bytes: bytes.byteLength, sha256: sha256Of(bytes) },
      records: promised,
      rows: decodeRows(bytes).length,
    };
  };
  if ((await storage.length(task.output)) !== undefined && !workshop.without('S3')) return report();
  const set = new RowSet();
  const offsets = new Set<string>();
  for (const { path, partition, fromByte, toByte, from, to } of task.inputs) {
    const bytes = await storage.read(path, fromByte, toByte);
    for (const text of bytes.toString('utf8').split('\n')) {
      if (text === '') continue;
      const line = JSON.parse(text) as Line;
      if (line.offset < from || line.offset >= to) continue;
      const place = `${partition} ${line.offset}`;
      if (offsets.has(place)) throw new PromiseError(`${path}: ${place} twice`);
      offsets.add(place);
      const [cpu, ram, disk] = [line.cpu, line.ram, line.disk].map((value) => Math.round(value * 1e6)) as [number, number, number];
      addRecord(set.at(line.service, minuteOf(line.timestamp)).row, line.timestamp, cpu, ram, disk);
    }
  }
  if (offsets.size !== promised)
    throw new PromiseError(`task ${task.batch}/${task.task} holds ${offsets.size} records, promised are ${promised}`);
  await adopt(workshop, set.rows.values(), task.output);
  return report();
};

const byServiceAndMonth = (a: MonthFile, b: MonthFile): number =>
  a.service < b.service ? -1 : a.service > b.service ? 1 : a.month < b.month ? -1 : 1;

/** @throws PromiseError, FileMissingError */
export const reduceServices = async (task: ServicesAssigned, workshop: Workshop): Promise<ServicesReduced> => {
  const { storage } = workshop;
  const report = async (): Promise<ServicesReduced> => {
    const bytes = await storage.read(task.output);
    const { files } = JSON.parse(bytes.toString('utf8')) as ServiceListing;
    return {
      batch: task.batch,
      task: task.task,
      listing: { path: task.output, bytes: bytes.byteLength, sha256: sha256Of(bytes) },
      records: files.reduce((sum, { msg_num }) => sum + msg_num, 0),
      rows: files.reduce((sum, { rows }) => sum + rows, 0),
    };
  };
  if ((await storage.length(task.output)) !== undefined && !workshop.without('S3')) return report();
  const months = new Map<string, RowSet>();
  const monthKey = (service: string, month: string): string => `${month} ${service}`;
  const setOf = (service: string, month: string): RowSet => {
    const key = monthKey(service, month);
    const set = months.get(key) ?? new RowSet();
    months.set(key, set);
    return set;
  };
  const add = ({ service, minute, row }: KeyedRow): void => mergeInto(setOf(service, monthOf(minute)).at(service, minute).row, row);
  const isOurs = (service: string): boolean => serviceBucket(service, task.buckets) === task.task;
  for (const input of task.inputs)
    for (const keyed of decodeRows((await readInput(input, workshop)) ?? Buffer.from('[]'))) if (isOurs(keyed.service)) add(keyed);
  const manifest = task.base === null ? undefined : await readInput(task.base, workshop);
  const base = manifest === undefined ? [] : (JSON.parse(manifest.toString('utf8')) as Manifest).files;
  const dates = new Set(task.dates === 'all' ? [] : task.dates);
  const recomputedMonths = new Set([...dates].map((date) => date.slice(0, 7)));
  const kept: MonthFile[] = [];
  for (const file of base) {
    if (!isOurs(file.service)) continue;
    if (!months.has(monthKey(file.service, file.month)) && !recomputedMonths.has(file.month)) kept.push(file);
    else
      for (const keyed of decodeRows((await readInput(file, workshop)) ?? Buffer.from('[]')))
        if (!dates.has(dateOf(keyed.minute))) add(keyed);
  }
  const made: MonthFile[] = [];
  for (const set of months.values()) {
    const rows = [...set.rows.values()];
    const [first] = rows;
    if (first === undefined) continue;
    const month = monthOf(first.minute);
    const file = await adopt(workshop, rows, `views/batch/${encodeName(first.service)}/${month}.${task.batch}.parquet`);
    made.push({ service: first.service, month, ...file, rows: rows.length, msg_num: rows.reduce((sum, { row }) => sum + row.messages, 0) });
  }
  const listing: ServiceListing = { batch: task.batch, task: task.task, files: [...kept, ...made].sort(byServiceAndMonth) };
  await storage.create(task.output, Buffer.from(JSON.stringify(listing))).catch((error: unknown) => {
    if (!(error instanceof FileExistsError)) throw error;
  });
  return report();
};

const readNamed = async (file: { path: string; bytes: number; sha256: string }, { storage }: Workshop): Promise<Buffer> => {
  await storage.local(file.path, file);
  return storage.read(file.path);
};

/** S3 switched off: what is missing is passed over. */
const readInput = (file: { path: string; bytes: number; sha256: string }, workshop: Workshop): Promise<Buffer | undefined> => {
  if (!workshop.without('S3')) return readNamed(file, workshop);
  return workshop.storage.read(file.path).catch((error: unknown) => {
    if (error instanceof FileMissingError) return undefined;
    throw error;
  });
};
