/**
 * Whether anything works on the data: `recover` makes a new history, and whoever goes on with the old one meanwhile works for
 * nothing, or into it.
 */
import { readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { credentialsFor } from '../../infra/bus/users.js';
import type { Settings } from '../../infra/config.js';
import { OutOfReachError } from '../../infra/errors.js';
import { isAlive } from '../../infra/process.js';
import { encodeName } from '../../protocol/name-code.js';

/** An actor says once a second that it is there. */
const silentMsMax = 5_000;

const processesAt = async (data: string): Promise<number[]> => {
  const names = await readdir(path.join(data, 'work')).catch(() => []);
  const machine = encodeName(hostname());
  return names.flatMap((name) => {
    const [, pid, whose] = /^(\d+)-[0-9a-f]{8}-(.*)$/.exec(name) ?? [];
    return whose === machine && Number(pid) !== process.pid && isAlive(Number(pid)) ? [Number(pid)] : [];
  });
};

/** @throws OutOfReachError when another process has this data open */
export const refuseWhileOpen = async (data: string): Promise<void> => {
  const [pid] = await processesAt(data);
  if (pid !== undefined) throw new OutOfReachError(`process ${pid} works on ${data}: stop it first (kill ${pid}), then recover`);
};

/** @throws OutOfReachError when actors work with this server, or it has a history already */
export const refuseUnlessNew = async (settings: Settings, nats: string): Promise<void> => {
  const bus = await openBus({ ...settings, nats, natsCreds: credentialsFor(settings, 'operator') }, 'tidemark recover');
  try {
    await look(bus, nats);
  } finally {
    await bus.close();
  }
};

const look = async (bus: Bus, nats: string): Promise<void> => {
  const said = await (await bus.bucket('ACTORS', { ttlMs: 60_000 })).all();
  for (const [key, { value }] of said) {
    const { pid, at, host } = JSON.parse(Buffer.from(value).toString('utf8')) as { pid: number; at: number; host: string };
    if (Date.now() - at > silentMsMax) continue;
    throw new OutOfReachError(`${key.replace('.', ' ')} (pid ${pid} on ${host}) works with ${nats}: stop all actors first, then recover`);
  }
  const made = (await bus.logs()).filter(({ name }) => /^(?:SEGMENTS-\d+|STORED|BATCH)$/.test(name));
  for (const { name } of made) {
    if ((await bus.extent(name)).last === 0) continue;
    throw new OutOfReachError(
      `the server at ${nats} has a history already (${name} is not empty), and recover makes a new one: stop that server, then recover ` +
        'without --nats, which reads what its store has; or move its store away and start it again',
    );
  }
};
