/** The new data: a log written from the raw records, and the actors that make everything else from it, until the view is proved. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Env } from '../../infra/actor/env.js';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { ensureStreams } from '../../infra/bus/streams.js';
import { credentialsFor } from '../../infra/bus/users.js';
import type { Settings } from '../../infra/config.js';
import { OutOfReachError, PromiseError, RetryableError, UsageError } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import { addressBelow } from '../../infra/storage/hdfs/address.js';
import { openStorage } from '../../infra/storage/open.js';
import type { Storage } from '../../infra/storage/storage.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { readManifest, readPartStored, readRawStored, readViewProved } from '../../protocol/messages/readers.js';
import { encodeName, partitionOf } from '../../protocol/name-code.js';
import { type Position, samePosition, sumPosition } from '../../protocol/range.js';
import { askBatch } from '../ask-batch.js';
import { type RunnableActor, runActors } from '../run-actors.js';
import { movedOn, readCommits } from '../verify/commits.js';
import { Findings } from '../verify/findings.js';
import { stagingName } from './change-over.js';
import { Fingerprint, fingerprintOf } from './fingerprint.js';
import { runOwnServer } from './own-server.js';
import type { RawRecord } from './raw-line.js';
import { type Dropped, mergeRuns } from './raw-records.js';
import type { RawScan } from './raw-runs.js';
import { interrupted, type RecoverOptions, type RecoverReport } from './recover.js';
import { SegmentWriter } from './segment-writer.js';

/** All that make data but the buffer, whose place is taken. */
const actors: readonly RunnableActor[] = ['uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger'];

const batchMsMax = 24 * 3_600_000;
const lookEveryMs = 200;
const holesShownMax = 100;
const MiB = 2 ** 20;

export interface RebuildOptions extends RecoverOptions {
  /** Of the old data. */
  readonly storage: Storage;
  readonly scan: RawScan;
  readonly partitions: number;
  /** Of the old batch view. */
  readonly cut: Position | undefined;
}

type Rebuilt = Omit<RecoverReport, 'partitions' | 'records' | 'read' | 'old' | 'seconds'>;

/** @throws PromiseError when what was made is not what was read */
export const rebuildFrom = async (options: RebuildOptions): Promise<Rebuilt> => {
  const { settings, partitions } = options;
  const data = path.join(settings.data, stagingName);
  const storage = settings.storage === 'local' ? 'local' : addressBelow(settings.storage, stagingName);
  const staged: Settings = { ...settings, data, storage, partitions, instances: 1, coordinator: 'nats' };
  if (settings.nats !== undefined) {
    return rebuildWith(options, { ...staged, nats: settings.nats, natsCreds: credentialsFor(settings, 'operator') });
  }
  const server = await runOwnServer(staged);
  try {
    return await rebuildWith(options, { ...staged, nats: server.url, natsCreds: credentialsFor({ data }, 'operator') });
  } finally {
    await server.stop();
  }
};

type Joined = Settings & { readonly nats: string };

const rebuildWith = async (options: RebuildOptions, settings: Joined): Promise<Rebuilt> => {
  const bus = await openBus(settings, 'tidemark recover');
  const stop = new AbortController();
  const storage = await openStorage(settings);
  let running: Promise<void> = Promise.resolve();
  try {
    await ensureStreams(settings);
    const log = createLog(settings);
    running = runActors(actors, settings, { signal: stop.signal, log });
    const ended = running.then((): never => {
      throw new OutOfReachError('the actors ended');
    });
    const stopped = new Promise<never>((_, reject) => {
      if (options.signal.aborted) reject(interrupted());
      options.signal.addEventListener('abort', () => reject(interrupted()), { once: true });
    });
    const env: Env = {
      bus,
      storage,
      settings,
      log,
      now: Date.now,
      instance: 'recover',
      engine: () => Promise.reject(new UsageError('a log is written without SQL')),
      recount: () => Promise.reject(new UsageError('a log is written without a count')),
    };
    ended.catch(() => undefined);
    stopped.catch(() => undefined);
    return await Promise.race([rebuildOn(options, env), ended, stopped]);
  } finally {
    stop.abort();
    await running.catch(() => undefined);
    await storage.close();
    await bus.close();
  }
};

const rebuildOn = async (options: RebuildOptions, env: Env): Promise<Rebuilt> => {
  const { bus, storage, settings } = env;
  const writers = Array.from(
    { length: options.partitions },
    (_, partition) =>
      new SegmentWriter({
        env,
        partition,
        snapshotRecords: settings.snapshotRecords,
        snapshotBytes: Math.min(64 * MiB, settings.segmentsBytesMax / 4),
        now: Date.now(),
      }),
  );
  const written = await writeAll(options, writers);
  const position = writers.map(({ to }) => to);
  const proved = await proveAll(bus, position, (done) => options.progress('making views', done, sumPosition(position)));
  if (proved !== null) await compareRaw({ bus, storage }, proved, written.read, options);
  const missing = new Map<string, number>();
  for (const [service, count] of writers.flatMap(({ table }) => [...table.missing])) {
    if (count > 0) missing.set(service, (missing.get(service) ?? 0) + count);
  }
  return {
    position,
    batch: proved?.batch ?? null,
    rows: proved?.rows ?? 0,
    sources: writers.reduce((sum, { table }) => sum + table.entries.size, 0),
    dropped: {
      ...written.dropped,
      copies: writers.reduce((sum, { copies }) => sum + copies, 0),
      torn: options.scan.torn,
      unreadable: options.scan.unreadable,
    },
    lost: written.lost,
    holes: written.holes,
    damaged: written.damaged,
    renumbered: written.renumbered,
    missing: Object.fromEntries(missing),
  };
};

interface Written {
  /** Of all that was taken. */
  readonly read: Fingerprint;
  readonly dropped: Dropped;
  lost: number;
  damaged: number;
  renumbered: boolean;
  readonly holes: { partition: number; from: number; to: number }[];
}

/** Every record, in the order of its old partition, into the log where it belongs. */
const writeAll = async ({ storage, scan, partitions, cut, progress }: RebuildOptions, writers: SegmentWriter[]): Promise<Written> => {
  const written: Written = {
    read: new Fingerprint(),
    dropped: { doubles: 0, conflicts: 0 },
    lost: 0,
    damaged: 0,
    renumbered: false,
    holes: [],
  };
  const staysWhereItIs = scan.partitionsPossible.includes(partitions);
  let taken = 0;
  for (let partition = 0; partition < Math.max(scan.partitionMax + 1, cut?.length ?? 0); partition++) {
    let next = 0;
    let belowCut = 0;
    const runs = scan.runs.filter((run) => run.partition === partition);
    const hole = (from: number, to: number): void => {
      written.lost += to - from;
      if (written.holes.length < holesShownMax) written.holes.push({ partition, from, to });
    };
    for await (const records of mergeRuns(storage, runs, written.dropped)) {
      for (const record of records) {
        if (record.offset > next) hole(next, record.offset);
        next = record.offset + 1;
        if (record.offset < (cut?.[partition] ?? 0)) belowCut += 1;
        const writer = writers[staysWhereItIs ? partition : placeOf(record, partitions)] as SegmentWriter;
        const offset = writer.to;
        if (!(await writer.add(record))) continue;
        written.renumbered ||= offset !== record.offset || !staysWhereItIs;
        written.read.add(record.content);
      }
      taken += records.length;
      progress('writing logs', taken, scan.records);
    }
    const wanted = cut?.[partition] ?? 0;
    if (next < wanted) hole(next, wanted);
    written.damaged += wanted - belowCut;
  }
  for (const writer of writers) await writer.end();
  return written;
};

/** Where what its source sends next will go. */
const placeOf = ({ subject, reading }: RawRecord, partitions: number): number =>
  partitionOf(subject ?? `metrics.${encodeName(reading.service)}.${encodeName(reading.host)}`, partitions);

/** Waits until the layers have it all, then for a batch of it. @returns its proof; null: there is no record */
const proveAll = async (bus: Bus, position: Position, progress: (done: number) => void): Promise<ViewProved | null> => {
  const ends = (subject: string, read: (body: Uint8Array) => { to: number }): Promise<number[]> =>
    Promise.all(
      position.map(async (_, p) => {
        const last = await bus.last('STORED', `${subject}.${p}`);
        return last === undefined ? 0 : read(last.body).to;
      }),
    );
  for (;;) {
    const [raw, parts] = [await ends('raw.stored', readRawStored), await ends('part.stored', readPartStored)];
    progress(raw.reduce((sum, to, p) => sum + Math.min(to, parts[p] as number), 0));
    if (samePosition(raw, position) && samePosition(parts, position)) break;
    bus.tell('part.asked', '');
    await sleep(lookEveryMs);
  }
  if (sumPosition(position) === 0) return null;
  await askBatch(bus, 'batch', batchMsMax);
  const last = await bus.last('BATCH', 'view.proved');
  const proved = last && readViewProved(last.body);
  if (proved === undefined || proved.differences > 0 || !samePosition(proved.cut, position) || proved.records !== sumPosition(position)) {
    throw new PromiseError(
      `the new batch view is not what was read: ${proved === undefined ? 'none was proved' : `batch ${proved.batch}, ${proved.differences} differences, ${proved.records} records`}, ` +
        `${sumPosition(position)} were read. The old data is as it was`,
    );
  }
  return proved;
};

/** What the new raw files hold is what was read from the old ones, whatever its order. */
const compareRaw = async (
  world: Pick<Env, 'bus' | 'storage'>,
  { manifest: named, cut }: ViewProved,
  read: Fingerprint,
  { progress }: RebuildOptions,
): Promise<void> => {
  const manifest = readManifest(await world.storage.read(named.path));
  const count = async (triesLeft: number): Promise<{ found: Fingerprint; findings: Findings }> => {
    const findings = new Findings();
    const storedTo = (await world.bus.extent('STORED')).last;
    const commits = readCommits(world, { manifest, committed: cut, storedTo, findings });
    try {
      const found = await fingerprintOf(world.storage, commits, (records) => progress('comparing raw files', records, read.records));
      return { found, findings };
    } catch (error) {
      // The scheduler has just purged what the batch made superfluous: the index files have it.
      if (triesLeft > 0 && error instanceof RetryableError && error.code === movedOn) return count(triesLeft - 1);
      throw error;
    }
  };
  const { found, findings } = await count(5);
  if (findings.differences > 0 || String(found) !== String(read)) {
    throw new PromiseError(
      `the new raw files hold ${found}, read were ${read}${findings.first.map(({ where, what }) => `; ${where}: ${what}`).join('')}. ` +
        'The old data is as it was',
    );
  }
};
