/** What the tests of the guards share: a system with some readings in a batch and some beyond, and looking at what it says. */
import type { Test } from 'tap';
import { PromiseError } from '../../infra/errors.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openLocalStorage } from '../../infra/storage/local.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { readPartStored, readViewProved } from '../../protocol/messages/readers.js';
import { type VerifyReport, verifySystem } from '../../scripts/verify/verify.js';
import { readLog } from '../actors/segment-log.js';
import { until } from '../until.js';
import { bruteForce, compareRows } from './brute-force.js';
import { publishAll, type Reading, type System, startSystem } from './system.js';

/** Ties, two dates on both sides of a month's end, three services on two hosts; each round has minutes of its own and old ones. */
export const readingsOf = (round: number, count: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({
    service: ['web', 'db', 'Ticketing Service'][i % 3] as string,
    host: `h${i % 2}`,
    timestamp: Date.UTC(2026, 9, 31, 23) + (((i * 7 + round * 31) % 140) * 60_000 + (i % 1_000)),
    cpu: (i * 37 + round) % 101,
    ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
    disk: i % 2 === 0 ? 50 : 33.333333,
  }));

export interface Guarded {
  readonly system: System;
  /** The first readings and the first batch. None comes by itself afterwards, for an hour. */
  begin(t: Test): Promise<void>;
  /** Publishes more, and resolves when it is in stored parts and committed. */
  publish(count: number): Promise<void>;
  /** Resolves when answers come from the newest proved batch; its id. */
  answersFrom(): Promise<string>;
  /** Everything that was published is in the answer, exactly once, to the bit. */
  isRight(t: Test, what: string): Promise<void>;
  /** No batch starts; `rebuild` mends it; then a batch goes on over new readings; 0 rows differ in between. */
  isMended(t: Test, repaired: boolean): Promise<void>;
  /** Counts everything again, as `tidemark verify` does. */
  verify(): Promise<VerifyReport>;
  proofs(): Promise<ViewProved[]>;
  /** Files below a folder, by their names in the storage. */
  files(folder: string): Promise<string[]>;
}

export const openGuarded = async (t: Test, flags: Readonly<Record<string, string>> = {}): Promise<Guarded> => {
  const system = await startSystem(t, { partitions: '2', ...flags });
  const { bus, settings, data } = system;
  const readings: Reading[] = [];
  let position: readonly number[] = [0, 0];
  let rounds = 0;
  const storage = await openLocalStorage(data);
  const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: storage.workFolder, allowedFolders: [data] });
  t.teardown(async () => {
    sql.close();
    await storage.close();
  });

  /** Whoever waits hears it when the actors end. */
  const whileRunning = <T>(waited: Promise<T>): Promise<T> =>
    Promise.race([
      waited,
      system.ended.then(() => {
        throw new TypeError('the actors were stopped');
      }),
    ]);
  const isStored = async (): Promise<true | undefined> => {
    for (let p = 0; p < settings.partitions; p++) {
      for (const subject of [`part.stored.${p}`, `raw.stored.${p}`]) {
        const last = await bus.last('STORED', subject);
        const to = last === undefined ? 0 : (JSON.parse(Buffer.from(last.body).toString('utf8')) as { to: number }).to;
        if (to < (position[p] as number)) return undefined;
      }
    }
    return true;
  };
  const publish = async (count: number): Promise<void> => {
    const more = readingsOf(++rounds, count);
    readings.push(...more);
    const reached = await whileRunning(publishAll(system, more));
    position = position.map((to, p) => Math.max(to, reached[p] as number));
    await whileRunning(until(isStored));
  };
  const isRight = async (t: Test, what: string): Promise<void> => {
    const { rows } = await system.rows(position);
    t.same(compareRows(rows, bruteForce(readings)), [], what);
  };
  const proofs = async (): Promise<ViewProved[]> => (await readLog(bus, 'BATCH', 'view.proved')).map(({ body }) => readViewProved(body));
  const answersFrom = async (): Promise<string> => {
    const proved = (await proofs()).findLast(({ differences }) => differences === 0)?.batch;
    return whileRunning(
      until(async () => {
        const terms = await system.rows().then(
          (answer) => answer.terms,
          (error: unknown) => {
            if (!(error instanceof PromiseError)) throw error; // until a mended view is taken over
            return undefined;
          },
        );
        return proved !== undefined && Number(terms?.batch ?? 0) >= Number(proved) ? (terms?.batch ?? undefined) : undefined;
      }),
    );
  };
  const begin = async (t: Test): Promise<void> => {
    await publish(1_500);
    t.match(await system.batch(), { batch: '000001', differences: 0 });
    await system.stop(); // or a batch would come a minute after the first start, and meet what is planted for another
    system.start();
  };
  return {
    system,
    begin,
    publish,
    answersFrom,
    isRight,
    isMended: async (t, repaired) => {
      await t.rejects(system.batch(), { code: 'E_PROMISE', message: /differs .*tidemark rebuild/ }, 'no batch starts');
      const rebuilt = await system.batch('rebuild');
      t.match(rebuilt, { differences: 0, ...(repaired ? { repaired: true, mended: Number } : {}) }, 'rebuild mends it');
      t.equal(rebuilt?.repaired === true, repaired);
      t.ok(Number(await answersFrom()) >= Number(rebuilt?.batch), 'it is taken over');
      await isRight(t, 'after the rebuild');
      await publish(60);
      t.match(await system.batch(), { differences: 0 }, 'batches go on');
      await isRight(t, 'after the next batch');
    },
    verify: () => verifySystem({ bus, storage }, sql),
    proofs,
    files: (folder) => storage.list(folder),
  };
};

/** The file of the newest part of a partition that has one. */
export const newestPart = async ({ bus, settings }: System): Promise<string> => {
  for (let p = 0; p < settings.partitions; p++) {
    const last = await bus.last('STORED', `part.stored.${p}`);
    const file = last === undefined ? undefined : readPartStored(last.body).file;
    if (file !== undefined) return file.path;
  }
  throw new RangeError('no part was stored');
};

/** The error with which the actors end. */
export const endOf = (system: System): Promise<Error> =>
  system.ended.then(
    () => {
      throw new TypeError('they ended cleanly');
    },
    (error: Error) => error,
  );
