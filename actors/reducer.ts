/**
 * Reducer: makes the new month files of some services. A worker: any number of them share the queue.
 *
 * in    services.assigned
 * out   services.reduced   the files are there, and so is their listing
 * owns  views/batch/<service>/<month>.<batch>.parquet, minutes/<batch>/services-<task>.json
 *
 * R1  A row is the merge of the base's row and the new ones to the bit, past 2^52 too; of a date that is recomputed it
 *     is the new ones alone.
 * R2  A month that got nothing new keeps its file: the cost follows what is new and the months it touches.
 * R3  A missing or changed input, or base file that is read, fails the task (S3).
 * R4  An output that exists is never replaced; the second run reports what is there (S3).
 */
import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FileExistsError } from '../infra/errors.js';
import type { Sql } from '../infra/sql/sql.js';
import { localFiles } from '../infra/storage/local-files.js';
import type { Storage } from '../infra/storage/storage.js';
import { type ExactSums, exactSumsKey, formatExactSums } from '../protocol/exact-sums.js';
import type { Manifest, MonthFile, ServiceListing, ServicesAssigned, ServicesReduced } from '../protocol/messages/batch.js';
import { copyToParquet, messageType, projectRows, viewFormat } from '../protocol/minute-row-sql.js';
import { encodeName, serviceBucket } from '../protocol/name-code.js';
import { sha256Of } from '../protocol/sha256.js';
import { fromInputs, makeView, type TouchedMonth } from './reducer/month-view.js';

export interface ReducerEnvironment {
  readonly storage: Storage;
  readonly sql: Sql;
}

/** @throws FileMissingError, PromiseError when an input or a base file is not there or not as named (R3). */
export const reduceServices = async (task: ServicesAssigned, env: ReducerEnvironment): Promise<ServicesReduced> => {
  const { storage } = env;
  if ((await storage.length(task.output)) !== undefined) return await reportThere(task, storage); // R4
  const inputs = await localFiles(storage, task.inputs);
  const base = await baseFiles(task, storage);
  const files = await env.sql.session(async (sql) => {
    const { touched, kept } = choose(task, base, await newMonths(task, sql, inputs));
    const made: MonthFile[] = [];
    for (const group of groupsOf(touched)) made.push(...(await writeGroup(task, { storage, sql }, inputs, group)));
    return [...kept, ...made];
  });
  const listing: ServiceListing = { batch: task.batch, task: task.task, files: files.sort(byServiceAndMonth) };
  try {
    await storage.create(task.output, Buffer.from(`${JSON.stringify(listing)}\n`));
  } catch (error) {
    if (!(error instanceof FileExistsError)) throw error; // R4: a first run was faster
  }
  return await reportThere(task, storage);
};

const keyOf = ({ service, month }: { service: string; month: string }): string => `${month} ${service}`;

const byServiceAndMonth = (a: { service: string; month: string }, b: { service: string; month: string }): number =>
  compare(a.service, b.service) || compare(a.month, b.month);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The base's files of the task's services. */
const baseFiles = async (task: ServicesAssigned, storage: Storage): Promise<MonthFile[]> => {
  if (task.base === null) return [];
  const { path, bytes, sha256 } = task.base;
  const manifest = JSON.parse(await readFile(await storage.local(path, { bytes, sha256 }), 'utf8')) as Manifest; // R3
  return manifest.files.filter(({ service }) => serviceBucket(service, task.buckets) === task.task);
};

/** The months of the task's services that got new rows, and how many. */
const newMonths = async (task: ServicesAssigned, sql: Sql, inputs: readonly string[]): Promise<TouchedMonth[]> => {
  if (inputs.length === 0) return [];
  const found = await sql.rows(
    `SELECT service, year(time) * 12 + month(time) - 1 AS months, count(*) AS rows
    FROM (SELECT service, make_timestamp_ms(minute) AS time FROM ${fromInputs}) GROUP BY ALL`,
    { inputs },
  );
  return found
    .map(({ service, months, rows }) => ({
      service: String(service),
      month: monthText(Number(months)),
      rows: Number(rows),
    }))
    .filter(({ service }) => serviceBucket(service, task.buckets) === task.task);
};

/** Months since the year 0 as YYYY-MM. */
const monthText = (months: number): string =>
  `${String(Math.floor(months / 12)).padStart(4, '0')}-${String((months % 12) + 1).padStart(2, '0')}`;

/** A month is touched by new rows, or by a date of it that is recomputed; every other keeps its file (R2). */
const choose = (
  { dates }: ServicesAssigned,
  base: readonly MonthFile[],
  added: readonly TouchedMonth[],
): { touched: TouchedMonth[]; kept: MonthFile[] } => {
  const touched = new Map(added.map((month) => [keyOf(month), month]));
  const recomputed = new Set(dates === 'all' ? [] : dates.map((date) => date.slice(0, 7)));
  const kept: MonthFile[] = [];
  for (const file of dates === 'all' ? [] : base) {
    // all: nothing of the base stays
    const month = touched.get(keyOf(file));
    if (month === undefined && !recomputed.has(file.month)) kept.push(file);
    else {
      const { service, month: name, rows } = file;
      touched.set(keyOf(file), { service, month: name, rows: rows + (month?.rows ?? 0), base: file });
    }
  }
  return { touched: [...touched.values()].sort(byServiceAndMonth), kept };
};

const groupRowsMax = 500_000;
const groupMonthsMax = 1_000;

/** So many months at a time that their rows stay bounded, whatever the task's size. */
function* groupsOf(months: readonly TouchedMonth[]): Iterable<TouchedMonth[]> {
  let group: TouchedMonth[] = [];
  let rows = 0;
  for (const month of months) {
    if (group.length === groupMonthsMax || (group.length > 0 && rows + month.rows > groupRowsMax)) {
      yield group;
      group = [];
      rows = 0;
    }
    group.push(month);
    rows += month.rows;
  }
  if (group.length > 0) yield group;
}

const writeGroup = async (
  task: ServicesAssigned,
  { storage, sql }: ReducerEnvironment,
  inputs: readonly string[],
  group: readonly TouchedMonth[],
): Promise<MonthFile[]> => {
  const exact = await makeView(task, { storage, sql }, inputs, group);
  const counts = await sql.rows(`SELECT i, count(*) AS rows, sum(messages) AS messages, max(messages) AS messages_max,
    max(minute) AS newest FROM view GROUP BY i ORDER BY i`);
  const adopting: Promise<MonthFile>[] = [];
  try {
    // a month without rows has no file
    for (const { i, ...count } of counts) {
      const { service, month } = group[Number(i)] as TouchedMonth;
      const copy = {
        i: Number(i),
        service,
        month,
        rows: Number(count.rows),
        msg_num: Number(count.messages),
        newest: Number(count.newest),
        localFile: join(storage.workFolder, `${task.batch}-${task.task}-${randomUUID()}.parquet`),
      };
      await copyMonth(task, sql, copy, messageType(Number(count.messages_max)), exact.get(copy.i));
      const file = adoptMonth(task, storage, copy);
      file.catch(() => undefined); // it is looked at below
      adopting.push(file);
      await adopting[adopting.length - adoptedTogether];
    }
    return await Promise.all(adopting);
  } finally {
    await Promise.allSettled(adopting);
  }
};

/** So many files are synced at a time, beside the writing of the next: that is what a small file costs most. */
const adoptedTogether = 16;

/** A month that is being written. */
interface Copy extends Pick<MonthFile, 'service' | 'month' | 'rows' | 'msg_num'> {
  readonly i: number;
  readonly newest: number;
  readonly localFile: string;
}

const copyMonth = async (
  { batch }: ServicesAssigned,
  sql: Sql,
  { i, service, month, msg_num, localFile }: Copy,
  type: 'INTEGER' | 'BIGINT',
  wide: ExactSums[] | undefined,
): Promise<void> => {
  const [copy, parameters] = copyToParquet(projectRows('(FROM view WHERE i = $i)', type), viewFormat, localFile, {
    batch,
    service,
    month,
    records: String(msg_num),
    ...(wide !== undefined && { [exactSumsKey]: formatExactSums(wide, true) }),
  });
  try {
    await sql.run(copy, { ...parameters, i });
  } catch (error) {
    await rm(localFile, { force: true });
    throw error;
  }
};

const adoptMonth = async (
  { batch }: ServicesAssigned,
  storage: Storage,
  { service, month, rows, msg_num, newest, localFile }: Copy,
): Promise<MonthFile> => {
  const path = `views/batch/${encodeName(service)}/${month}.${batch}.parquet`;
  try {
    const { existed: _, ...file } = await storage.adopt(localFile, path); // R4
    return { service, month, ...file, rows, msg_num, newest };
  } catch (error) {
    await rm(localFile, { force: true });
    throw error;
  }
};

/** What is under the task's name. */
const reportThere = async (task: ServicesAssigned, storage: Storage): Promise<ServicesReduced> => {
  const bytes = await storage.read(task.output);
  const { files } = JSON.parse(bytes.toString()) as ServiceListing;
  const listing = { path: task.output, bytes: bytes.length, sha256: sha256Of(bytes) };
  const sum = (count: (file: MonthFile) => number) => files.reduce((total, file) => total + count(file), 0);
  return { batch: task.batch, task: task.task, listing, records: sum((f) => f.msg_num), rows: sum((f) => f.rows) };
};
