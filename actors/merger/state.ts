/** What a merger holds besides its view, and how it begins: from the newest proved batch and the stored parts behind it. */
import type { Env } from '../../infra/actor/env.js';
import type { Beginning } from '../../infra/actor/fold.js';
import type { LogMessage } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import { FileMissingError, messageOf, PromiseError, RetryableError } from '../../infra/errors.js';
import type { RowColumns } from '../../infra/sql/sql.js';
import type { BatchReady } from '../../protocol/messages/batch.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import { readPartStored, readViewUpdated } from '../../protocol/messages/readers.js';
import type { Position } from '../../protocol/range.js';
import { newestProved, readProofs } from '../scheduler/begin.js';
import { loadProved } from '../scheduler/manifest.js';
import { Changes } from './changes.js';
import { MonthCache } from './month-cache.js';
import { PositionGate } from './position-gate.js';
import type { Outcome } from './realtime-reader.js';
import { UpdateChunks } from './update-chunks.js';
import { applyPart, createView, jumpBehind, type View } from './view.js';
import { loadEach, loadPart, monthReader } from './view-files.js';

/** What the rows of batch files may take in memory, bytes; hours get a quarter besides. */
const monthBytesMax = 96 * 1024 * 1024;

const saidAgainMs = 10_000;

export interface Fault {
  readonly reason: string;
  readonly partition: number;
  readonly to: number;
}

export interface MergerState {
  readonly view: View;
  readonly months: MonthCache;
  readonly chunks: UpdateChunks;
  readonly gate: PositionGate;
  leads: boolean;
  /** When latest.json is tried again; it could not be written. */
  latestAgainAt: number | undefined;
  /** Messages of BATCH that wait for a swap. */
  readonly waiting: LogMessage[];
  /** Ready, and not proved by anybody yet. */
  ready: BatchReady | undefined;
  /** The batch that is being compared beside. */
  proving: string | undefined;
  isUpdating: boolean;
  /** Changed rows of services whose batch file is not what was stored. */
  readonly unsaid: Changes;
  /** A part that is in the view is not what was stored: nothing is answered until a rebuilt view lies above it. */
  broken: Fault | undefined;
  /** The same, of a part in the upper half of this batch: its view is not taken over. */
  brokenUpper: { readonly batch: string; readonly reason: string } | undefined;
  counts: { answers: number; updates: number; swaps: number; proofs: number; differences: number };
}

export const beginMerger = async (env: Env): Promise<Beginning<MergerState>> => {
  const { bus, storage, settings } = env;
  const { viewFiles } = await env.engine();
  const lastProof = await bus.last('BATCH', 'view.proved');
  const proofs = await readProofs(bus);
  const proved = newestProved(proofs);
  const view = createView(settings.partitions, proved ? await loadProved(env, proved) : null, await publishedPosition(env));
  const { storedEnd, broken } = await readParts(env, view);
  const months = new MonthCache(monthReader(storage, viewFiles), monthBytesMax);
  warmMonths(months, view);
  return {
    state: {
      view,
      months,
      chunks: new UpdateChunks(),
      gate: new PositionGate(),
      leads: false,
      latestAgainAt: undefined,
      waiting: [],
      ready: undefined,
      proving: undefined,
      isUpdating: false,
      unsaid: new Changes(),
      broken,
      brokenUpper: undefined,
      counts: { answers: 0, updates: 0, swaps: 0, proofs: 0, differences: 0 },
    },
    logs: {
      stored: { stream: 'STORED', filter: 'part.stored.*', start: { sequence: storedEnd + 1 }, held: 500 },
      realtime: { stream: 'REALTIME', start: 'first', held: 500 },
      batch: { stream: 'BATCH', start: { sequence: (proved?.sequence ?? 0) + 1 }, held: 100 },
    },
    fences: { 'view.proved': lastProof?.sequence ?? 0 },
  };
};

/** Beside everything else; what cannot be read is said to who asks for it. */
export const warmMonths = (months: MonthCache, { batch }: View): void => {
  months.warm(batch?.manifest.files ?? []).catch(() => undefined);
};

/** Rows below this were published before; a leader may have died between two services, so some seconds are said again. */
const publishedPosition = async ({ bus }: Env): Promise<Position> => {
  const newest = await bus.last('VIEWS', 'view.updated.*');
  if (newest === undefined) return [];
  const reader = await bus.read('VIEWS', { start: { time: newest.received - saidAgainMs }, held: 1 });
  try {
    await reader.ready();
    const [first] = reader.take(1);
    return first === undefined ? [] : readViewUpdated(first.body).position;
  } finally {
    await reader.close();
  }
};

/** Every stored part beyond the cut, before the first update is looked at: else updates would seem to miss something. */
const readParts = async (env: Env, view: View): Promise<{ storedEnd: number; broken: Fault | undefined }> => {
  let broken: Fault | undefined;
  const last = await env.bus.last('STORED', 'part.stored.*');
  if (last === undefined) return { storedEnd: 0, broken };
  const isNeeded = ({ partition, to }: PartStored): boolean => to > (view.partitions[partition]?.storedTo ?? 0);
  const { viewFiles } = await env.engine();
  for await (const { part, rows } of loadEach(env.storage, viewFiles, storedParts(env, last.sequence), isNeeded)) {
    const { fault } = await applyOrFault(env, view, part, rows);
    broken ??= fault;
  }
  return { storedEnd: last.sequence, broken };
};

async function* storedParts({ bus }: Env, to: number): AsyncGenerator<PartStored> {
  for await (const { body } of readLog(bus, 'STORED', { filter: 'part.stored.*', to, held: 500 })) yield readPartStored(body);
}

/**
 * Parts below the cut of the newest proved batch are purged from STORED: who has not got that far begins anew from that batch.
 * @throws RetryableError
 */
const mustNotLag = async ({ bus }: Env, view: View, partition: number): Promise<void> => {
  const { storedTo } = view.partitions[partition] as { storedTo: number };
  const proved = newestProved(await readProofs(bus));
  if (proved !== undefined && (proved.cut[partition] as number) > storedTo) {
    throw new RetryableError(
      `parts of partition ${partition} behind ${storedTo} are gone, and batch ${proved.batch} holds them: begins anew from it`,
    );
  }
};

/** Applies a part, whose rows may be `read` already; with a fault nothing may be answered from the view until another one lies above it. */
export const applyOrFault = async (
  env: Env,
  view: View,
  part: PartStored,
  read?: RowColumns | null,
): Promise<{ outcome: Outcome; fault: Fault | undefined }> => {
  const { partition, from, to } = part;
  const first = applyPart(view, part);
  if (first === 'gap') {
    await mustNotLag(env, view, partition);
    const reason = jumpBehind(view, part);
    env.log.error({ partition, from, to, reason }, 'parts do not go on: run tidemark rebuild');
    return { outcome: 'rebuild', fault: { reason, partition, to } };
  }
  if (first !== 'file') return { outcome: first, fault: undefined };
  const { rows, fault } = await loadPartOrFault(env, part, read);
  const outcome = applyPart(view, part, rows);
  return { outcome: outcome === 'file' || outcome === 'gap' ? 'ignored' : outcome, fault };
};

/** Whether a file is gone, or is not what whoever named it says. */
export const isNotAsStored = (error: unknown): boolean => error instanceof PromiseError || error instanceof FileMissingError;

/** A part's rows, unless they were `read` already, or what is wrong with its file: then nothing may be answered from what has it. */
export const loadPartOrFault = async (
  env: Env,
  part: PartStored,
  read?: RowColumns | null,
): Promise<{ rows: RowColumns | null; fault: Fault | undefined }> => {
  if (read !== undefined) return { rows: read, fault: undefined };
  try {
    return { rows: await loadPart(env.storage, (await env.engine()).viewFiles, part), fault: undefined };
  } catch (error) {
    if (!isNotAsStored(error)) throw error;
    const reason = messageOf(error);
    env.log.error({ partition: part.partition, from: part.from, to: part.to, reason }, 'part is not what was stored: run tidemark rebuild');
    return { rows: null, fault: { reason, partition: part.partition, to: part.to } };
  }
};
