/**
 * Dashboard: answers people and programs over HTTP, and tells them what changes.
 *
 * in    view.updated, view.proved   one subscription for all readers of events
 *       raw.stored, segment.sealed  the raw messages behind a row
 * out   view.asked                  rows of a range
 * owns  nothing: it may be stopped and started at any time, and any number of them may run
 */
import type { AddressInfo } from 'node:net';
import { aborted, baseStatus, newInstance, type RunningActor, type SampleRead, type WorldOfActors } from '../../infra/actor/host.js';
import type { Bus } from '../../infra/bus/bus.js';
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { eachBlockRow } from '../../protocol/messages/row-blocks.js';
import { minuteMs } from '../../protocol/minute-row.js';
import { sumPosition } from '../../protocol/range.js';
import { accessOf, readToken } from './access.js';
import { CommitFinder } from './commits.js';
import { EventRing } from './event-ring.js';
import { EventFeed } from './events.js';
import { Explainer } from './explain.js';
import type { ViewQuestion } from './parameters.js';
import { createServer } from './server.js';
import { ServiceFinder } from './services.js';
import { ConnectionKept, ViewReader } from './view-reader.js';

export type DashboardWorld = WorldOfActors & {
  /** What `tidemark status --json` says. */
  readonly readStatus: (bus: Bus | Error) => Promise<unknown>;
};

export interface Dashboard extends RunningActor {
  /** http://127.0.0.1:8080, once it listens. @throws OutOfReachError when the port is taken */
  readonly address: Promise<string>;
}

/**
 * What is kept of the newest events for readers that come back: at 200 a second a quarter of a minute. Who was away for longer asks
 * anew, which costs one answer.
 */
const ringBytesMax = 2 * 1024 * 1024;

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
  /** What only somebody who may ask and look everywhere can tell. */
  const collect = async (): Promise<SampleRead[]> => {
    const everything: ViewQuestion = { from: 0, to: minuteMs, services: undefined, step: 'range', zone: 'UTC', after: [], waitMs: 1_000 };
    const bus = await connection.get();
    const [streams, terms] = await Promise.all([bus.logs(), reader.ask(everything, (chunk) => eachBlockRow(chunk, () => undefined).terms)]);
    const sample = (metric: string, value: number, labels: Record<string, string> = {}): SampleRead => ({ metric, value, labels });
    return [
      sample('tidemark_view_records', sumPosition(terms.position)),
      sample('tidemark_missing_readings', terms.missing),
      sample('tidemark_refused_readings', terms.refused),
      sample('tidemark_late_readings', terms.late),
      ...streams.map(({ name, bytes }) => sample('tidemark_stream_bytes', bytes, { stream: name })),
      ...streams
        .filter(({ bytesMax }) => bytesMax > 0)
        .map((one) => sample('tidemark_stream_bytes_max', one.bytesMax, { stream: one.name })),
    ];
  };
  const startedShare = { partition: 0, life: 0, isAlive: true, trouble: undefined };
  return {
    name: 'dashboard',
    instance,
    ended,
    address,
    collect,
    shares: () => [{ ...startedShare, counts, isAlive: state === 'working' }],
    status: () => ({
      ...baseStatus('dashboard', instance, state),
      counts: { ...counts, readers: feed.listeners.size },
      ...(listensAt === undefined ? {} : { address: listensAt }),
    }),
  };
};
