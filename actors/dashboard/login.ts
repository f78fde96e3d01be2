/** Logging in from a browser: a form that takes the token and gives a cookie which no script can read. */
import type { FastifyInstance } from 'fastify';
import { type Access, cookieName } from './access.js';

const page = (message: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tidemark: log in</title>
<link rel="stylesheet" href="/assets/style.css">
</head>
<body>
<main>
<h1>Tidemark</h1>
${message === '' ? '' : `<p role="alert">${message}</p>`}
<form method="post" action="/login">
<p><label for="token">Token</label> <input id="token" name="token" type="password" autocomplete="current-password" required autofocus></p>
<p><button type="submit">Log in</button></p>
</form>
</main>
</body>
</html>
`;

/** What one address may try. */
const tries = { max: 10, timeWindow: '1 minute' };

export const addLogin = (server: FastifyInstance, access: Access): void => {
  server.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: 4_096 }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(String(body))));
  });
  server.get('/login', { schema: { hide: true } }, (_request, reply) => {
    if (!access.needsToken) return reply.redirect('/');
    return reply.type('text/html; charset=utf-8').header('Cache-Control', 'no-store').send(page(''));
  });
  server.post<{ Body: { token?: unknown } | undefined }>(
    '/login',
    { schema: { hide: true }, config: { rateLimit: tries } },
    (request, reply) => {
      const { token } = request.body ?? {};
      if (typeof token !== 'string' || !access.isToken(token)) {
        return reply.code(401).type('text/html; charset=utf-8').header('Cache-Control', 'no-store').send(page('That is not the token.'));
      }
      return reply
        .header('Set-Cookie', `${cookieName}=${access.session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000`)
        .redirect('/', 303);
    },
  );
};
