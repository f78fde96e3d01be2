/**
 * What may go, and its removal.
 *
 * W2  A part, named or an orphan, goes when it lies below the cut of the proved batch before the newest.
 * S4  Files of batches go only when neither the newest proved batch, nor the one before it (somebody may still be reading), nor
 *     an open one names them.
 *
 * STORED keeps what lies beyond the proved cut and each subject's last message, BATCH what came since the proved batch was asked
 * for; commits live on in the index files.
 */
import type { Env } from '../../infra/actor/env.js';
import type { Output } from '../../infra/actor/output.js';
import { messageOf } from '../../infra/errors.js';
import type { Manifest } from '../../protocol/messages/batch.js';
import { readManifest } from '../../protocol/messages/readers.js';
import type { Position } from '../../protocol/range.js';
import { loadManifestOf } from './manifest.js';
import type { Base, SchedulerState } from './state.js';

/** Below which sequences STORED and BATCH may be purged, by subject. */
const purgesOf = (state: SchedulerState): { stream: string; filter: string; below: number }[] => {
  const purges = state.commits.flatMap((commits, p) => {
    const first = commits[0]?.sequence ?? state.lastCommit[p] ?? 0;
    return first > 0 ? [{ stream: 'STORED', filter: `raw.stored.${p}`, below: first }] : [];
  });
  state.parts.forEach((parts, p) => {
    const first = parts[0]?.sequence ?? state.lastPart[p] ?? 0;
    if (first > 0) purges.push({ stream: 'STORED', filter: `part.stored.${p}`, below: first });
  });
  if (state.requestedSequence > 0) purges.push({ stream: 'BATCH', filter: '>', below: state.requestedSequence });
  return purges;
};

/** After a proof: purges the streams and removes what the batch before the last one was replaced by. */
export const cleanUpAfterProof = (state: SchedulerState, before: Base): Output => {
  const purges = purgesOf(state);
  const proved = state.base;
  return {
    do: 'work',
    what: 'clean up',
    beside: true,
    run: async (env) => {
      for (const { stream, filter, below } of purges) await env.bus.purge(stream, filter, below);
      if (proved.batch === null || proved.manifest === null) return;
      await quietly(env, async () => {
        await removeParts(env, before.cut);
        await removeMinutes(env, proved.batch as string);
        await removeReplaced(env, before);
      });
    },
  };
};

/** At a beginning: whatever abandoned batches and earlier lives left lying about. */
export const sweepAtBeginning = ({ base, lastBatch }: SchedulerState): Output => ({
  do: 'work',
  what: 'sweep',
  beside: true,
  run: (env) =>
    quietly(env, async () => {
      if (lastBatch !== null) await removeMinutes(env, lastBatch);
      await sweepBatchFiles(env, base);
    }),
});

/** Cleaning up is never worth a life: what could not go now goes later. */
const quietly = async ({ log }: Env, clean: () => Promise<void>): Promise<void> => {
  try {
    await clean();
  } catch (error) {
    log.warn({ reason: messageOf(error) }, 'clean-up left something, will retry');
  }
};

const rangeOfPart = (path: string): { partition: number; from: number; to: number } | undefined => {
  const match = /^views\/realtime\/(\d+)\/(\d+)-(\d+)\.parquet$/.exec(path);
  return match ? { partition: Number(match[1]), from: Number(match[2]), to: Number(match[3]) } : undefined;
};

const removeParts = async ({ storage }: Env, cut: Position): Promise<void> => {
  for (const path of await storage.list('views/realtime')) {
    const range = rangeOfPart(path);
    if (range && range.to <= (cut[range.partition] ?? 0)) await storage.remove(path);
  }
};

/** minutes/<batch>/ of this batch and of those before it. */
const removeMinutes = async ({ storage }: Env, batch: string): Promise<void> => {
  for (const path of await storage.list('minutes')) {
    if (Number(path.split('/')[1]) <= Number(batch)) await storage.remove(path);
  }
};

const manifestPath = (batch: string): string => `views/batch/${batch}.json`;

/** As its proof names it: a name that a changed byte took out of it must not make a file go. @throws PromiseError, FileMissingError */
const manifestOf = async (env: Env, { batch, cut, manifest }: Base): Promise<Manifest | undefined> =>
  batch === null || manifest === null ? undefined : await loadManifestOf(env, { batch, cut, manifest });

/** Nobody names its file any more. */
const replacedManifest = async ({ storage }: Env, batch: string | null): Promise<Manifest | undefined> => {
  if (batch === null || (await storage.length(manifestPath(batch))) === undefined) return undefined;
  return readManifest(await storage.read(manifestPath(batch)));
};

/** What the manifest before `before` named and `before` does not: nobody reads it any longer. */
const removeReplaced = async (env: Env, before: Base): Promise<void> => {
  const current = await manifestOf(env, before);
  const old = current && (await replacedManifest(env, current.base));
  if (current === undefined || old === undefined) return;
  const kept = new Set(current.files.map(({ path }) => path));
  for (const { path } of old.files) if (!kept.has(path)) await env.storage.remove(path);
  await env.storage.remove(manifestPath(old.batch));
};

/** S4: every file of a batch up to the newest proved one that it and its base do not name: left by abandoned batches and old lives. */
const sweepBatchFiles = async (env: Env, proved: Base): Promise<void> => {
  const current = await manifestOf(env, proved);
  if (current === undefined) return;
  const base = await replacedManifest(env, current.base);
  const kept = new Set(
    [current, ...(base ? [base] : [])].flatMap(({ batch, files, indexes }) => [
      ...files.map(({ path }) => path),
      ...(indexes ?? []).map(({ path }) => path),
      manifestPath(batch),
    ]),
  );
  for (const path of await env.storage.list('views/batch')) {
    const batch = /(\d{6,})\.(?:parquet|json|commits\.ndjson)$/.exec(path)?.[1];
    if (batch !== undefined && Number(batch) <= Number(proved.batch) && !kept.has(path)) await env.storage.remove(path);
  }
};
