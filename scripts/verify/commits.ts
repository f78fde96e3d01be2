/**
 * The commits, from the first on, without a gap: from STORED as far as it has them, below that from the index files that
 * the newest proved manifest names.
 */
import { createHash } from 'node:crypto';
import type { Bus } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import { FileMissingError, messageOf, RetryableError } from '../../infra/errors.js';
import type { Manifest } from '../../protocol/messages/batch.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { readRawStored } from '../../protocol/messages/readers.js';
import type { VerifyWorld } from './counting.js';
import type { Findings } from './findings.js';

/** STORED was purged while it was read: what it had is in an index file by now. */
export const movedOn = 'E_MOVED_ON';

export interface CommitSource {
  readonly manifest: Manifest | undefined;
  /** By partition: where its commits end for this count; later ones are left out. */
  readonly committed: readonly number[];
  /** The last sequence of STORED that is looked at. */
  readonly storedTo: number;
  readonly findings: Findings;
  /** Whether the manifest is still the newest proved one: if not, STORED may have been purged beyond it. Default: it is. */
  readonly isNewest?: () => Promise<boolean>;
}

/** @throws RetryableError with the code `movedOn`: begin again, from the newest manifest */
export async function* readCommits(
  world: VerifyWorld,
  { manifest, committed, storedTo, findings, isNewest }: CommitSource,
): AsyncGenerator<RawStored> {
  const { bus } = world;
  const reached = committed.map(() => 0);
  const follow = (commit: RawStored): void => {
    const { partition, from, to } = commit;
    findings.expect('commits', `commit [${from}, ${to}) of partition ${partition}`, 'its first offset', from, reached[partition] ?? -1);
    reached[partition] = to;
  };
  const inStored = await firstInStored(bus, committed.length, storedTo);
  for await (const commit of indexedCommits(world, manifest, inStored, findings)) {
    follow(commit);
    yield commit;
  }
  for await (const { body, sequence } of readLog(bus, 'STORED', { filter: 'raw.stored.*', to: storedTo })) {
    const commit = readRawStored(body);
    if (commit.to > (committed[commit.partition] ?? Number.POSITIVE_INFINITY)) continue;
    if (commit.from > (reached[commit.partition] ?? 0)) {
      // A batch was proved meanwhile, or what the newest one made superfluous went only now.
      const isPurged = (await firstInStored(bus, committed.length, storedTo)).some((from, p) => from !== inStored[p]);
      if (isPurged || (isNewest !== undefined && !(await isNewest()))) {
        throw new RetryableError(`STORED was purged while it was read, at ${sequence}`, { code: movedOn });
      }
    }
    follow(commit);
    yield commit;
  }
}

/** By partition: the offset at which STORED's commits begin; beyond everything when it has none. */
const firstInStored = async (bus: Bus, partitions: number, storedTo: number): Promise<number[]> =>
  Promise.all(
    Array.from({ length: partitions }, async (_, p) => {
      for await (const { body } of readLog(bus, 'STORED', { filter: `raw.stored.${p}`, to: storedTo, held: 2 }))
        return readRawStored(body).from;
      return Number.POSITIVE_INFINITY;
    }),
  );

/** Every index file is what the manifest names. Yields the commits that STORED does not have any more, in order. */
async function* indexedCommits(
  { storage }: VerifyWorld,
  manifest: Manifest | undefined,
  inStored: readonly number[],
  findings: Findings,
): AsyncGenerator<RawStored> {
  for (const { path, bytes, sha256, from } of manifest?.indexes ?? []) {
    const content = await storage.read(path).catch((error: unknown) => {
      if (!(error instanceof FileMissingError)) throw error;
      findings.add('files', path, 'the index file is not there');
      return Buffer.alloc(0);
    });
    if (content.byteLength === 0) continue;
    findings.expect('files', path, 'its length', content.byteLength, bytes);
    findings.expect('files', path, 'its sha256', createHash('sha256').update(content).digest('hex'), sha256);
    if (from.every((offset, p) => offset >= (inStored[p] ?? 0))) continue;
    for (const line of content.toString('utf8').split('\n')) {
      const commit = line === '' ? undefined : readLine(line, path, findings);
      if (commit !== undefined && commit.from < (inStored[commit.partition] ?? 0)) yield commit;
    }
  }
}

const readLine = (line: string, path: string, findings: Findings): RawStored | undefined => {
  try {
    return readRawStored(line);
  } catch (error) {
    findings.add('files', path, messageOf(error));
    return undefined;
  }
};
