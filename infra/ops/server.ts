/**
 * The ops port of a process of actors: whether it lives, whether it is ready and why not, and its metrics.
 *
 * O3  /livez says that the event loop turns, whatever else is wrong; /readyz is 503 with its reasons until every actor of
 *     the process works or stands by.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RunningActor } from '../actor/host.js';
import { messageOf, OutOfReachError } from '../errors.js';
import type { ActorMetrics } from './metrics.js';

export interface OpsServer {
  readonly port: number;
  close(): Promise<void>;
}

export interface Health {
  readonly actors: readonly RunningActor[];
  /** ms since 1970: when the bus last took what the actors say of themselves. */
  readonly toldAt: () => number;
}

/** Actors say once a second that they are there. */
const toldMsMax = 5_000;

/** Why not; nothing: it is ready. Pure but for the actors' states. */
export const whyNotReady = ({ actors, toldAt }: Health, now: number): string[] => {
  const reasons: string[] = [];
  const silentMs = now - toldAt();
  if (silentMs > toldMsMax) reasons.push(`NATS has taken nothing for ${Math.round(silentMs / 1_000)} s`);
  for (const actor of actors) {
    const { state, error } = actor.status();
    const name = `${actor.name} ${actor.instance}`;
    if (state !== 'working' && state !== 'standby') reasons.push(`${name}: ${state}${error === undefined ? '' : `: ${error}`}`);
    for (const { partition, isAlive, trouble } of actor.shares?.() ?? []) {
      if (!isAlive) reasons.push(`${name}: partition ${partition}: ${trouble ?? 'begins'}`);
    }
  }
  return reasons;
};

const send = (response: ServerResponse, status: number, type: string, body: string): void => {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
};

const sendJson = (response: ServerResponse, status: number, content: unknown): void =>
  send(response, status, 'application/json; charset=utf-8', `${JSON.stringify(content)}\n`);

const answer = async (url: string, response: ServerResponse, health: Health, metrics: ActorMetrics): Promise<void> => {
  switch (url.replace(/\?.*$/, '')) {
    case '/livez':
      return sendJson(response, 200, { alive: true });
    case '/readyz': {
      const reasons = whyNotReady(health, Date.now());
      return sendJson(response, reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons });
    }
    case '/metrics':
      return send(response, 200, metrics.contentType, await metrics.scrape());
    default:
      return sendJson(response, 404, { error: { code: 'E_NOT_FOUND', message: 'there are /livez, /readyz and /metrics' } });
  }
};

/** @throws OutOfReachError when the port is taken */
export const startOpsServer = async (
  { host, port }: { host: string; port: number },
  health: Health,
  metrics: ActorMetrics,
): Promise<OpsServer> => {
  const server: Server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return sendJson(response, 405, { error: { code: 'E_METHOD', message: 'GET only' } });
    answer(request.url ?? '/', response, health, metrics).catch((error: unknown) =>
      sendJson(response, 500, { error: { code: 'E_FAILED', message: messageOf(error) } }),
    );
    return undefined;
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new OutOfReachError(`health and metrics cannot listen on ${host}:${port} (${cause.message}): name another --ops-port`, { cause }),
      ),
    );
    server.listen({ host, port }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await metrics.close();
    },
  };
};
