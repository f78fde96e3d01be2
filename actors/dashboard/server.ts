/**
 * The HTTP server: the API under /api/v1, its description at /docs, the pages.
 *
 * D6  Without `--host` only this machine is answered, and only under its own names; with it, only who has the token.
 * D7  A wrong parameter is answered with 400 and its name, never with rows of something else.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import staticFiles from '@fastify/static';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { type FastifyInstance, fastify } from 'fastify';
import type { Logger } from 'pino';
import { OutOfReachError, RetryableError } from '../../infra/errors.js';
import { packageFolder, packageVersion } from '../../infra/package-folder.js';
import type { Access } from './access.js';
import { addAnswers } from './answer-routes.js';
import { addEvents } from './event-routes.js';
import type { EventFeed } from './events.js';
import { addErrors, errorBody } from './http-errors.js';
import { addLogin, loginPath } from './login.js';
import { addSystem, type Parts } from './system-routes.js';
import type { ViewReader } from './view-reader.js';

export interface ServerParts extends Parts {
  readonly reader: ViewReader;
  readonly feed: EventFeed;
  readonly access: Access;
  readonly log: Logger;
  /** A reader of events was dropped. */
  readonly dropped: () => void;
  /** Called after each request. */
  readonly answered: () => void;
}

/** Beside the compiled code; where that was compiled to somewhere else, in the package. */
const pages = [path.join(import.meta.dirname, 'pages'), path.join(packageFolder, 'actors/dashboard/pages')].find((folder) =>
  existsSync(path.join(folder, 'index.html')),
);
const uplot = path.dirname(createRequire(import.meta.url).resolve('uplot/dist/uPlot.esm.js'));

/** A page that shows it uses its own colours: no style or script but files of this server. */
const ownOnly = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  connectSrc: ["'self'"],
  imgSrc: ["'self'", 'data:'],
  fontSrc: ["'self'"],
  formAction: ["'self'"],
  baseUri: ["'none'"],
  frameAncestors: ["'none'"],
};

/** The API's page sets styles by attribute; it runs no script but its own files. */
const docsPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; " +
  "font-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/** Requests of one address in a second. A page needs a dozen; a program that asks faster than this is at fault. */
const requestsMax = { loopback: 10_000, others: 500 };

/** Without a token these are answered: what a browser needs to ask for one. */
const isPublic = (url: string): boolean => /^\/(?:login(?:\?|$)|assets\/)/.test(url);

const addAccess = (server: FastifyInstance, access: Access): void => {
  server.addHook('onRequest', async (request, reply) => {
    const { host, authorization, cookie, 'sec-fetch-site': site } = request.headers;
    if (!access.isHost(host)) {
      return reply.code(421).send(errorBody('E_HOST', 'this name is not one of this machine: ask http://127.0.0.1 or http://localhost'));
    }
    // A page of another site cannot read the answer, but it could keep this server busy.
    if (site === 'cross-site' && request.url.startsWith('/api/')) {
      return reply.code(403).send(errorBody('E_ORIGIN', 'pages of other sites are not answered'));
    }
    if (access.isAllowed({ host, authorization, cookie }) || isPublic(request.url)) return undefined;
    if (request.method === 'GET' && request.headers.accept?.includes('text/html') === true && !request.url.startsWith('/api/')) {
      return reply.redirect(loginPath(request.url));
    }
    return reply
      .code(401)
      .header('WWW-Authenticate', 'Bearer')
      .send(errorBody('E_TOKEN', 'a token is needed: send Authorization: Bearer TOKEN, or log in at /login'));
  });
};

const addPages = async (server: FastifyInstance): Promise<void> => {
  if (pages === undefined) throw new OutOfReachError('the pages are not beside the code: run npm run build');
  await server.register(staticFiles, { root: pages, cacheControl: true, maxAge: 0, index: 'index.html', dotfiles: 'ignore' });
  server.get('/analysis', { schema: { hide: true } }, (_request, reply) => reply.sendFile('analysis.html'));
  for (const file of ['uPlot.esm.js', 'uPlot.min.css']) {
    server.get(`/assets/uplot/${file}`, { schema: { hide: true } }, (_request, reply) => reply.sendFile(file, uplot));
  }
};

export const createServer = async (parts: ServerParts): Promise<FastifyInstance> => {
  const { access, log } = parts;
  const server: FastifyInstance = fastify({
    routerOptions: { maxParamLength: 200 },
    bodyLimit: 16_384,
    forceCloseConnections: true,
    return503OnClosing: true,
    requestTimeout: 30_000,
  });
  server.setValidatorCompiler(() => () => true); // parameters.ts says it better
  server.setSerializerCompiler(() => (content) => JSON.stringify(content));
  addErrors(server, log);
  server.addHook('onResponse', async () => parts.answered());
  await server.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: ownOnly },
    crossOriginEmbedderPolicy: false,
    strictTransportSecurity: false, // TLS is a proxy's, and so is saying this
    referrerPolicy: { policy: 'no-referrer' },
  });
  await server.register(rateLimit, {
    timeWindow: 1_000,
    max: access.needsToken ? requestsMax.others : requestsMax.loopback,
    addHeaders: { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false },
    errorResponseBuilder: (_request, { after }) =>
      Object.assign(new RetryableError(`too many requests: ask again in ${after}`, { code: 'E_TOO_MANY' }), { statusCode: 429 }),
  });
  addAccess(server, access);
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Tidemark', version: packageVersion(), description: 'Every acknowledged reading is in every answer exactly once.' },
      tags: [
        { name: 'view', description: 'rows, charts, events' },
        { name: 'system', description: 'who works, proofs, metrics' },
      ],
    },
  });
  await server.register(swaggerUi, { routePrefix: '/docs', staticCSP: docsPolicy });
  await server.register(
    async (api) => {
      addAnswers(api, parts.reader);
      addEvents(api, parts.feed, parts.dropped);
      addSystem(api, parts);
      api.get('/openapi.json', { schema: { hide: true } }, () => server.swagger());
    },
    { prefix: '/api/v1' },
  );
  addLogin(server, access);
  await addPages(server);
  return server;
};
