/**
 * Every file that the newest proved manifest and the parts beyond its cut name: length, sha256, and the sum of msg_num.
 *
 * A batch may be proved meanwhile, and files below its cut may go: what is missing is looked for again, from the newest
 * manifest on, before it counts as a difference.
 */
import { createHash } from 'node:crypto';
import type { Bus } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import { FileMissingError, messageOf } from '../../infra/errors.js';
import type { Sql } from '../../infra/sql/sql.js';
import type { Manifest, ViewProved } from '../../protocol/messages/batch.js';
import { readManifest, readPartStored, readTableStored, readViewProved } from '../../protocol/messages/readers.js';
import { sumPosition } from '../../protocol/range.js';
import type { VerifyWorld } from './counting.js';
import { Findings } from './findings.js';

const triesMax = 5;
const filesAtOnce = 256;
const pauseMs = 300;
/** latest.json may follow a proof some time later. */
const latestMsMax = 3_000;
const latestPath = 'views/batch/latest.json';

interface NamedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A view file, and what its rows must be. `service` and `month` where it is one service's month. */
interface NamedRows extends NamedFile {
  readonly records: number;
  readonly rows: number;
  readonly service?: string;
  readonly month?: string;
  readonly newest?: number;
}

export interface FilesChecked {
  batch: number;
  parts: number;
  snapshots: number;
  bytes: number;
}

/** The newest batch that all answer from: proved without a difference, or rebuilt and counted twice. */
export const newestProof = async (bus: Bus): Promise<ViewProved | undefined> => {
  const { last } = await bus.extent('BATCH');
  let newest: ViewProved | undefined;
  for await (const { body } of readLog(bus, 'BATCH', { filter: 'view.proved', to: last })) {
    const proved = readViewProved(body);
    if (proved.differences === 0 || proved.repaired === true) newest = proved;
  }
  return newest;
};

export const hashStored = async ({ storage }: VerifyWorld, path: string): Promise<{ bytes: number; sha256: string }> => {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of storage.stream(path)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
};

/** A proved manifest, as far as its file is what its proof names; what is wrong with it is noted. */
export const loadManifest = async (
  world: VerifyWorld,
  proof: ViewProved | undefined,
  findings: Findings,
): Promise<Manifest | undefined> => {
  if (proof === undefined) return undefined;
  const { path } = proof.manifest;
  try {
    await checkFile(world, proof.manifest, findings);
    return readManifest(await world.storage.read(path));
  } catch (error) {
    findings.add('files', path, error instanceof FileMissingError ? 'the manifest is not there' : messageOf(error));
    return undefined;
  }
};

/** @returns whether it is what was named. @throws FileMissingError */
const checkFile = async (world: VerifyWorld, { path, bytes, sha256 }: NamedFile, findings: Findings): Promise<boolean> => {
  const before = findings.differences;
  const found = await hashStored(world, path);
  findings.expect('files', path, 'its length', found.bytes, bytes);
  findings.expect('files', path, 'its sha256', found.sha256, sha256);
  return findings.differences === before;
};

export const checkViewFiles = async (
  world: VerifyWorld,
  sql: Sql,
  partitions: number,
  findings: Findings,
  progress: (done: number) => void,
): Promise<FilesChecked> => {
  for (let tries = 1; ; tries++) {
    const found = new Findings();
    const checked: FilesChecked = { batch: 0, parts: 0, snapshots: 0, bytes: 0 };
    const proof = await newestProof(world.bus);
    const isMissing = await checkOnce(world, sql, partitions, proof, found, checked, progress);
    const isStale = found.differences > 0 && (await newestProof(world.bus))?.batch !== proof?.batch;
    if (!(isMissing || isStale) || tries === triesMax) {
      findings.addAll(found);
      return checked;
    }
    await new Promise((resolve) => {
      setTimeout(resolve, pauseMs);
    });
  }
};

/** @returns whether a file was not there. */
const checkOnce = async (
  world: VerifyWorld,
  sql: Sql,
  partitions: number,
  proof: ViewProved | undefined,
  findings: Findings,
  checked: FilesChecked,
  progress: (done: number) => void,
): Promise<boolean> => {
  const manifest = await loadManifest(world, proof, findings);
  const monthFiles = (manifest?.files ?? []).map((file): NamedRows => ({ ...file, records: file.msg_num }));
  if (manifest !== undefined) {
    checked.batch = monthFiles.length;
    findings.expect(
      'sum',
      `the manifest of batch ${manifest.batch}`,
      'msg_num over its files',
      monthFiles.reduce((sum, { records }) => sum + records, 0),
      sumPosition(manifest.cut),
    );
  }
  const partFiles = await partsBeyond(world.bus, manifest, partitions, findings);
  checked.parts = partFiles.length;
  const all = [...monthFiles, ...partFiles];
  let isMissing = false;
  for (let from = 0; from < all.length; from += filesAtOnce) {
    const group: NamedRows[] = [];
    for (const file of all.slice(from, from + filesAtOnce)) {
      checked.bytes += file.bytes;
      try {
        if (await checkFile(world, file, findings)) group.push(file); // else its rows cannot be trusted, or read
      } catch (error) {
        if (!(error instanceof FileMissingError)) throw error;
        findings.add('files', file.path, 'the file is not there');
        isMissing = true;
      }
    }
    await checkRows(world, sql, group, findings);
    progress(from + filesAtOnce);
  }
  return (await checkSnapshots(world, partitions, findings, checked)) || isMissing;
};

/** The rows of view files: how many, of how many records, and of whose month. One query for all: there may be very many. */
const checkRows = async ({ storage }: VerifyWorld, sql: Sql, files: readonly NamedRows[], findings: Findings): Promise<void> => {
  if (files.length === 0) return;
  const localFiles = await Promise.all(files.map(({ path }) => storage.local(path)));
  const all = await sql.rows(
    `SELECT filename, count(*) AS rows, coalesce(sum(msg_num), 0)::BIGINT AS records, min(service) AS first, max(service) AS last,
    min(time_stamp) AS since, max(time_stamp) AS until
    FROM read_parquet($files, hive_partitioning = false, union_by_name = true, filename = true) GROUP BY filename`,
    { files: localFiles },
  );
  const byFile = new Map(all.map((found) => [String(found.filename), found]));
  for (const [i, file] of files.entries()) {
    const found = byFile.get(localFiles[i] as string); // none: it has no row
    findings.expect('files', file.path, 'msg_num over its rows', Number(found?.records ?? 0), file.records);
    findings.expect('files', file.path, 'its number of rows', Number(found?.rows ?? 0), file.rows);
    if (file.service === undefined || found === undefined) continue;
    for (const service of [found.first, found.last]) findings.expect('files', file.path, 'its service', String(service), file.service);
    for (const time of [found.since, found.until])
      findings.expect('files', file.path, 'its month', String(time).slice(0, 7), file.month as string);
    if (file.newest !== undefined) findings.expect('files', file.path, 'its newest minute', Date.parse(String(found.until)), file.newest);
  }
};

/** Parts go on from the cut, one behind the other. */
const partsBeyond = async (bus: Bus, manifest: Manifest | undefined, partitions: number, findings: Findings): Promise<NamedRows[]> => {
  const { last } = await bus.extent('STORED');
  const reached = Array.from({ length: partitions }, (_, p) => manifest?.cut[p] ?? 0);
  const files: NamedRows[] = [];
  for await (const { body } of readLog(bus, 'STORED', { filter: 'part.stored.*', to: last })) {
    const { partition, from, to, file, rows } = readPartStored(body);
    if (to <= (manifest?.cut[partition] ?? 0)) continue;
    const where = `part [${from}, ${to}) of partition ${partition}`;
    findings.expect('files', where, 'its first offset', from, reached[partition] ?? -1);
    reached[partition] = to;
    if (file !== undefined) files.push({ ...file, rows, records: to - from });
    else if (to > from) findings.add('files', where, 'it names no file');
  }
  return files;
};

/** The newest snapshot of each buffer's table. @returns whether one was not there */
const checkSnapshots = async (world: VerifyWorld, partitions: number, findings: Findings, checked: FilesChecked): Promise<boolean> => {
  let isMissing = false;
  for (let p = 0; p < partitions; p++) {
    const last = await world.bus.last('STORED', `table.stored.${p}`);
    if (last === undefined) continue;
    const { file } = readTableStored(last.body);
    checked.snapshots += 1;
    checked.bytes += file.bytes;
    try {
      await checkFile(world, file, findings);
    } catch (error) {
      if (!(error instanceof FileMissingError)) throw error;
      findings.add('files', file.path, 'the snapshot is not there');
      isMissing = true;
    }
  }
  return isMissing;
};

/** M3: the same bytes as the newest proved manifest's. */
export const checkLatest = async (world: VerifyWorld, findings: Findings): Promise<void> => {
  const until = Date.now() + latestMsMax;
  for (;;) {
    const proof = await newestProof(world.bus);
    const wanted = proof?.manifest.sha256 ?? 'that of no file';
    const found = await hashStored(world, latestPath).then(
      ({ sha256 }) => sha256,
      (error: unknown) => {
        if (error instanceof FileMissingError) return 'that of no file';
        throw error;
      },
    );
    if (found === wanted) return;
    if (Date.now() > until) {
      findings.add(
        'latest',
        latestPath,
        `its sha256 is ${found}, the manifest of the newest proved batch (${proof?.batch ?? 'none'}) has ${wanted}`,
      );
      return;
    }
    await new Promise((resolve) => {
      setTimeout(resolve, pauseMs);
    });
  }
};
