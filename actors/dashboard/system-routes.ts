/** /services, /explain, /status, /proofs and /targets: what there is, where it comes from, and who works on it. */
import type { FastifyInstance } from 'fastify';
import { turns } from '../../infra/at-once.js';
import type { Bus } from '../../infra/bus/bus.js';
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { within } from '../../infra/within.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { readActorStatus } from '../../protocol/messages/readers.js';
import { formatInstant } from '../../protocol/time.js';
import { readProofs } from '../scheduler/begin.js';
import { loadProved } from '../scheduler/manifest.js';
import type { DashboardWorld } from './dashboard.js';
import type { Explainer } from './explain.js';
import { Gathered } from './gathered.js';
import { descriptions } from './openapi.js';
import { onlyKnown, type Parameters, readMinute, readOneService, readPosition, readWhole } from './parameters.js';
import type { ServiceFinder, ServiceList } from './services.js';
import type { ConnectionKept } from './view-reader.js';

/** Explanations that read files at a time. */
const explanationsMax = 2;
const goneAfterMs = 3_000;
const connectMsMax = 700;

export interface Parts {
  readonly world: DashboardWorld;
  readonly connection: ConnectionKept;
  readonly services: ServiceFinder;
  readonly explainer: Explainer;
}

/** One for each process, as Prometheus' HTTP discovery wants them. */
export interface Target {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

const readTargets = async (connection: ConnectionKept): Promise<Target[]> => {
  const bus = await connection.get();
  const bucket = await bus.bucket('ACTORS', { ttlMs: 60_000 });
  const actorsOf = new Map<string, Set<string>>();
  for (const { value } of (await bucket.all()).values()) {
    const { actor, host, opsPort, opsHost, at } = readActorStatus(value);
    if (opsPort === undefined || Date.now() - at > goneAfterMs) continue;
    const address = `${opsHost ?? host}:${opsPort}`;
    actorsOf.set(address, (actorsOf.get(address) ?? new Set()).add(actor));
  }
  return [...actorsOf]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([address, actors]) => ({ targets: [address], labels: { actors: [...actors].sort().join(',') } }));
};

const readAllProofs = async ({ world, connection }: Parts): Promise<{ proofs: readonly ViewProved[]; oldest: string | null }> => {
  const proofs = await readProofs(await connection.get());
  const newest = proofs.findLast(({ differences, repaired }) => differences === 0 || repaired === true);
  const manifest = newest && (await loadProved({ storage: world.storage }, newest).catch(() => undefined));
  const times = Object.values(manifest?.recomputed ?? {}).map(({ at }) => at);
  return { proofs: proofs.reverse(), oldest: times.length === 0 ? null : formatInstant(times.reduce((min, at) => Math.min(min, at))) };
};

/** Status answers whatever state the server is in. */
const connectionOrWhy = (connection: ConnectionKept): Promise<Bus | Error> =>
  within(connection.get(), connectMsMax, () => new OutOfReachError('no connection in time')).catch(
    (error: unknown) => new OutOfReachError(messageOf(error), { cause: error }),
  );

export const addSystem = (server: FastifyInstance, parts: Parts): void => {
  const { world, connection, services, explainer } = parts;
  const lists = new Gathered<ServiceList>();
  const statuses = new Gathered<unknown>();
  const proofs = new Gathered<Awaited<ReturnType<typeof readAllProofs>>>();
  const explainTurn = turns(explanationsMax);

  server.get('/services', { schema: descriptions.services }, async (request, reply) => {
    onlyKnown(request.query as Parameters, []);
    return reply.header('Cache-Control', 'no-cache').send(await lists.ask('', () => services.find()));
  });

  server.get('/explain', { schema: descriptions.explain }, async (request, reply) => {
    const given = request.query as Parameters;
    onlyKnown(given, ['service', 'minute', 'limit', 'after']);
    const question = {
      service: readOneService(given),
      minute: readMinute(given, Date.now()),
      limit: readWhole(given, 'limit', 1, 1_000, 100),
      after: readPosition(given, 'after'),
    };
    return reply.header('Cache-Control', 'no-cache').send(await explainTurn(() => explainer.explain(question)));
  });

  server.get('/status', { schema: descriptions.status }, async (request, reply) => {
    onlyKnown(request.query as Parameters, []);
    return reply
      .header('Cache-Control', 'no-store')
      .send(await statuses.ask('', async () => world.readStatus(await connectionOrWhy(connection))));
  });

  server.get('/proofs', { schema: descriptions.proofs }, async (request, reply) => {
    const given = request.query as Parameters;
    onlyKnown(given, ['limit']);
    const limit = readWhole(given, 'limit', 1, 1_000, 100);
    const { oldest, proofs: all } = await proofs.ask('', () => readAllProofs(parts));
    return reply.header('Cache-Control', 'no-cache').send({ proofs: all.slice(0, limit), oldest });
  });

  server.get('/targets', { schema: descriptions.targets }, async (request, reply) => {
    onlyKnown(request.query as Parameters, []);
    return reply.header('Cache-Control', 'no-store').send(await readTargets(connection));
  });
};
