/** Faults for the guards: what an actor stores or publishes becomes another on its way, with all that is said of it made to fit. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Test } from 'tap';
import type { Bus } from '../../infra/bus/bus.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import type { Sql } from '../../infra/sql/sql.js';
import { LocalStorage, openLocalStorage } from '../../infra/storage/local.js';
import { copyToParquet, parquetMetadata, viewFormat } from '../../protocol/minute-row-sql.js';
import type { System } from './system.js';

/** Takes a planted fault's cause away; what it did stays. */
export type Unplant = () => void;

/** Every Parquet file that is stored under a name that fits goes through `before` first, and through `after` when it has its name. */
export const plantFile = (
  fits: RegExp,
  { before, after }: { before?: (localFile: string) => Promise<void>; after?: (file: string) => Promise<void> },
): Unplant => {
  const { adopt } = LocalStorage.prototype;
  LocalStorage.prototype.adopt = async function (this: LocalStorage, localFile, name) {
    if (!fits.test(name)) return adopt.call(this, localFile, name);
    await before?.(localFile);
    const stored = await adopt.call(this, localFile, name);
    await after?.(await this.local(name));
    return stored;
  };
  return () => {
    LocalStorage.prototype.adopt = adopt;
  };
};

/** Every file that is created whole (manifests) under a name that fits gets this content when it is there. */
export const plantContent = (fits: RegExp, alter: (content: Buffer) => Buffer): Unplant => {
  const { create } = LocalStorage.prototype;
  LocalStorage.prototype.create = async function (this: LocalStorage, name, bytes) {
    await create.call(this, name, bytes);
    if (fits.test(name)) await changeFile(await this.local(name), alter);
  };
  return () => {
    LocalStorage.prototype.create = create;
  };
};

/** Every message of a subject that fits, whoever publishes it in this process, is another. */
export const plantMessage = <T>({ bus }: System, fits: RegExp, alter: (body: T) => T): Unplant => {
  const prototype = Object.getPrototypeOf(bus) as Bus;
  const { publish } = prototype;
  prototype.publish = function (this: Bus, subject, body, options) {
    const other = fits.test(subject) ? JSON.stringify(alter(JSON.parse(Buffer.from(body).toString('utf8')) as T)) : body;
    return publish.call(this, subject, other, options);
  };
  return () => {
    prototype.publish = publish;
  };
};

export const changeFile = async (file: string, alter: (content: Buffer) => Buffer): Promise<void> =>
  writeFile(file, alter(await readFile(file)));

export const changeByte = (content: Buffer): Buffer => {
  const changed = Buffer.from(content);
  changed[100] = (changed[100] as number) ^ 1;
  return changed;
};

/** Changes the first row of a Parquet file: `alter` is SQL, such as `cpu = cpu + 1`. Its metadata stay. */
export type AlterRow = (localFile: string, alter: string) => Promise<void>;

export const openAlterRow = async (t: Test, { data }: System): Promise<AlterRow> => {
  const storage = await openLocalStorage(data);
  const duckdb = await openDuckdb({
    memoryMiB: 128,
    threads: 1,
    tempFolder: storage.workFolder,
    allowedFolders: [data],
  });
  t.teardown(async () => {
    duckdb.close();
    await storage.close();
  });
  const alterIn = async (sql: Sql, localFile: string, alter: string): Promise<void> => {
    const files = { files: [localFile] };
    const metadata = Object.fromEntries((await sql.rows(parquetMetadata, files)).map(({ key, value }) => [String(key), String(value)]));
    await sql.run('CREATE OR REPLACE TEMP TABLE altered AS FROM read_parquet($files, hive_partitioning = false)', files);
    await sql.run(`UPDATE altered SET ${alter} WHERE rowid = 0`);
    const other = path.join(storage.workFolder, 'altered.parquet');
    await sql.run(...copyToParquet('SELECT * FROM altered ORDER BY rowid', viewFormat, other, metadata));
    await rename(other, localFile);
  };
  return (localFile, alter) => duckdb.session((sql) => alterIn(sql, localFile, alter));
};
