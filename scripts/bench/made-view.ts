/** A batch view without its raw data, for questions: minute rows from a formula, reduced to month files and proved in BATCH. */
import { join } from 'node:path';
import { reduceServices } from '../../actors/reducer.js';
import { writeManifest } from '../../actors/scheduler/manifest.js';
import type { Bus } from '../../infra/bus/bus.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openLocalStorage } from '../../infra/storage/local.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { copyToParquet, rowColumns } from '../../protocol/minute-row-sql.js';

export interface MadeServices {
  readonly services: number;
  /** Whole months, YYYY-MM-01 of the first and of the one behind the last. */
  readonly from: string;
  readonly to: string;
}

const recordsPerRow = 50;

/** Folded peaks are not needed here: a maximum, and a moment of its minute. */
const rowsOf = ({ services, from, to }: MadeServices): string => {
  const number = (salt: number, below: number): string => `(hash(s, m, ${salt}) % ${below})::BIGINT`;
  const peak = (name: string, salt: number): string =>
    `${number(salt, 100)} * 1000000 AS max_${name}, m + ${number(salt + 1, 60_000)} AS max_${name}_at`;
  return `SELECT 'service-' || s AS service, m AS minute, ${number(1, 5000)} * 1000000 AS cpu, ${number(2, 5000)} * 1000000 AS ram,
    ${number(3, 5000)} * 1000000 AS disk, ${peak('cpu', 4)}, ${peak('ram', 6)}, ${peak('disk', 8)}, ${recordsPerRow}::BIGINT AS messages
    FROM range(${services}) AS services(s), range(epoch_ms(TIMESTAMP '${from}'), epoch_ms(TIMESTAMP '${to}'), 60000) AS minutes(m)`;
};

/** Writes the view's files below `data` and says in BATCH that it is proved; a merger that starts then answers from it. */
export const makeProvedView = async (data: string, bus: Bus, partitions: number, made: readonly MadeServices[]): Promise<void> => {
  const batch = '000001';
  const storage = await openLocalStorage(data);
  const sql = await openDuckdb({
    memoryMiB: 1024,
    threads: 1,
    tempFolder: join(data, 'spill'),
    allowedFolders: [data],
  });
  try {
    const all = made.map((one) => rowsOf(one)).join(' UNION ');
    const localFile = join(storage.workFolder, 'rows.parquet');
    await sql.run(...copyToParquet(`SELECT ${rowColumns.join(', ')} FROM (${all})`, 'COMPRESSION zstd', localFile, {}));
    const { existed: _, ...input } = await storage.adopt(localFile, `minutes/${batch}/0.parquet`);
    const reduced = await reduceServices(
      {
        batch,
        task: 0,
        buckets: 1,
        base: null,
        dates: [],
        inputs: [{ ...input, records: 0 }],
        output: `minutes/${batch}/services-0.json`,
      },
      { storage, sql },
    );
    const { records } = reduced;
    const cut = Array.from(
      { length: partitions },
      (_, p) => Math.floor((records * (p + 1)) / partitions) - Math.floor((records * p) / partitions),
    );
    const requestedAt = Date.now();
    const draft = {
      batch,
      base: null,
      cut,
      requestedAt,
      raw: [],
      recomputed: {},
      refused: {},
      missing: [],
      format: 1 as const,
    };
    const { manifest, rows } = await writeManifest({ storage }, { draft, index: undefined }, [reduced.listing]);
    const proved: ViewProved = { batch, cut, records, rows, differences: 0, examples: [], manifest, requestedAt };
    await bus.publish('view.proved', JSON.stringify(proved));
  } finally {
    sql.close();
    await storage.close();
  }
};
