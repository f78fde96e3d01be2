/**
 * When the buffer stores its table of sources, and what follows when that fails: sealing goes on beside it and without it, for
 * SEGMENTS is kept from the last snapshot on.
 */
import type { Env } from '../../infra/actor/env.js';
import type { Output, Work } from '../../infra/actor/output.js';
import { messageOf, RetryableError } from '../../infra/errors.js';
import type { BufferState } from '../buffer.js';
import { storeTable } from './begin.js';

const stored = 'stored';
const later = 'later';

/** Right behind a segment, when nothing is held: what is in the table is sealed (B1). */
export const snapshot = (state: BufferState): Output[] => {
  if (state.storing === 'yes') return [];
  const isFirst = state.storing === 'first';
  state.storing = 'yes';
  state.snapshotOffset = state.open.from;
  state.snapshotSequence = state.segmentSequence;
  const work = storeTable(state);
  return [{ ...work, ...(isFirst ? {} : { beside: true }), run: (env) => storeOrLater(work, env) }];
};

const storeOrLater = async ({ run }: Work, env: Env): Promise<readonly Output[]> => {
  try {
    return [...((await run(env)) ?? []), { do: 'note', name: 'table', value: stored }];
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error;
    env.log.warn({ reason: messageOf(error) }, 'table of sources is not stored, will retry');
    return [{ do: 'note', name: 'table', value: later }];
  }
};

/** What became of it. */
export const noteSnapshot = (state: BufferState, outcome: unknown): void => {
  state.storing = 'no';
  if (outcome === later) state.snapshotSequence = 0; // it is due again at the next tick
};
