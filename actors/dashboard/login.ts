/** Logging in from a browser: a form (pages/login.html) that takes the token and gives a cookie which no script can read. */
import type { FastifyInstance } from 'fastify';
import { type Access, cookieName } from './access.js';

/** What one address may try. */
const tries = { max: 10, timeWindow: '1 minute' };
const keptSeconds = 30 * 86_400;

/** Nowhere but on this server. */
const pathOnHere = (next: unknown): string =>
  typeof next === 'string' && /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(next) && next.length <= 4_000 ? next : '/';

export const loginPath = (next: string, isWrong = false): string =>
  `/login?${isWrong ? 'wrong=1&' : ''}next=${encodeURIComponent(pathOnHere(next))}`;

export const addLogin = (server: FastifyInstance, access: Access): void => {
  server.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 8_192 }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(String(body))));
  });
  server.get('/login', { schema: { hide: true } }, (_request, reply) =>
    access.needsToken ? reply.header('Cache-Control', 'no-store').sendFile('login.html') : reply.redirect('/'),
  );
  server.post<{ Body: { token?: unknown; next?: unknown } | undefined }>(
    '/login',
    { schema: { hide: true }, config: { rateLimit: tries } },
    (request, reply) => {
      const { token, next } = request.body ?? {};
      reply.header('Cache-Control', 'no-store');
      if (typeof token !== 'string' || !access.isToken(token)) return reply.redirect(loginPath(String(next ?? '/'), true), 303);
      return reply
        .header('Set-Cookie', `${cookieName}=${access.session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${keptSeconds}`)
        .redirect(pathOnHere(next), 303);
    },
  );
};
