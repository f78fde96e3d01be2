/**
 * A process that makes one batch view, by the scheduler's tasks with the mapper's and the reducer's own functions, or
 * asks DuckDB barely for the same rows of the same files; it counts its own CPU and tells its parent.
 * Arguments: one JSON text, BatchOrder.
 */

import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { mapRange, tasksAtOnce } from '../../actors/mapper.js';
import { reduceServices } from '../../actors/reducer.js';
import { writeManifest } from '../../actors/scheduler/manifest.js';
import { chooseBuckets, chooseInputs, splitTasks } from '../../actors/scheduler/plan.js';
import { atOnce } from '../../infra/at-once.js';
import { type Duckdb, openDuckdb } from '../../infra/sql/duckdb.js';
import { openStorage } from '../../infra/storage/open.js';
import type { StoredFile } from '../../infra/storage/storage.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { zeroPosition } from '../../protocol/range.js';

export interface BatchOrder {
  readonly work: 'batch' | 'bare';
  /** The data folder. */
  readonly data: string;
  /** As `--storage` takes it; local without it. */
  readonly storage?: string;
  /** A file with the commits, JSON. */
  readonly commits: string;
  readonly batch: string;
  readonly base: { readonly manifest: StoredFile; readonly cut: readonly number[] } | null;
  readonly cut: readonly number[];
  readonly memoryMiB: number;
  readonly threads: number;
}

export interface BatchReport {
  /** User and system time of this process, all its threads, from before DuckDB was opened. */
  readonly cpuSeconds: number;
  readonly mapCpuSeconds: number;
  readonly seconds: number;
  readonly rows: number;
  readonly records: number;
  readonly rssMiBMax: number;
  readonly manifest: StoredFile | null;
}

type Work = (
  order: BatchOrder,
  commits: readonly RawStored[],
  sql: Duckdb,
  mapped: () => void,
) => Promise<Pick<BatchReport, 'rows' | 'records' | 'manifest'>>;

const makeBatch: Work = async ({ batch, base, cut, data, storage: address = 'local' }, commits, sql, mapped) => {
  const storage = await openStorage({ storage: address, data, copiesBytesMax: 2 ** 30 });
  const from = base?.cut ?? zeroPosition(cut.length);
  const groups = chooseInputs(from, cut, [], new Map(), commits);
  const inputs = await atOnce([...splitTasks(groups).entries()], tasksAtOnce(storage), ([task, taskInputs]) =>
    mapRange({ batch, task, inputs: taskInputs, output: `minutes/${batch}/${task}.parquet` }, { storage, sql }),
  );
  mapped();
  const buckets = chooseBuckets(groups);
  const listings: StoredFile[] = [];
  let records = 0;
  for (let task = 0; task < buckets; task++) {
    const reduced = await reduceServices(
      {
        batch,
        task,
        buckets,
        base: base?.manifest ?? null,
        dates: [],
        inputs: inputs.map(({ file, records: count }) => ({ ...file, records: count })),
        output: `minutes/${batch}/services-${task}.json`,
      },
      { storage, sql },
    );
    listings.push(reduced.listing);
    records += reduced.records;
  }
  const draft = {
    batch,
    base: base === null ? null : '000001',
    cut: [...cut],
    requestedAt: 0,
    raw: [],
    recomputed: {},
    refused: {},
    missing: [],
    format: 1 as const,
  };
  const { manifest, rows } = await writeManifest({ storage }, { draft, index: undefined }, listings);
  await storage.close();
  return { rows, records, manifest };
};

/** What a user would write: sums in doubles, and the cheapest way that gives the earliest time of a maximum. */
const bareRows = `SELECT service, "timestamp" // 60000 AS minute, sum(cpu) AS cpu, sum(ram) AS ram, sum(disk) AS disk,
    max({v: cpu, t: -"timestamp"}) AS peak_cpu, max({v: ram, t: -"timestamp"}) AS peak_ram, max({v: disk, t: -"timestamp"}) AS peak_disk,
    count(*)::INTEGER AS msg_num
  FROM read_json($files, format = 'newline_delimited', columns = {service: 'VARCHAR', "timestamp": 'BIGINT', cpu: 'DOUBLE', ram: 'DOUBLE', disk: 'DOUBLE'})
  GROUP BY ALL`;

const instant = (ms: string): string => `strftime(make_timestamp_ms(${ms}), '%Y-%m-%dT%H:%M:%S.%gZ')`;

const bareColumns = `service, strftime(make_timestamp_ms(minute * 60000), '%Y-%m-%dT%H:%M:%SZ') AS time_stamp, cpu, ram, disk,
  ${['cpu', 'ram', 'disk'].map((one) => `${instant(`-peak_${one}.t`)} AS max_${one}_time, peak_${one}.v AS max_${one}`).join(', ')}, msg_num`;

const askBarely: Work = async ({ data, batch }, commits, sql, mapped) => {
  const files = [...new Set(commits.flatMap((commit) => commit.files.map(({ path }) => join(data, path))))];
  await sql.run(`CREATE TABLE minutes AS ${bareRows}`, { files });
  mapped();
  const folder = join(data, 'bare', batch);
  await mkdir(folder, { recursive: true });
  for (const { service } of await sql.rows('SELECT DISTINCT service FROM minutes')) {
    await sql.run(`COPY (SELECT ${bareColumns} FROM minutes WHERE service = $service ORDER BY minute) TO $file (FORMAT parquet)`, {
      service: String(service),
      file: join(folder, `${service}.parquet`),
    });
  }
  const [counted] = await sql.rows('SELECT count(*) AS rows, sum(msg_num) AS records FROM minutes');
  return { rows: Number(counted?.rows), records: Number(counted?.records), manifest: null };
};

const run = async (order: BatchOrder): Promise<BatchReport> => {
  const commits = JSON.parse(readFileSync(order.commits, 'utf8')) as RawStored[];
  const startedAt = performance.now();
  const before = process.cpuUsage();
  const cpuSeconds = (): number => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  };
  const sql = await openDuckdb({
    memoryMiB: order.memoryMiB,
    threads: order.threads,
    tempFolder: join(order.data, 'spill'),
    allowedFolders: [order.data],
  });
  let mapCpuSeconds = 0;
  const made = await (order.work === 'batch' ? makeBatch : askBarely)(order, commits, sql, () => {
    mapCpuSeconds = cpuSeconds();
  });
  sql.close();
  return {
    cpuSeconds: cpuSeconds(),
    mapCpuSeconds,
    seconds: (performance.now() - startedAt) / 1_000,
    rssMiBMax: Math.round(process.resourceUsage().maxRSS / 1024),
    ...made,
  };
};

const order = process.argv[2];
if (order !== undefined && process.send) {
  const report = await run(JSON.parse(order) as BatchOrder);
  process.send(report, () => process.exit(0));
}
