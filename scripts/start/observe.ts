/**
 * Observes a system for `start`, in a child: makes the streams, measures this machine's services, and shows rows and proofs
 * as they change. The process that holds the others stays small and never waits for any of it.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureStreams } from '../../infra/bus/streams.js';
import { credentialsFor } from '../../infra/bus/users.js';
import type { Log } from '../../infra/log.js';
import { patiently, reachMsMax } from '../../infra/within.js';
import { startAgents } from './agents.js';
import { follow } from './follow.js';
import type { Observed, Order, Pids } from './order.js';
import { showRows } from './show-rows.js';

/** What is only shown must not hold up a stop. */
const followMsMax = 1_000;

const afterAbort = async (signal: AbortSignal, ms: number): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
  await sleep(ms);
};

export interface Observer {
  /** Whom to measure from now on. */
  know(pids: Pids): void;
  /** Stops measuring, waits until all is sealed, within bounds, and shows the last rows. */
  readonly ended: Promise<void>;
}

/** Observes until `signal`. @throws SettingsError, OutOfReachError when the streams cannot be as they must */
export const observe = async (
  { settings, observes = { everyMs: 1_000 } }: Order,
  { signal, log, tell }: { signal: AbortSignal; log: Log; tell: (observed: Observed) => void },
): Promise<Observer> => {
  const asOperator = { ...settings, natsCreds: credentialsFor(settings, 'operator') };
  // Who was killed may come back at the same time as the server.
  await patiently(
    () => ensureStreams(asOperator),
    reachMsMax,
    ({ message }) => log.warn({ reason: message }, 'waits for the server'),
  );
  tell({ streams: 'ready' });
  let known: Pids | undefined;
  let isKnown: () => void = () => undefined;
  const firstKnown = new Promise<void>((resolve) => {
    isKnown = resolve;
  });
  const work = async (): Promise<void> => {
    await Promise.race([firstKnown, afterAbort(signal, 0)]);
    if (signal.aborted) return;
    const agents = await startAgents({
      settings: { ...settings, natsCreds: credentialsFor(settings, 'agents') },
      natsPid: known?.nats === undefined ? undefined : () => known?.nats ?? 0,
      ownPids: () => known?.own ?? [],
      program: observes.program,
      everyMs: observes.everyMs,
      log,
    });
    tell({ services: agents.services });
    const shown = showRows();
    const following = follow(asOperator, shown, signal);
    await afterAbort(signal, 0);
    await agents.stop();
    await Promise.race([following, sleep(followMsMax)]);
    shown.close();
  };
  return {
    know: (pids) => {
      known = pids;
      isKnown();
    },
    ended: work(),
  };
};
