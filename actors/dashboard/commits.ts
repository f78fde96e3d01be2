/**
 * Where the records of a minute are: which byte ranges of which raw files, by the commits; and where commits end.
 *
 * Commits are in STORED above the newest proved cut, below it in index files, which never change.
 */
import type { Bus } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import { FileMissingError, RetryableError } from '../../infra/errors.js';
import type { Storage } from '../../infra/storage/storage.js';
import type { Manifest, ViewProved } from '../../protocol/messages/batch.js';
import type { CommittedBytes, RawStored } from '../../protocol/messages/raw-stored.js';
import { readManifest, readRawStored } from '../../protocol/messages/readers.js';
import { dateOf } from '../../protocol/time.js';
import { newestProved, readProofs } from '../scheduler/begin.js';

export interface CommittedRange extends CommittedBytes {
  readonly partition: number;
}

export interface CommittedMinute {
  readonly ranges: readonly CommittedRange[];
  /** By partition: behind which segment, and from which offset on, records are in SEGMENTS alone. */
  readonly ends: readonly { readonly sequence: number; readonly offset: number }[];
}

const indexesKeptMax = 64;
const triesMax = 3;

export class CommitFinder {
  readonly #indexes = new Map<string, readonly RawStored[]>();
  #manifest: { readonly path: string; readonly manifest: Manifest } | undefined;

  constructor(
    readonly storage: Storage,
    readonly partitions: number,
  ) {}

  /** @throws RetryableError while batches follow too quickly */
  async find(bus: Bus, minute: number): Promise<CommittedMinute> {
    for (let tries = 0; tries < triesMax; tries++) {
      const found = await this.#try(bus, minute);
      if (found !== undefined) return found;
    }
    throw new RetryableError('the commits were moved while they were read: ask again');
  }

  /** Undefined: STORED was purged, or an index file replaced, between the two looks. */
  async #try(bus: Bus, minute: number): Promise<CommittedMinute | undefined> {
    const proved = newestProved(await readProofs(bus));
    const manifest = proved && (await this.#load(proved));
    const ranges: CommittedRange[] = [];
    const seen = new Set<string>();
    const add = ({ partition, from, files }: RawStored): void => {
      if (seen.has(`${partition} ${from}`)) return; // in both
      seen.add(`${partition} ${from}`);
      for (const file of files) {
        if (file.minuteMin <= minute && minute <= file.minuteMax) ranges.push({ ...file, partition });
      }
    };
    if (manifest !== undefined) for (const commit of await this.#indexed(manifest, minute)) add(commit);
    const ends = await Promise.all(
      Array.from({ length: this.partitions }, async (_, p) => {
        const reached = manifest?.cut[p] ?? 0;
        const last = await bus.last('STORED', `raw.stored.${p}`);
        if (last === undefined) return { sequence: 0, offset: 0 };
        let isFirst = true;
        for await (const { body } of readLog(bus, 'STORED', { filter: `raw.stored.${p}`, to: last.sequence })) {
          const commit = readRawStored(body);
          if (isFirst && commit.from > reached) return undefined;
          isFirst = false;
          add(commit);
        }
        const { segments, to } = readRawStored(last.body);
        return { sequence: segments.sequence, offset: to };
      }),
    );
    return ends.some((end) => end === undefined) ? undefined : { ranges, ends: ends.filter((end) => end !== undefined) };
  }

  /** The newest proved manifest; it never changes. */
  async #load({ manifest: { path } }: ViewProved): Promise<Manifest> {
    if (this.#manifest?.path === path) return this.#manifest.manifest;
    const manifest = readManifest(await this.storage.read(path));
    this.#manifest = { path, manifest };
    return manifest;
  }

  /** Commits of those index files that may hold some of the minute's date. */
  async #indexed({ raw, indexes = [] }: Manifest, minute: number): Promise<RawStored[]> {
    const folder = `raw/${dateOf(minute)}/`;
    const ofDate = raw.filter(({ path }) => path.startsWith(folder));
    const commits: RawStored[] = [];
    for (const { path, from, to } of indexes) {
      const isWanted = ofDate.some((file) => file.from < (to[file.partition] ?? 0) && file.to > (from[file.partition] ?? 0));
      if (isWanted) for (const commit of await this.#index(path)) commits.push(commit);
    }
    return commits;
  }

  async #index(path: string): Promise<readonly RawStored[]> {
    const known = this.#indexes.get(path);
    if (known !== undefined) return known;
    const text = await this.storage.read(path).catch((error: unknown) => {
      if (!(error instanceof FileMissingError)) throw error;
      throw new RetryableError(`the index file ${path} is not there: run tidemark verify`, { cause: error });
    });
    const commits = text
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => readRawStored(line));
    if (this.#indexes.size >= indexesKeptMax) this.#indexes.delete(this.#indexes.keys().next().value as string);
    this.#indexes.set(path, commits);
    return commits;
  }
}
