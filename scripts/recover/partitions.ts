/** How many partitions the new history has. */
import { messageOf } from '../../infra/errors.js';
import type { Storage } from '../../infra/storage/storage.js';
import { readManifest } from '../../protocol/messages/readers.js';
import type { Position } from '../../protocol/range.js';
import type { RawScan } from './raw-runs.js';

/** The cut of the batch view that is there; undefined: none is, or it cannot be read. */
export const readOldCut = async (storage: Pick<Storage, 'read'>): Promise<Position | undefined> => {
  try {
    return readManifest(await storage.read('views/batch/latest.json')).cut;
  } catch (error) {
    messageOf(error);
    return undefined;
  }
};

export interface PartitionHints {
  /** What somebody asked for. */
  readonly asked: number | undefined;
  /** How many logs the old store has; 0: there is none. */
  readonly logs: number;
  /** Of the old batch view. */
  readonly cut: Position | undefined;
  readonly byDefault: number;
}

/**
 * As asked; else as many as the data had, as far as that can be seen. A wrong guess loses nothing: sources are put where their
 * subject belongs among so many.
 */
export const choosePartitions = (
  { partitionsPossible, partitionMax }: Pick<RawScan, 'partitionsPossible' | 'partitionMax'>,
  { asked, logs, cut, byDefault }: PartitionHints,
): number => {
  if (asked !== undefined) return asked;
  const isPossible = (partitions: number): boolean => partitionsPossible.includes(partitions);
  const told = [logs, cut?.length ?? 0, byDefault].find(isPossible);
  return told ?? partitionsPossible[0] ?? Math.max(byDefault, partitionMax + 1);
};
