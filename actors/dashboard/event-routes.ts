/** /events: server-sent events, each reader from where it was. */
import type { FastifyInstance } from 'fastify';
import { serveEvents } from './event-readers.js';
import type { EventFeed } from './events.js';
import { errorBody } from './http-errors.js';
import { descriptions } from './openapi.js';
import { onlyKnown, type Parameters, readPositionText, readServices, single } from './parameters.js';

/** Connections that stay open; beyond it others wait. */
export const readersMax = 4_000;

export const addEvents = (server: FastifyInstance, feed: EventFeed, dropped: () => void): void => {
  server.get('/events', { schema: descriptions.events, exposeHeadRoute: false }, async (request, reply) => {
    const given = request.query as Parameters;
    onlyKnown(given, ['service', 'since']);
    const services = readServices(given);
    // A browser that comes back says where it was; the address still says where it began.
    const lastId = request.headers['last-event-id'];
    const name = typeof lastId === 'string' && lastId !== '' ? 'Last-Event-ID' : 'since';
    const text = name === 'since' ? single(given, 'since') : String(lastId);
    const since = text === undefined ? undefined : readPositionText(name, text);
    if (feed.listeners.size >= readersMax) {
      return reply
        .code(503)
        .header('Retry-After', '10')
        .send(errorBody('E_BUSY', `${readersMax} readers of events are connected: come later`));
    }
    const headers = Object.fromEntries(Object.entries(reply.getHeaders()).map(([key, value]) => [key, String(value)]));
    reply.hijack();
    serveEvents(feed, reply.raw, { services, since }, headers, dropped);
    return reply;
  });
};
