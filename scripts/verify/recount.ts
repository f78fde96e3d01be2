/** A manifest's rows counted a second time, from the raw data and apart from the actors: what `rebuild` asks for after a difference. */
import type { Bus } from '../../infra/bus/bus.js';
import type { ViewFiles } from '../../infra/sql/sql.js';
import type { Storage } from '../../infra/storage/storage.js';
import type { Manifest } from '../../protocol/messages/batch.js';
import { readRawStored } from '../../protocol/messages/readers.js';
import { formatMinute } from '../../protocol/time.js';
import { readCommits } from './commits.js';
import { Counting } from './counting.js';
import { Findings } from './findings.js';
import { countRawFiles } from './raw-files.js';

/** @returns what differs, the first of it; nothing when every row is right, to the bit. */
export const recount = async (world: { bus: Bus; storage: Storage; viewFiles: ViewFiles }, manifest: Manifest): Promise<string[]> => {
  const findings = new Findings();
  const counting = new Counting(manifest.cut, findings, () => undefined);
  const lasts = await Promise.all(manifest.cut.map((_, p) => world.bus.last('STORED', `raw.stored.${p}`)));
  const commits = readCommits(world, {
    manifest,
    committed: lasts.map((last) => (last === undefined ? 0 : readRawStored(last.body).to)),
    storedTo: Math.max(0, ...lasts.map((last) => last?.sequence ?? 0)),
    findings,
  });
  await countRawFiles(world, commits, manifest.cut, counting, () => undefined);
  counting.findHoles();
  for (const file of manifest.files) {
    const rows = await world.viewFiles.read(await world.storage.local(file.path, file), { singleService: true });
    for (let i = 0; i < rows.length; i++) {
      const minute = rows.minute[i] as number;
      const wide = rows.wide.get(i);
      const number = (column: Float64Array): number => column[i] as number;
      const sum = (column: Float64Array, exact: number | bigint | undefined): number | string =>
        exact === undefined ? number(column) : String(exact);
      const difference = counting.rows.compare([
        file.service,
        minute,
        sum(rows.cpu, wide?.cpu),
        sum(rows.ram, wide?.ram),
        sum(rows.disk, wide?.disk),
        number(rows.maxCpu),
        number(rows.maxCpuAt),
        number(rows.maxRam),
        number(rows.maxRamAt),
        number(rows.maxDisk),
        number(rows.maxDiskAt),
        number(rows.messages),
      ]);
      if (difference !== undefined) findings.add('rows', `${JSON.stringify(file.service)} ${formatMinute(minute)}`, difference);
    }
    await new Promise(setImmediate); // leases and answers go on meanwhile
  }
  for (const { service, time, records } of counting.rows.left()) {
    findings.add('rows', `${JSON.stringify(service)} ${time}`, `the batch view has no row, ${records} records were counted`);
  }
  return findings.first.map(({ where, what }) => `${where}: ${what}`);
};
