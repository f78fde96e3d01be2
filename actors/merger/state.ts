/** What a merger holds besides its view, and how it begins: from the newest proved batch and the stored parts behind it. */
import type { Env } from '../../infra/actor/env.js';
import type { Beginning } from '../../infra/actor/fold.js';
import type { LogMessage } from '../../infra/bus/bus.js';
import type { BatchReady } from '../../protocol/messages/batch.js';
import { readPartStored } from '../../protocol/messages/readers.js';
import { newestProved, readProofs } from '../scheduler/begin.js';
import { loadManifest } from '../scheduler/manifest.js';
import { MonthCache } from './month-cache.js';
import { PositionGate } from './position-gate.js';
import { UpdateChunks } from './update-chunks.js';
import { loadPart, monthReader } from './view-files.js';
import { applyPart, createView, type View } from './view.js';

/** What the rows of batch files may take in memory, bytes; hours get a quarter besides. */
const monthBytesMax = 96 * 1024 * 1024;

export interface MergerState {
  readonly view: View;
  readonly months: MonthCache;
  readonly chunks: UpdateChunks;
  readonly gate: PositionGate;
  leads: boolean;
  /** Messages of BATCH that wait for a swap. */
  readonly waiting: LogMessage[];
  /** Ready, and not proved by anybody yet. */
  ready: BatchReady | undefined;
  /** The batch that is being compared beside. */
  proving: string | undefined;
  isUpdating: boolean;
  counts: { answers: number; updates: number; swaps: number; proofs: number; differences: number };
}

export const beginMerger = async (env: Env): Promise<Beginning<MergerState>> => {
  const { bus, storage, settings } = env;
  const { viewFiles } = await env.engine();
  const lastProof = await bus.last('BATCH', 'view.proved');
  const proofs = await readProofs(bus);
  const proved = newestProved(proofs);
  const view = createView(settings.partitions, proved ? await loadManifest(env, proved.manifest) : null);
  const storedEnd = await readParts(env, view);
  const batchFrom = proved === undefined ? 1 : await behind(env, proved.batch);
  return {
    state: {
      view,
      months: new MonthCache(monthReader(storage, viewFiles), monthBytesMax),
      chunks: new UpdateChunks(),
      gate: new PositionGate(),
      leads: false,
      waiting: [],
      ready: undefined,
      proving: undefined,
      isUpdating: false,
      counts: { answers: 0, updates: 0, swaps: 0, proofs: 0, differences: 0 },
    },
    logs: {
      stored: { stream: 'STORED', filter: 'part.stored.*', start: { sequence: storedEnd + 1 }, held: 500 },
      realtime: { stream: 'REALTIME', start: 'first', held: 500 },
      batch: { stream: 'BATCH', start: { sequence: batchFrom }, held: 100 },
    },
    fences: { 'view.proved': lastProof?.sequence ?? 0 },
  };
};

/** The sequence behind the proof of a batch. */
const behind = async ({ bus }: Env, batch: string): Promise<number> => {
  const reader = await bus.read('BATCH', { filter: 'view.proved', start: 'first', held: 256 });
  try {
    for (;;) {
      await reader.ready();
      for (const message of reader.take(256)) {
        if ((JSON.parse(Buffer.from(message.body).toString()) as { batch: string }).batch === batch) return message.sequence + 1;
      }
    }
  } finally {
    await reader.close();
  }
};

/** Every stored part beyond the cut, before the first update is looked at: else updates would seem to miss something. */
const readParts = async (env: Env, view: View): Promise<number> => {
  const { viewFiles } = await env.engine();
  const last = await env.bus.last('STORED', 'part.stored.*');
  if (last === undefined) return 0;
  const reader = await env.bus.read('STORED', { filter: 'part.stored.*', start: 'first', held: 500 });
  try {
    for (let at = 0; at < last.sequence;) {
      await reader.ready();
      for (const message of reader.take(500)) {
        const part = readPartStored(message.body);
        if (applyPart(view, part) === 'file') applyPart(view, part, await loadPart(env.storage, viewFiles, part));
        at = message.sequence;
      }
    }
  } finally {
    await reader.close();
  }
  return last.sequence;
};
