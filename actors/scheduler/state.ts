/** What the scheduler knows: commits and parts beyond the proved cut, and the batch that is open. */
import type { PlainMessage } from '../../infra/bus/bus.js';
import type {
  BatchReady,
  BatchRequested,
  Manifest,
  RangeMapped,
  ServicesAssigned,
  ServicesReduced,
  ViewProved,
} from '../../protocol/messages/batch.js';
import type { Missing, Refused } from '../../protocol/messages/fields.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { type Position, zeroPosition } from '../../protocol/range.js';
import { RefusedTally, refusedFileBytesMax } from '../../protocol/refused-tally.js';
import { sha256Of } from '../../protocol/sha256.js';
import { addCommit, type RawFile } from './plan.js';

/** The newest proved batch, on which the next one builds (S5). */
export interface Base {
  readonly batch: string | null;
  readonly cut: Position;
  readonly manifest: ServicesAssigned['base'];
  readonly requestedAt: number;
  readonly recomputed: Manifest['recomputed'];
  readonly recomputedAt: number;
  readonly refused: Refused;
  readonly missing: readonly Missing[];
  readonly indexes: NonNullable<Manifest['indexes']>;
}

/** A file's path and content, decided and not yet written. */
export interface PlannedFile {
  readonly path: string;
  readonly content: Buffer;
}

export interface OpenBatch {
  readonly requested: BatchRequested;
  /** How many records the mappers must find. */
  readonly expected: number;
  readonly mapped: Map<number, RangeMapped>;
  readonly reduced: Map<number, ServicesReduced>;
  /** Everything of the manifest but its files. */
  readonly draft: Omit<Manifest, 'files'>;
  /** The commits that end in [from, cut): they outlive the purge of STORED. */
  readonly index: PlannedFile | undefined;
}

/** Somebody who wants a batch of all that is there now. */
export interface Asked {
  readonly kind: 'batch' | 'rebuild';
  /** Of the question: the same when it is put again. */
  readonly id: string | undefined;
  /** What is answered: its newest form. */
  message: PlainMessage;
  /** Where the segments ended when it was asked; undefined: not looked yet. */
  target: Position | undefined;
  /** How many records up to the target are in parts and committed, and when that grew. */
  reached: number;
  movedAt: number;
}

/** A message of STORED and its sequence there: what lies before the first that is still needed may be purged. */
export type Sequenced<T> = T & { readonly sequence: number };

export interface SchedulerState {
  readonly partitions: number;
  /** How much one task reads; the simulation makes it small. */
  taskBytesMax: number;
  base: Base;
  /** What commits below the base's cut say of each raw file. */
  readonly files: Map<string, RawFile>;
  /** Beyond the base's cut, by partition, in order. */
  commits: Sequenced<RawStored>[][];
  parts: Sequenced<PartStored>[][];
  committed: number[];
  /** Sequences of each partition's last commit and part in STORED. */
  lastCommit: number[];
  lastPart: number[];
  /** Sequence of the last batch.requested in BATCH. */
  requestedSequence: number;
  /** Whether what earlier lives left was swept. */
  isSwept: boolean;
  /** When dates are recomputed next. */
  recomputeAt: number;
  open: OpenBatch | undefined;
  /** Ready, and not proved yet. */
  unproved: Pick<BatchReady, 'batch'> | undefined;
  /** A batch in which differences were found: no other starts until `rebuild`. */
  differing: ViewProved | undefined;
  /** A predecessor's open batch, to be abandoned (S1). */
  orphan: string | undefined;
  lastBatch: string | null;
  dueAt: number;
  asked: Asked[];
  counts: { batches: number; proved: number; abandoned: number; differences: number };
}

export const emptyBase = (partitions: number): Base => ({
  batch: null,
  cut: zeroPosition(partitions),
  manifest: null,
  requestedAt: 0,
  recomputed: {},
  recomputedAt: 0,
  refused: {},
  missing: Array.from({ length: partitions }, () => ({})),
  indexes: [],
});

/** A commit, read again after a restart or for the first time. */
export const noteCommit = (state: SchedulerState, commit: Sequenced<RawStored>): void => {
  const p = commit.partition;
  state.lastCommit[p] = commit.sequence;
  const cut = state.base.cut[p] as number;
  if (commit.to <= (state.committed[p] as number)) return;
  state.committed[p] = commit.to;
  if (commit.to > cut) (state.commits[p] as Sequenced<RawStored>[]).push(commit);
};

export const notePart = (state: SchedulerState, part: Sequenced<PartStored>): void => {
  const parts = state.parts[part.partition] as Sequenced<PartStored>[];
  state.lastPart[part.partition] = part.sequence;
  const known = parts.at(-1)?.to ?? (state.base.cut[part.partition] as number);
  if (part.to > known) parts.push(part);
};

/** Rows of the real-time view that are not in the batch view. */
export const realtimeRows = (state: SchedulerState): number => state.parts.flat().reduce((sum, { rows }) => sum + rows, 0);

/** What is known of the newest proved batch: its proof, and what its manifest says beside the files. */
export const baseOf = (proved: ViewProved, manifest: OpenBatch['draft'] | Manifest): Base => ({
  batch: proved.batch,
  cut: proved.cut,
  manifest: proved.manifest,
  requestedAt: proved.requestedAt,
  recomputed: manifest.recomputed,
  recomputedAt: manifest.recomputedAt ?? 0,
  refused: manifest.refused,
  missing: manifest.missing,
  indexes: manifest.indexes ?? [],
});

/** The base becomes the proved batch: what is below its cut is known by file from now on. */
export const rebase = (state: SchedulerState, proved: ViewProved, draft: OpenBatch['draft']): void => {
  state.base = baseOf(proved, draft);
  state.commits = state.commits.map((commits, p) => {
    const cut = proved.cut[p] as number;
    for (const commit of commits) if (commit.to <= cut) addCommit(state.files, commit, `views/batch/${proved.batch}.commits.ndjson`);
    return commits.filter((commit) => commit.to > cut);
  });
  state.parts = state.parts.map((parts, p) => parts.filter((part) => part.to > (proved.cut[p] as number)));
};

/** Refused and missing at a new cut: the base's, and what the parts in between say. */
export const countsAt = (state: SchedulerState, cut: Position): { refused: Refused; missing: Missing[] } => {
  const refused = RefusedTally.of(state.base.refused, refusedFileBytesMax);
  const missing = state.base.missing.map((counts) => new Map(Object.entries(counts)));
  for (const part of state.parts.flat()) {
    if (part.to > (cut[part.partition] as number)) continue;
    refused.addAll(part.refused);
    for (const [service, count] of Object.entries(part.missing)) missing[part.partition]?.set(service, count);
  }
  return {
    refused: refused.toRefused(),
    missing: missing.map((counts) => Object.fromEntries([...counts].filter(([, count]) => count > 0))),
  };
};

/** Commits that end at or below a cut, in order of partition and offset. */
const commitsBelow = (state: SchedulerState, cut: Position): Sequenced<RawStored>[] =>
  state.commits.flat().filter((commit) => commit.to <= (cut[commit.partition] as number));

/** The raw files of a manifest, what is below the cut by whole commits, and the index of the commits that are new in it. */
export const rawAt = (
  state: SchedulerState,
  cut: Position,
  batch: string,
): { raw: RawFile[]; indexes: Base['indexes']; index: PlannedFile | undefined } => {
  const commits = commitsBelow(state, cut);
  const path = `views/batch/${batch}.commits.ndjson`;
  const files = new Map([...state.files].map(([name, file]) => [name, { ...file }]));
  for (const commit of commits) addCommit(files, commit, path);
  const raw = [...files.values()];
  if (commits.length === 0) return { raw, indexes: state.base.indexes, index: undefined };
  const content = Buffer.from(commits.map(({ sequence: _, ...commit }) => `${JSON.stringify(commit)}\n`).join(''));
  const entry = { path, bytes: content.byteLength, sha256: sha256Of(content), from: [...state.base.cut], to: [...cut] };
  return { raw, indexes: [...state.base.indexes, entry], index: { path, content } };
};
