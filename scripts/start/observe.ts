/**
 * Observes a system for `start`, in a child: measures this machine's services, and shows rows and proofs
 * as they change. The process that holds the others stays small and never waits for any of it.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentialsFor } from '../../infra/bus/users.js';
import type { Log } from '../../infra/log.js';
import { startAgents } from './agents.js';
import { follow } from './follow.js';
import type { Observed, Observing, Order, Pids } from './order.js';
import { showRows } from './show-rows.js';

/** What is only shown must not hold up a stop. */
const followMsMax = 1_000;

const aborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await once(signal, 'abort');
};

export interface Observer {
  /** Whom to measure from now on. */
  know(pids: Pids): void;
  /** Stops measuring, waits until all is sealed, within bounds, and shows the last rows. */
  readonly ended: Promise<void>;
}

/** Observes until `signal`, from when it knows whom. */
export const observe = (
  { everyMs, program }: Observing,
  settings: Order['settings'],
  { signal, log, tell }: { signal: AbortSignal; log: Log; tell: (observed: Observed) => void },
): Observer => {
  let known: Pids | undefined;
  let isKnown: () => void = () => undefined;
  const firstKnown = new Promise<void>((resolve) => {
    isKnown = resolve;
  });
  const work = async (): Promise<void> => {
    await Promise.race([firstKnown, aborted(signal)]);
    if (signal.aborted) return;
    const agents = await startAgents({
      settings: { ...settings, natsCreds: credentialsFor(settings, 'agents') },
      natsPid: known?.nats === undefined ? undefined : () => known?.nats ?? 0,
      ownPids: () => known?.own ?? [],
      program,
      everyMs,
      log,
    });
    tell({ services: agents.services });
    const shown = showRows();
    const following = follow({ ...settings, natsCreds: credentialsFor(settings, 'operator') }, shown, signal);
    await aborted(signal);
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
