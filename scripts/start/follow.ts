/** Follows a running system for `start`: changed rows and proofs, over connections that are opened again when lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type NatsSettings, openBus } from '../../infra/bus/nats.js';
import { subscribe } from '../../infra/client/index.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import type { RowsShown } from './show-rows.js';

const pauseMs = 500;

const untilStopped = async (signal: AbortSignal, once: () => Promise<void>): Promise<void> => {
  while (!signal.aborted) {
    await once().catch(() => undefined); // whoever has died is brought back; here it is only shown
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
  }
};

const followRows = async ({ nats, natsCreds, natsCa }: NatsSettings, shown: RowsShown, signal: AbortSignal): Promise<void> => {
  const options = { nats, ...(natsCreds && { creds: natsCreds }), ...(natsCa && { ca: natsCa }), name: 'tidemark start' };
  const changes = subscribe(options);
  const close = () => void changes.close();
  signal.addEventListener('abort', close);
  try {
    for await (const change of changes) shown.update(change.rows);
  } finally {
    signal.removeEventListener('abort', close);
  }
};

const followProofs = async (settings: NatsSettings, shown: RowsShown, signal: AbortSignal): Promise<void> => {
  const bus = await openBus(settings, 'tidemark start');
  bus.hear('view.proved', ({ body }) => shown.proved(JSON.parse(Buffer.from(body).toString()) as ViewProved));
  const close = () => void bus.close();
  signal.addEventListener('abort', close);
  if (signal.aborted) close(); // while it was opened
  await bus.closed;
  signal.removeEventListener('abort', close);
};

/** Resolves after `signal`. */
export const follow = async (settings: NatsSettings, shown: RowsShown, signal: AbortSignal): Promise<void> => {
  await Promise.all([
    untilStopped(signal, () => followRows(settings, shown, signal)),
    untilStopped(signal, () => followProofs(settings, shown, signal)),
  ]);
};
