/**
 * Mapper: turns byte ranges of raw files into minute rows. A worker: any number of them share the queue.
 *
 * in    range.assigned
 * out   range.mapped       the rows are in minutes/<batch>/<task>.parquet
 * owns  nothing            a second run of a task gives the same bytes, and finds the first run's file
 *
 * X1  Every record that the commits promise is in the rows once, or the task fails and says which file is not as
 *     promised: one too many, one too few, one twice, one that cannot be read.
 * X2  Only committed records count: an offset outside its input's [from, to) does not, wherever in the file it stands.
 * X3  An output that exists is never replaced; the second run reports what is there (S3).
 * X4  A missing raw file fails the task (S3).
 */
import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { atOnce } from '../infra/at-once.js';
import { PromiseError } from '../infra/errors.js';
import type { Sql } from '../infra/sql/sql.js';
import { chunkBytes } from '../infra/storage/disk.js';
import type { Storage, StoredFile } from '../infra/storage/storage.js';
import { groupBy } from '../protocol/group-by.js';
import type { RangeAssigned, RangeMapped, RawInput } from '../protocol/messages/batch.js';
import { aggregateRecords, copyToParquet, mergeRows, parquetMetadata, rowColumns, rowTypes } from '../protocol/minute-row-sql.js';

export interface MapperEnvironment {
  readonly storage: Storage;
  readonly sql: Sql;
}

/** Tasks for one process at a time: from a storage that is elsewhere the end of one is scanned while the next one's bytes come. */
export const tasksAtOnce = ({ readsInPlace }: Storage): number => (readsInPlace ? 1 : 2);

/** @throws PromiseError (X1), FileMissingError (X4) */
export const mapRange = async (task: RangeAssigned, { storage, sql }: MapperEnvironment): Promise<RangeMapped> => {
  if ((await storage.length(task.output)) !== undefined) return await reportThere(task, storage, sql); // X3
  const workFile = join(storage.workFolder, `${task.batch}-${task.task}-${randomUUID()}`);
  const files = await chooseFiles(task, storage, workFile);
  try {
    return await sql.session(async (session) => {
      const mapped = await mapRecords(session, files, asTheyCome(files, storage));
      const [counted] = await session.rows(`SELECT count(*) AS rows FROM ${mapped}`);
      const rows = Number(counted?.rows);
      const records = promised(task.inputs);
      await session.run(
        ...copyToParquet(`SELECT ${rowColumns.join(', ')} FROM ${mapped} ORDER BY service, minute`, outputFormat, `${workFile}.parquet`, {
          batch: task.batch,
          task: String(task.task),
          records: String(records),
          rows: String(rows),
        }),
      );
      const { existed, ...file } = await storage.adopt(`${workFile}.parquet`, task.output);
      if (existed) return await reportThere(task, storage, sql); // X3
      return { batch: task.batch, task: task.task, file, records, rows };
    });
  } finally {
    const made = [...files.flatMap(({ pieces }) => pieces), `${workFile}.parquet`];
    await Promise.all(made.map((file) => rm(file, { force: true })));
  }
};

/** Reducers pick some services out of it; it is gone when the batch is proved, so it is cheap rather than small. */
const outputFormat = 'COMPRESSION snappy, ROW_GROUP_SIZE 16384, WRITE_BLOOM_FILTER false';

const promised = (inputs: readonly RawInput[]): number => inputs.reduce((sum, { records }) => sum + records, 0);

/** A local file in which DuckDB finds the records of these inputs, or the beginning of the names of several. */
interface RawCopy {
  readonly file: string;
  readonly inputs: readonly RawInput[];
  /** Else it is the stored file itself. */
  readonly isCopy: boolean;
  /** Files that were made for a copy. */
  readonly pieces: string[];
}

const neededOf = (inputs: readonly RawInput[]): number => inputs.reduce((sum, { fromByte, toByte }) => sum + toByte - fromByte, 0);

/** In place, or, of a file that is not here or needed less than half, a copy of what is needed. */
const chooseFiles = async (task: RangeAssigned, storage: Storage, workFile: string): Promise<RawCopy[]> => {
  const files: RawCopy[] = [];
  for (const [path, inputs] of groupBy(task.inputs, (input) => input.path)) {
    const isCopy = !storage.readsInPlace || neededOf(inputs) * 2 < Math.max(...inputs.map(({ fileBytes }) => fileBytes));
    files.push({ file: isCopy ? `${workFile}-${files.length}.ndjson` : await storage.local(path), inputs, isCopy, pieces: [] });
  }
  return files;
};

/** Files that are copied at once: one alone leaves this machine waiting for the other. */
const copiesAtOnceMax = 2;
/** A scan of less costs more than it gains. */
const scanBytesMin = 32 * 1024 * 1024;

/** A file that can be scanned: a raw file in place, or some whole lines of a copy. */
interface Piece {
  readonly file: string;
  /** That were copied: none of a file in place, for all of those are scanned together. */
  readonly bytes: number;
  readonly of: RawCopy;
}

/** What is there, some at a time: the next are copied (streamed, in bounded memory) while these are scanned. */
async function* asTheyCome(files: readonly RawCopy[], storage: Storage): AsyncGenerator<Piece[]> {
  let come: Piece[] = [];
  let bytes = 0;
  for await (const piece of piecesOf(files, storage)) {
    come.push(piece);
    bytes += piece.bytes;
    if (bytes < scanBytesMin) continue;
    yield come;
    come = [];
    bytes = 0;
  }
  if (come.length > 0) yield come;
}

/** Files in place first: they are here already. */
async function* piecesOf(files: readonly RawCopy[], storage: Storage): AsyncGenerator<Piece> {
  const come: Piece[] = [];
  let [isLeft, isOver] = [false, false];
  let wake = (): void => undefined;
  const copies = files.filter(({ isCopy }) => isCopy);
  const copying = atOnce(copies, copiesAtOnceMax, async (copy) => {
    if (isLeft) return;
    for await (const piece of copyInPieces(copy, storage)) {
      come.push(piece);
      wake();
      if (isLeft) return;
    }
  }).finally(() => {
    isOver = true;
    wake();
  });
  copying.catch(() => undefined); // it is waited for below
  try {
    for (const of of files) if (!of.isCopy) yield { file: of.file, bytes: 0, of };
    for (;;) {
      const piece = come.shift();
      if (piece !== undefined) yield piece;
      else if (isOver) break;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
    await copying;
  } finally {
    isLeft = true;
    await copying.catch(() => undefined);
  }
}

const newline = 10;

/** A copy as files of some whole lines each: so the first can be scanned while the last is still on its way. */
async function* copyInPieces(copy: RawCopy, storage: Storage): AsyncGenerator<Piece> {
  const chunks = bytesOf(copy.inputs, storage);
  let rest: Buffer | undefined;
  let isOver = false;
  let bytes = 0;
  const next = async function* (): AsyncGenerator<Buffer> {
    bytes = rest?.length ?? 0;
    if (rest !== undefined) yield rest;
    for (;;) {
      const { value: chunk, done } = await chunks.next();
      if (done) {
        isOver = true;
        return;
      }
      const end = bytes + chunk.length < scanBytesMin ? 0 : chunk.lastIndexOf(newline) + 1;
      bytes += end || chunk.length;
      yield end > 0 ? chunk.subarray(0, end) : chunk;
      if (end === 0) continue;
      rest = chunk.subarray(end);
      return;
    }
  };
  try {
    for (let i = 0; !isOver; i++) {
      const file = `${copy.file}.${i}`;
      copy.pieces.push(file);
      await pipeline(Readable.from(next()), createWriteStream(file, { highWaterMark: chunkBytes }));
      if (bytes > 0) yield { file, bytes, of: copy };
    }
  } finally {
    await chunks.return(undefined);
  }
}

async function* bytesOf(inputs: readonly RawInput[], storage: Storage): AsyncGenerator<Buffer, void> {
  for (const { path, fromByte, toByte } of inputs) yield* storage.stream(path, fromByte, toByte);
}

/**
 * The raw lines of all inputs in one scan, each with its input. `ignore_errors`: a torn tail is no record; what cannot
 * be read becomes NULL, or is left out, and is missing in the counts.
 */
const records = `read_json($files, format = 'newline_delimited', ignore_errors = true, hive_partitioning = false,
    filename = true, columns = {"offset": 'BIGINT', service: 'VARCHAR', "timestamp": 'BIGINT', cpu: 'DOUBLE', ram: 'DOUBLE', disk: 'DOUBLE'})
  JOIN inputs USING (filename) WHERE "offset" >= lowest AND "offset" < past`; // X2

/** A record's place: offsets of all partitions side by side, so that one set of numbers shows a double. */
const place = '"offset" + shift';

/** NULL as soon as one of them is. */
const allFields = 'cpu + ram + disk + "timestamp"';

/** A set of places up to this many bits is counted in a bitmap. */
const bitmapBitsMax = 2 ** 27;

/** Makes the rows and checks them against the commits (X1). @returns their table's name */
const mapRecords = async (sql: Sql, files: readonly RawCopy[], scans: AsyncIterable<readonly Piece[]>): Promise<string> => {
  const span = await createInputs(sql, files);
  await sql.run(`CREATE TEMP TABLE mapped (${rowTypes('BIGINT')}, readable BIGINT, places BIGINT[])`);
  const aggregated = aggregateRecords(records, { readable: `count(${allFields})`, places: `list(${place})` });
  let scanned = 0;
  for await (const some of scans) {
    await nameInputs(sql, some);
    await sql.run(`INSERT INTO mapped ${aggregated}`, { files: some.map(({ file }) => file) });
    scanned += 1;
  }
  if (scanned === 0) return 'mapped';
  const [found] = await sql.rows(`SELECT sum(messages) AS records, sum(readable) AS readable,
    count(*) FILTER (service IS NULL) AS nameless FROM mapped`);
  const distinct = span <= bitmapBitsMax ? `bit_count(bitstring_agg(place, 0, ${Math.max(0, span - 1)}))` : 'count(DISTINCT place)';
  const [places] = await sql.rows(`SELECT ${distinct} AS count FROM (SELECT unnest(places) AS place FROM mapped)`);
  const expected = promised(files.flatMap(({ inputs }) => inputs));
  const right = [found?.records, found?.readable, places?.count].every((count) => Number(count ?? 0) === expected);
  if (!right || Number(found?.nameless) > 0) throw await broken(sql, files, expected);
  if (scanned === 1) return 'mapped';
  await sql.run(`CREATE TEMP TABLE merged AS ${mergeRows('mapped')}`);
  return 'merged';
};

/** Makes the table `inputs`, which tells a record's input by its file and offset. @returns the number of places. */
const createInputs = async (sql: Sql, files: readonly RawCopy[]): Promise<number> => {
  let span = 0;
  const scanned = files.flatMap(({ file, inputs }) => inputs.map((input) => ({ input, file })));
  const shifts = new Map<number, number>();
  for (const [partition, members] of groupBy(scanned, ({ input }) => input.partition)) {
    const lowest = Math.min(...members.map(({ input }) => input.from));
    shifts.set(partition, span - lowest);
    span += Math.max(...members.map(({ input }) => input.to)) - lowest;
  }
  await sql.run(
    `CREATE TEMP TABLE inputs AS SELECT unnest(from_json($inputs, '[{"filename": "VARCHAR",
    "lowest": "BIGINT", "past": "BIGINT", "shift": "BIGINT", "path": "VARCHAR", "promised": "BIGINT", "copy": "VARCHAR"}]'),
    recursive := true)`,
    {
      inputs: JSON.stringify(
        scanned.map(({ input, file }) => ({
          filename: file,
          lowest: input.from,
          past: input.to,
          shift: shifts.get(input.partition),
          path: input.path,
          promised: input.records,
          copy: file,
        })),
      ),
    },
  );
  return span;
};

/** Says in the table `inputs` of which copy these are pieces. */
const nameInputs = async (sql: Sql, pieces: readonly Piece[]): Promise<void> => {
  const ofCopies = pieces.filter(({ of }) => of.isCopy);
  if (ofCopies.length === 0) return;
  await sql.run(
    `INSERT INTO inputs SELECT piece.file AS filename, lowest, past, shift, path, promised, copy FROM inputs
    JOIN (SELECT unnest(from_json($pieces, '[{"file": "VARCHAR", "copy": "VARCHAR"}]'), recursive := true)) AS piece USING (copy)
    WHERE filename = copy`,
    { pieces: JSON.stringify(ofCopies.map(({ file, of }) => ({ file, copy: of.file }))) },
  );
};

const examplesMax = 5;

/** Scans once more to say where it is not as promised. */
const broken = async (sql: Sql, copies: readonly RawCopy[], expected: number): Promise<PromiseError> => {
  const files = copies.flatMap(({ file, isCopy, pieces }) => (isCopy ? pieces : [file]));
  const wrong = await sql.rows(
    `SELECT path, inputs.lowest, inputs.past, promised, coalesce(records, 0) AS records,
      coalesce(readable, 0) AS readable, coalesce(places, 0) AS places FROM (FROM inputs WHERE filename = copy) AS inputs LEFT JOIN (
      SELECT copy, lowest, count(*) AS records,
        count(${allFields}) FILTER (service IS NOT NULL) AS readable, count(DISTINCT ${place}) AS places
      FROM ${records} GROUP BY copy, lowest) USING (copy, lowest)
    WHERE promised IS DISTINCT FROM records OR promised <> readable OR promised <> places
    ORDER BY path, inputs.lowest LIMIT ${examplesMax}`,
    { files },
  );
  const where = wrong.map(
    (row) =>
      `${row.path}, offsets [${row.lowest}, ${row.past}): ` +
      `${row.promised} records promised, ${row.records} found, ${row.readable} whole, ${row.places} different`,
  );
  return new PromiseError(
    `raw files do not hold the ${expected} records that the commits promise: ` +
      (where.join('; ') || `some offsets are in more than one of ${files.join(', ')}`),
  );
};

/** What the first run left under the task's name. */
const reportThere = async (task: RangeAssigned, storage: Storage, sql: Sql): Promise<RangeMapped> => {
  const file = await hashed(task.output, storage);
  const rows = await sql.rows(parquetMetadata, { files: [await storage.local(task.output, file)] });
  const noted = new Map(rows.map(({ key, value }) => [String(key), String(value)]));
  const records = promised(task.inputs);
  if (noted.get('batch') !== task.batch || Number(noted.get('records')) !== records) {
    throw new PromiseError(
      `${task.output} is of batch ${noted.get('batch')} with ${noted.get('records')} records; ` +
        `the task is of batch ${task.batch} with ${records}`,
    );
  }
  return { batch: task.batch, task: task.task, file, records, rows: Number(noted.get('rows')) };
};

const hashed = async (path: string, storage: Storage): Promise<StoredFile> => {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of storage.stream(path)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { path, bytes, sha256: hash.digest('hex') };
};
