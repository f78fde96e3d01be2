/**
 * Verify: counts everything again from the raw data and the log's tail, by code of its own, and compares with the view.
 *
 * The view is asked first and everything is counted up to its position, so nothing has to stand still. STORED is read
 * before SEGMENTS (F4). What grows is the rows, one bit for each offset, and what SEGMENTS still holds; everything else is
 * read in pieces.
 */

import { readLog } from '../../infra/bus/read-log.js';
import { RetryableError } from '../../infra/errors.js';
import type { Sql } from '../../infra/sql/sql.js';
import type { Manifest } from '../../protocol/messages/batch.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { readPartStored, readRawStored, readTableStored } from '../../protocol/messages/readers.js';
import { type Position, sumPosition } from '../../protocol/range.js';
import { formatMinute } from '../../protocol/time.js';
import { movedOn, readCommits } from './commits.js';
import { Counting, type VerifyWorld } from './counting.js';
import { type Finding, Findings } from './findings.js';
import { countRawFiles, type RawCounted } from './raw-files.js';
import { checkChain, checkSegments, type SegmentEnds } from './segments.js';
import { askWholeView, type WholeView } from './view-answer.js';
import { checkLatest, checkViewFiles, type FilesChecked, loadManifest, newestProof } from './view-files.js';

export interface VerifyReport {
  /** Of the view, and of the count. */
  readonly position: Position;
  readonly batch: string | null;
  /** Counted below the position. */
  readonly records: number;
  /** Compared, to the bit. */
  readonly rows: number;
  readonly commits: number;
  readonly segments: number;
  readonly files: FilesChecked & { raw: number; rawBytes: number };
  readonly differences: number;
  /** The first of them. */
  readonly found: readonly Finding[];
  readonly seconds: number;
}

/** What is being done, and how far it has got: records counted of all, or -1 where that is not known. */
export type VerifyProgress = (doing: string, records: number, of: number) => void;

const triesMax = 5;

/** @throws OutOfReachError when nobody answers; PromiseError when the view cannot be answered at all */
export const verifySystem = async (world: VerifyWorld, sql: Sql, progress: VerifyProgress = () => undefined): Promise<VerifyReport> => {
  const startedAt = performance.now();
  progress('asking the view', 0, 0);
  const view = await askWholeView(world.bus);
  for (let tries = 1; ; tries++) {
    try {
      return await count(world, sql, view, progress, startedAt);
    } catch (error) {
      const isMoved = error instanceof RetryableError && error.code === movedOn;
      if (!isMoved || tries === triesMax) throw error;
    }
  }
};

const count = async (world: VerifyWorld, sql: Sql, view: WholeView, progress: VerifyProgress, startedAt: number): Promise<VerifyReport> => {
  const { position } = view.terms;
  const partitions = position.length;
  const total = sumPosition(position);
  const findings = new Findings();
  const counting = new Counting(position, findings, (records) => progress('counting', records, total));
  const proof = await newestProof(world.bus);
  const manifest = await loadManifest(world, proof, new Findings()); // what is wrong with it is noted with the other files
  const isNewest = async (): Promise<boolean> => (await newestProof(world.bus))?.batch === proof?.batch;
  const { storedTo, committed } = await storedEnds(world, partitions);
  const segments: SegmentEnds[] = [];
  for (let p = 0; p < partitions; p++) segments.push(await checkSegments(world.bus, p, committed[p] as number, counting));
  const seen = (commit: RawStored): void =>
    chainOf(`commit [${commit.from}, ${commit.to}) of partition ${commit.partition}`, commit, segments, counting);
  const commits = readCommits(world, { manifest, committed, storedTo, findings, isNewest });
  const raw = await countRawFiles(world, commits, manifest?.cut ?? [], counting, seen);
  counting.findHoles();
  checkManifestRaw(manifest, raw, findings);
  await checkOtherChains(world, storedTo, segments, counting);
  progress('comparing rows', total, total);
  const rows = await compareRows(view, counting);
  progress('checking files', total, total);
  const files = await checkViewFiles(world, sql, partitions, findings, () => progress('checking files', total, total));
  await checkLatest(world, findings);
  return {
    position,
    batch: view.terms.batch,
    records: counting.rows.records,
    rows,
    commits: raw.commits,
    segments: segments.reduce((sum, one) => sum + one.segments, 0),
    files: { raw: raw.files.size, rawBytes: raw.bytes, ...files },
    differences: findings.differences,
    found: findings.first,
    seconds: Math.round(performance.now() - startedAt) / 1_000,
  };
};

/** Where STORED ends now, and where each partition's commits do. */
const storedEnds = async ({ bus }: VerifyWorld, partitions: number): Promise<{ storedTo: number; committed: number[] }> => {
  const committed: number[] = [];
  for (let p = 0; p < partitions; p++) {
    const last = await bus.last('STORED', `raw.stored.${p}`);
    committed.push(last === undefined ? 0 : readRawStored(last.body).to);
  }
  return { storedTo: (await bus.extent('STORED')).last, committed }; // later commits are left out
};

const chainOf = (
  name: string,
  { partition, to, segments: place }: RawStored | PartStored,
  segments: readonly SegmentEnds[],
  counting: Counting,
): void => {
  const ends = segments[partition];
  if (ends === undefined) counting.findings.add('commits', name, `there is no partition ${partition}`);
  else checkChain(name, to, place, ends, counting);
};

/** F4: parts and snapshots of which STORED told before SEGMENTS was read. */
const checkOtherChains = async (
  { bus }: VerifyWorld,
  storedTo: number,
  segments: readonly SegmentEnds[],
  counting: Counting,
): Promise<void> => {
  for await (const { subject, body } of readLog(bus, 'STORED', { filter: 'part.stored.*', to: storedTo })) {
    const part = readPartStored(body);
    chainOf(`${subject} [${part.from}, ${part.to})`, part, segments, counting);
  }
  for await (const { subject, body } of readLog(bus, 'STORED', { filter: 'table.stored.*', to: storedTo })) {
    const { partition, offset, segments: place } = readTableStored(body);
    const ends = segments[partition];
    if (ends !== undefined) checkChain(`${subject} at ${offset}`, offset, place, ends, counting);
  }
};

/** What the manifest says of each raw file is what the commits below its cut say. */
const checkManifestRaw = (manifest: Manifest | undefined, raw: RawCounted, findings: Findings): void => {
  if (manifest === undefined) return;
  for (const { path, bytes, records } of manifest.raw) {
    const where = `${path} in the manifest of batch ${manifest.batch}`;
    findings.expect('files', where, 'its committed length', bytes, raw.files.get(path)?.bytes ?? 0);
    findings.expect('files', where, 'its number of records', records, raw.files.get(path)?.records ?? 0);
  }
};

/** @returns how many rows the view has. */
const compareRows = async ({ terms, rows }: WholeView, counting: Counting): Promise<number> => {
  const { findings } = counting;
  let compared = 0;
  let records = 0;
  for (const tuple of rows()) {
    const difference = counting.rows.compare(tuple);
    if (difference !== undefined) findings.add('rows', `${JSON.stringify(tuple[0])} ${formatMinute(tuple[1] as number)}`, difference);
    compared += 1;
    records += tuple.at(-1) as number;
    if (compared % 10_000 === 0) await new Promise(setImmediate); // the connection's heartbeats
  }
  for (const { service, time, records: counted } of counting.rows.left()) {
    findings.add('rows', `${JSON.stringify(service)} ${time}`, `the view has no row, ${counted} records were counted`);
  }
  findings.expect('sum', `the view at ${terms.position.join(',')}`, 'msg_num over all rows', records, sumPosition(terms.position));
  findings.expect('sum', 'the count', 'the number of records', counting.rows.records, sumPosition(terms.position));
  return compared;
};
