/** Storage in memory, and view files in it that keep their rows as JSON. */
import { createHash } from 'node:crypto';
import { toColumns } from '../../actors/merger/columns.js';
import { FileExistsError, FileMissingError, PromiseError, RetryableError } from '../../infra/errors.js';
import type { ViewFiles } from '../../infra/sql/sql.js';
import type { Storage, StoredFile } from '../../infra/storage/storage.js';
import { fromTuple, type RowTuple, toTuple } from '../../protocol/messages/row-tuple.js';
import type { KeyedRow } from '../../protocol/minute-row.js';
import type { Connection } from './connection.js';

/** Content never changes in place here, so that what was hashed or read once needs not be again. */
const hashes = new WeakMap<Uint8Array, string>();
const decoded = new WeakMap<Uint8Array, KeyedRow[]>();

export const sha256Of = (bytes: Uint8Array): string => {
  let sha256 = hashes.get(bytes);
  if (sha256 === undefined) {
    sha256 = createHash('sha256').update(bytes).digest('hex');
    hashes.set(bytes, sha256);
  }
  return sha256;
};

const byServiceAndMinute = (a: KeyedRow, b: KeyedRow): number =>
  a.service < b.service ? -1 : a.service > b.service ? 1 : a.minute - b.minute;

export const encodeRows = (rows: readonly KeyedRow[]): Buffer =>
  Buffer.from(JSON.stringify([...rows].sort(byServiceAndMinute).map(({ service, minute, row }) => toTuple(service, minute, row))));

/** Rows that nobody may change. */
export const decodeRows = (bytes: Uint8Array): readonly KeyedRow[] => {
  let rows = decoded.get(bytes);
  if (rows === undefined) {
    rows = (JSON.parse(Buffer.from(bytes).toString('utf8')) as RowTuple[]).map(fromTuple);
    decoded.set(bytes, rows);
  }
  return rows;
};

export class SimulatedFiles {
  readonly byPath = new Map<string, Buffer>();
  /** What was ever under a name that does not change. */
  readonly ever = new Map<string, Buffer>();
  /** Files that are being made, on no disk that counts. */
  readonly work = new Map<string, Buffer>();

  constructor(
    private readonly without: (rule: string) => boolean,
    private readonly fraction: () => number,
  ) {}

  /** U1 switched off: the writer's id is not part of the name. */
  key(path: string): string {
    return this.without('U1 stuck') || this.without('U1 overwritten') ? path.replace(/^(raw\/.*)-[0-9a-f]{8}\.ndjson$/, '$1.ndjson') : path;
  }

  get(path: string): Buffer {
    const bytes = this.byPath.get(this.key(path));
    if (bytes === undefined) throw new FileMissingError(`there is no ${path}`);
    return bytes;
  }

  create(path: string, bytes: Uint8Array): void {
    const key = this.key(path);
    const overwrites = this.without('U1 overwritten') && key.startsWith('raw/');
    if (this.byPath.has(key) && !overwrites) throw new FileExistsError(`${path} is there`);
    this.byPath.set(key, Buffer.from(bytes));
  }

  append(path: string, bytes: Uint8Array, lengthBefore: number): void {
    const there = this.get(path);
    const goesOn = this.without('U3');
    if (there.byteLength !== lengthBefore && !goesOn)
      throw new RetryableError(`append to ${path}: ${there.byteLength} bytes long, must be ${lengthBefore}`);
    this.byPath.set(this.key(path), Buffer.concat([there, bytes]));
  }

  /** An append that is done in part. */
  tear(path: string, bytes: Uint8Array, lengthBefore: number): void {
    const there = this.byPath.get(this.key(path));
    if (there?.byteLength !== lengthBefore) return;
    this.byPath.set(this.key(path), Buffer.concat([there, bytes.subarray(0, Math.floor(this.fraction() * bytes.byteLength))]));
  }

  adopt(localFile: string, path: string): StoredFile & { existed: boolean } {
    const made = this.work.get(localFile);
    if (made === undefined) throw new FileMissingError(`there is no ${localFile}`);
    this.work.delete(localFile);
    const existed = this.byPath.has(path) && !(this.without('S3') && /^(views\/batch|minutes)\//.test(path));
    const bytes = existed ? this.get(path) : made;
    this.byPath.set(path, bytes);
    this.ever.set(path, bytes);
    return { path, bytes: bytes.byteLength, sha256: sha256Of(bytes), existed };
  }

  list(folder: string): string[] {
    return [...this.byPath.keys()].filter((path) => path.startsWith(`${folder}/`)).sort();
  }

  /** What one life has of it. */
  storageOf(connection: Connection): Storage {
    const read = (path: string, from?: number, to?: number): Promise<Buffer> =>
      connection.file(`read ${path}`, () => this.get(path).subarray(from, to));
    return {
      create: (path, bytes) => connection.file(`create ${path}`, () => this.create(path, bytes)),
      append: (path, bytes, lengthBefore) => {
        const append = (): Promise<void> =>
          connection.file(
            `append ${path}`,
            () => this.append(path, bytes, lengthBefore),
            () => this.tear(path, bytes, lengthBefore),
          );
        return this.without('U3') ? append().catch(append) : append();
      },
      adopt: (localFile, path) => {
        if (this.without('W2 late file') && path.startsWith('views/realtime/')) return this.adoptLater(connection, localFile, path);
        return connection.file(`adopt ${path}`, () => this.adopt(localFile, path));
      },
      replace: (path, bytes) =>
        connection.file(`replace ${path}`, () => {
          this.byPath.set(path, Buffer.from(bytes));
        }),
      read,
      stream: async function* (path, from, to) {
        yield await read(path, from, to);
      },
      local: (path, expected) =>
        connection.file(`local ${path}`, () => {
          const bytes = this.get(path);
          if (expected !== undefined && (bytes.byteLength !== expected.bytes || sha256Of(bytes) !== expected.sha256)) {
            throw new PromiseError(`${path} is not what was stored`);
          }
          return path;
        }),
      list: (folder) => connection.file(`list ${folder}`, () => this.list(folder)),
      length: (path) => connection.file(`length ${path}`, () => this.byPath.get(this.key(path))?.byteLength),
      remove: (path) =>
        connection.file(`remove ${path}`, () => {
          this.byPath.delete(this.key(path));
        }),
      workFolder: 'work',
      readsInPlace: true,
      unsyncedMs: 0,
      close: async () => undefined,
    };
  }

  /** W2 switched off: whoever stores a part does not wait until its file is there. */
  private async adoptLater(connection: Connection, localFile: string, path: string): Promise<StoredFile & { existed: boolean }> {
    const bytes = this.work.get(localFile) ?? Buffer.alloc(0);
    connection.file(`adopt ${path}`, () => this.adopt(localFile, path)).catch(() => undefined);
    return { path, bytes: bytes.byteLength, sha256: sha256Of(bytes), existed: false };
  }

  viewFilesOf(connection: Connection): ViewFiles {
    const columnsOf = (path: string, singleService: boolean) => {
      const rows = decodeRows(this.get(path));
      return { ...toColumns(rows), ...(singleService ? {} : { services: rows.map(({ service }) => service) }) };
    };
    return {
      write: async (localFile, rows) => {
        this.work.set(localFile, encodeRows(rows));
      },
      read: async (path, { singleService = false } = {}) => {
        if (connection.isDead) return new Promise(() => undefined);
        return columnsOf(path, singleService);
      },
      readTogether: async (paths, { singleService = false } = {}) => {
        if (connection.isDead) return new Promise(() => undefined);
        return paths.map((path) => columnsOf(path, singleService));
      },
    };
  }
}
