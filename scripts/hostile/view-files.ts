/**
 * Rows of view files, read as anybody would who has the files and no code of ours: SQL over Parquet, and the exact sums of
 * the files' metadata where a double cannot hold them.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '../../infra/bus/bus.js';
import type { Sql } from '../../infra/sql/sql.js';

export type FileRow = readonly (string | number | bigint)[];

interface Merged {
  readonly sums: [bigint, bigint, bigint];
  readonly peaks: [number, number][];
  count: number;
}

/** 2^52 / 1e6, rounded down: a double has sums exactly only below it. */
const exactBelowPercent = 4_294_967_296;

const peakNames = ['cpu', 'ram', 'disk'] as const;

export class FileRows {
  readonly #rows = new Map<string, Map<number, Merged>>();

  constructor(private readonly sql: Sql) {}

  /** @param service of files of one service, by path */
  async add(files: readonly string[], serviceOf: ReadonlyMap<string, string> = new Map()): Promise<void> {
    for (let from = 0; from < files.length; from += 200) await this.#addSome(files.slice(from, from + 200), serviceOf);
  }

  async #addSome(files: readonly string[], serviceOf: ReadonlyMap<string, string>): Promise<void> {
    const exact = await this.#exactSums(files, serviceOf);
    const rows = await this.sql.rows(
      `SELECT service, time_stamp, cpu, ram, disk, max_cpu, max_cpu_time, max_ram, max_ram_time, max_disk, max_disk_time, msg_num,
        filename FROM read_parquet($files, hive_partitioning = false, filename = true, union_by_name = true)`,
      { files: [...files] },
    );
    for (const row of rows) {
      const [service, time] = [String(row.service), String(row.time_stamp)];
      const texts = exact.get(`${row.filename} ${time} ${service}`);
      const sums = peakNames.map((name, i) => {
        const percent = row[name] as number;
        if (texts !== undefined) return BigInt(texts[i] as string);
        return percent < exactBelowPercent ? BigInt(Math.round(percent * 1e6)) : -1n; // no exact sum where there must be one
      });
      const peaks = peakNames.map((name): [number, number] => [
        Math.round((row[`max_${name}`] as number) * 1e6),
        Date.parse(String(row[`max_${name}_time`])),
      ]);
      this.#merge(service, Date.parse(time), sums as [bigint, bigint, bigint], peaks, Number(row.msg_num));
    }
  }

  async #exactSums(files: readonly string[], serviceOf: ReadonlyMap<string, string>): Promise<Map<string, string[]>> {
    const found = new Map<string, string[]>();
    const noted = await this.sql.rows(
      "SELECT file_name, decode(value) AS value FROM parquet_kv_metadata($files) WHERE decode(key) = 'exact_sums'",
      { files: [...files] },
    );
    for (const { file_name: file, value } of noted) {
      for (const [key, entry] of Object.entries(JSON.parse(String(value)) as Record<string, string[] | Record<string, string[]>>)) {
        if (Array.isArray(entry)) found.set(`${file} ${key} ${serviceOf.get(String(file))}`, entry);
        else for (const [time, sums] of Object.entries(entry)) found.set(`${file} ${time} ${key}`, sums);
      }
    }
    return found;
  }

  #merge(service: string, minute: number, sums: [bigint, bigint, bigint], peaks: [number, number][], count: number): void {
    const rows = this.#rows.get(service) ?? new Map<number, Merged>();
    this.#rows.set(service, rows);
    const known = rows.get(minute);
    if (known === undefined) {
      rows.set(minute, { sums, peaks, count });
      return;
    }
    for (const i of [0, 1, 2] as const) {
      known.sums[i] += sums[i];
      const [a, b] = [known.peaks[i] as [number, number], peaks[i] as [number, number]];
      if (b[0] > a[0] || (b[0] === a[0] && b[1] < a[1])) known.peaks[i] = b;
    }
    known.count += count;
  }

  *rows(): Generator<FileRow> {
    for (const [service, rows] of this.#rows) {
      for (const [minute, { sums, peaks, count }] of rows) yield [service, minute, ...sums, ...peaks.flat(), count];
    }
  }
}

interface Latest {
  readonly batch: string;
  readonly cut: readonly number[];
  readonly files: readonly { readonly service: string; readonly path: string; readonly msg_num: number }[];
  readonly refused: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly missing: readonly Readonly<Record<string, number>>[];
}

/** views/batch/latest.json, once it is that of this batch: it may follow a second later. */
export const readLatest = async (folder: string, batch: string, tries = 200): Promise<Latest> => {
  for (;;) {
    const text = await readFile(join(folder, 'views/batch/latest.json'), 'utf8').catch(() => '{}');
    const latest = JSON.parse(text) as Latest;
    if (latest.batch === batch || --tries === 0) return latest;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

interface Part {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
  readonly file?: { readonly path: string };
}

/** Files of the parts beyond a cut, as STORED names them (others may lie there too), and how far they go. */
export const partFiles = async (bus: Bus, folder: string, cut: readonly number[]): Promise<{ files: string[]; position: number[] }> => {
  const files: string[] = [];
  const position = [...cut];
  const { last } = await bus.extent('STORED');
  const reader = await bus.read('STORED', { start: 'first', held: 500 });
  try {
    for (let at = 0; at < last; ) {
      await reader.ready();
      for (const { sequence, subject, body } of reader.take(500)) {
        at = sequence;
        if (!subject.startsWith('part.stored.')) continue;
        const { partition, from, to, file } = JSON.parse(Buffer.from(body).toString('utf8')) as Part;
        if (from < (position[partition] as number)) continue;
        if (from !== position[partition]) break; // a gap: what follows does not count
        position[partition] = to;
        if (file !== undefined) files.push(join(folder, file.path));
      }
    }
  } finally {
    await reader.close();
  }
  return { files, position };
};
