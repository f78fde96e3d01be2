import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import t from 'tap';
import { openLocalStorage } from '../../../infra/storage/local.js';
import type { Manifest } from '../../../protocol/messages/batch.js';
import { readBatchReady, readManifest } from '../../../protocol/messages/readers.js';
import { runnableActors } from '../../../scripts/run-actors.js';
import { bruteForce, compareRows } from '../../system/brute-force.js';
import { publishAll, type Reading, type System, startSystem } from '../../system/system.js';
import { until } from '../../until.js';

/** `web` gets something new each time, `quiet` only the first. */
const readingsOf = (round: number): Reading[] =>
  Array.from({ length: 60 }, (_, i) => ({
    service: round === 1 && i % 2 === 0 ? 'quiet' : 'web',
    host: 'h',
    timestamp: Date.UTC(2026, 9, 10, round) + i * 1_000,
    cpu: i,
    ram: round,
    disk: 50,
  }));

const manifestAt = async ({ data }: System, batch: string): Promise<Manifest> =>
  readManifest(await readFile(path.join(data, `views/batch/${batch}.json`)));

const namedBy = (manifests: readonly Manifest[]): string[] => {
  const paths = manifests.flatMap(({ batch, files, indexes }) => [
    `views/batch/${batch}.json`,
    ...[...files, ...(indexes ?? [])].map((file) => file.path),
  ]);
  return [...new Set(paths)].sort();
};

const filesBelow = async ({ data }: System, folder: string): Promise<string[]> => {
  const storage = await openLocalStorage(data);
  try {
    return (await storage.list(folder)).filter((file) => !file.endsWith('/latest.json'));
  } finally {
    await storage.close();
  }
};

const gone = (system: System, file: string): Promise<true> => until(() => (existsSync(path.join(system.data, file)) ? undefined : true));

t.test('S4: files of batches go when neither the newest proved batch, nor its base, nor an open one names them', async (t) => {
  const system = await startSystem(t);
  const all: Reading[] = [];
  const publishRound = async (round: number): Promise<void> => {
    all.push(...readingsOf(round));
    await publishAll(system, readingsOf(round));
  };
  for (const round of [1, 2, 3]) {
    await publishRound(round);
    t.match(await system.batch(), { batch: `00000${round}`, differences: 0 });
    t.ok(existsSync(path.join(system.data, `views/batch/web/2026-10.00000${round}.parquet`)));
  }
  await gone(system, 'views/batch/000001.json');
  await until(async () => ((await filesBelow(system, 'minutes')).length === 0 ? true : undefined));
  const [second, third] = [await manifestAt(system, '000002'), await manifestAt(system, '000003')];
  t.same(await filesBelow(system, 'views/batch'), namedBy([second, third]), 'those of two batches, and no others');
  t.ok(namedBy([third]).includes('views/batch/quiet/2026-10.000001.parquet'), 'a month without news keeps its file');

  // A batch that is open, for nobody is there who proves it.
  await system.stop();
  const ready = new Promise<Manifest>((resolve) => {
    system.bus.hear('batch.ready', ({ body }) => resolve(manifestAt(system, readBatchReady(body).batch)));
  });
  await system.bus.flush();
  system.start(runnableActors.filter((name) => name !== 'merger'));
  await publishRound(4);
  const proof = system.batch();
  const open = await ready;
  t.equal(open.base, '000003');
  await system.stop();
  t.same(await filesBelow(system, 'views/batch'), namedBy([second, third, open]), 'an open batch and its base keep theirs');

  system.start();
  t.match(await proof, { batch: '000004', differences: 0 });
  await gone(system, 'views/batch/000002.json');
  await system.stop();

  // What others left lying about goes at the next start; what may be of a batch to come stays.
  const leave = async (file: string): Promise<void> => {
    await mkdir(path.dirname(path.join(system.data, file)), { recursive: true });
    await writeFile(path.join(system.data, file), 'of a batch that was abandoned, or is being made');
  };
  const [old, coming] = ['views/batch/zz/2026-09.000002.parquet', 'views/batch/web/2026-09.000005.parquet'];
  await leave(old);
  await leave(coming);
  system.start();
  await gone(system, old); // the last one in order: the sweep is over
  const kept = namedBy([third, await manifestAt(system, '000004')]);
  t.same(await filesBelow(system, 'views/batch'), [...kept, coming].sort());
  const { rows } = await system.rows([]);
  t.same(compareRows(rows, bruteForce(all)), []);
});
