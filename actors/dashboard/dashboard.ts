/**
 * Dashboard: answers people and programs over HTTP, and tells them what changes.
 *
 * in    view.updated, view.proved   one subscription for all readers of events
 *       raw.stored, segment.sealed  the raw messages behind a row
 * out   view.asked                  rows of a range
 * owns  nothing: it may be stopped and started at any time, and any number of them may run
 */
import type { AddressInfo } from 'node:net';
import { aborted, baseStatus, newInstance, type RunningActor, type WorldOfActors } from '../../infra/actor/host.js';
import type { Bus } from '../../infra/bus/bus.js';
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { accessOf, readToken } from './access.js';
import { CommitFinder } from './commits.js';
import { EventRing } from './event-ring.js';
import { EventFeed } from './events.js';
import { Explainer } from './explain.js';
import { createServer } from './server.js';
import { ServiceFinder } from './services.js';
import { ConnectionKept, ViewReader } from './view-reader.js';

export type DashboardWorld = WorldOfActors & {
  /** What `tidemark status --json` says. */
  readonly readStatus: (bus: Bus) => Promise<unknown>;
};

export interface Dashboard extends RunningActor {
  /** http://127.0.0.1:8080, once it listens. @throws OutOfReachError when the port is taken */
  readonly address: Promise<string>;
}

/** What is kept of the newest events for readers that come back. */
const ringBytesMax = 8 * 1024 * 1024;

const urlOf = ({ address, family, port }: AddressInfo): string => `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;

/** Starts it on this instance; `stop` ends it. @throws SettingsError for a token that cannot be read */
export const hostDashboard = (world: DashboardWorld, stop: AbortSignal): Dashboard => {
  const instance = newInstance();
  const log = world.log.child({ actor: 'dashboard', instance });
  const { host, httpPort, partitions } = world.settings;
  const access = accessOf(host === undefined ? undefined : readToken(world.settings));
  const connection = new ConnectionKept(() => world.openBus(`dashboard ${instance}`));
  const reader = new ViewReader(connection);
  const feed = new EventFeed(new EventRing(ringBytesMax), () => world.openBus(`dashboard events ${instance}`), log);
  const explainer = new Explainer(reader, world.storage, new CommitFinder(world.storage, partitions));
  const counts = { requests: 0, dropped: 0 };
  let state = 'starting';
  let listensAt: string | undefined;

  const listen = async () => {
    const server = await createServer({
      world,
      connection,
      reader,
      feed,
      explainer,
      access,
      log,
      services: new ServiceFinder(reader),
      dropped: () => {
        counts.dropped += 1;
      },
      answered: () => {
        counts.requests += 1;
      },
    });
    try {
      await server.listen({ host: host ?? '127.0.0.1', port: httpPort });
    } catch (cause) {
      throw new OutOfReachError(
        `the pages cannot listen on ${host ?? '127.0.0.1'}:${httpPort} (${messageOf(cause)}): name another port by --http-port`,
        { cause },
      );
    }
    return server;
  };

  const listening = listen();
  const address = listening.then((server) => urlOf(server.server.address() as AddressInfo));
  address.catch(() => undefined);

  const run = async (): Promise<void> => {
    const server = await listening;
    state = 'working';
    listensAt = await address;
    log.info({ address: listensAt }, 'listens');
    const following = feed.follow(stop);
    await aborted(stop);
    state = 'stopping';
    await server.close();
    await following;
    await connection.close();
  };

  const ended = run();
  ended.catch(() => undefined);
  return {
    name: 'dashboard',
    instance,
    ended,
    address,
    status: () => ({
      ...baseStatus('dashboard', instance, state),
      counts: { ...counts, readers: feed.listeners.size },
      ...(listensAt === undefined ? {} : { address: listensAt }),
    }),
  };
};
