import t from 'tap';
import { minute, rowOf, serve } from './served.js';

const local = { host: 'localhost:8080' };
const range = 'from=2026-11-23&to=2026-11-24';

t.test('D7: a wrong parameter is answered with 400 and its name', async (t) => {
  const { server, asked } = await serve(t);
  const wrong: [url: string, field: string][] = [
    ['/views?to=now', 'from'],
    ['/views?from=now-1h', 'to'],
    ['/views?from=yesterday&to=now', 'from'],
    ['/views?from=now&to=now-1h', 'from'],
    ['/views?from=now-1h&from=now-2h&to=now', 'from'],
    [`/views?${range}&step=week`, 'step'],
    [`/views?${range}&zone=Mars/Olympus`, 'zone'],
    [`/views?${range}&after=1,x`, 'after'],
    [`/views?${range}&after=${'1,'.repeat(70)}1`, 'after'],
    [`/views?${range}&wait=2h`, 'wait'],
    [`/views?${range}&format=xml`, 'format'],
    [`/views?${range}&service=`, 'service'],
    [`/views?${range}&service=${'x'.repeat(201)}`, 'service'],
    [`/views?${range}&sevice=web`, 'sevice'],
    [`/views?${range}&__proto__=web`, '__proto__'],
    [`/series?${range}&points=1`, 'points'],
    [`/series?${range}&points=many`, 'points'],
    [`/summary?${range}&step=hour`, 'step'],
    ['/explain?minute=2026-11-23T10:15', 'service'],
    ['/explain?service=web', 'minute'],
    ['/explain?service=web&minute=soon', 'minute'],
    ['/explain?service=web&minute=2026-11-23T10:15&limit=1001', 'limit'],
    ['/events?since=x', 'since'],
    ['/events?service=', 'service'],
    ['/services?all=1', 'all'],
    ['/proofs?limit=0', 'limit'],
  ];
  for (const [url, field] of wrong) {
    const { statusCode, body } = await server.inject({ url: `/api/v1${url}`, headers: local });
    t.match({ statusCode, ...JSON.parse(body) }, { statusCode: 400, error: { code: 'E_PARAMETER', field, message: /\S/ } }, url);
  }
  t.equal(asked.length, 0, 'nobody was asked');
  const nowhere = await server.inject({ url: '/api/v1/nothing', headers: local });
  t.match(nowhere.json(), { error: { code: 'E_NOT_FOUND' } });
  t.equal(nowhere.statusCode, 404);
  t.equal((await server.inject({ method: 'POST', url: '/api/v1/views', headers: local })).statusCode, 404);
  t.equal((await server.inject({ url: '/..%2f..%2fpackage.json', headers: local })).statusCode, 404);
});

t.test('D2: an ETag stays while the rows do, and is of the question', async (t) => {
  const served = await serve(t);
  const { server } = served;
  served.rows = [rowOf('web', minute), rowOf('web', minute + 60_000)];
  const get = (query: string, headers = {}) => server.inject({ url: `/api/v1/views?${query}`, headers: { ...local, ...headers } });
  const first = await get(range);
  t.match(first.json(), {
    rows: [{ service: 'web', msg_num: 1 }, {}],
    terms: served.terms,
    etag: String(first.headers.etag).replace(/^W\//, ''),
  });
  served.terms = { ...served.terms, batch: '000002', cut: [7, 9], position: [8, 9] };
  const again = await get(range, { 'if-none-match': first.headers.etag });
  t.equal(again.statusCode, 304, 'the same rows from another batch, further on');
  t.equal(again.body, '');
  t.not((await get(`${range}&service=web`)).headers.etag, first.headers.etag, 'another question');
  t.equal((await get('from=2026-11-23T00:00Z&to=1795478400')).headers.etag, first.headers.etag, 'the same question in other words');
  served.rows = [rowOf('web', minute), rowOf('web', minute + 60_000, 12.6)];
  const changed = await get(range, { 'if-none-match': first.headers.etag });
  t.equal(changed.statusCode, 200);
  t.not(changed.headers.etag, first.headers.etag);
  for (const path of ['series', 'summary']) {
    const { headers } = await server.inject({ url: `/api/v1/${path}?${range}`, headers: local });
    const same = await server.inject({ url: `/api/v1/${path}?${range}`, headers: { ...local, 'if-none-match': headers.etag as string } });
    t.equal(same.statusCode, 304, path);
  }
});

t.test('D9: a 304 says how far the rows hold now, and keeps every header that 200 has for caches', async (t) => {
  const served = await serve(t);
  served.rows = [rowOf('web', minute)];
  for (const path of ['views', 'views?format=csv', 'views?format=parquet', 'series', 'summary']) {
    served.terms = { ...served.terms, batch: '000001', cut: [1, 2], position: [7, 9], missing: 1 };
    const url = `/api/v1/${path}${path.includes('?') ? '&' : '?'}${range}`;
    const get = (headers = {}) => served.server.inject({ url, headers: { ...local, ...headers } });
    const first = await get();
    t.match(first, { statusCode: 200, headers: { 'tidemark-batch': '000001', 'tidemark-position': '7,9', 'tidemark-missing': '1' } }, path);
    t.match(first.headers.etag, /^W\/"/, 'weak: the terms in the body move on');
    served.terms = { ...served.terms, batch: '000002', cut: [7, 9], position: [8, 9], missing: path === 'summary' ? 1 : 0 };
    const same = await get({ 'if-none-match': first.headers.etag });
    t.match(
      same,
      { statusCode: 304, body: '', headers: { 'tidemark-batch': '000002', 'tidemark-cut': '7,9', 'tidemark-position': '8,9' } },
      path,
    );
    t.equal(same.headers['tidemark-missing'], path === 'summary' ? '1' : '0');
    const ofBody = /^(?:content-(?!security)|transfer-|date$|connection$)/;
    t.same(
      Object.keys(first.headers).filter((name) => !ofBody.test(name) && !(name in same.headers)),
      [],
      'nothing else is left out',
    );
  }
});

t.test('equal questions share an answer, but never one that was asked for before they came', async (t) => {
  const served = await serve(t);
  let letGo: () => void = () => undefined;
  served.hold = new Promise((resolve) => {
    letGo = resolve;
  });
  const get = () => served.server.inject({ url: `/api/v1/views?${range}`, headers: local });
  const first = get();
  while (served.asked.length === 0) await new Promise(setImmediate);
  const others = [get(), get(), get()];
  served.hold = undefined;
  letGo();
  t.same(
    (await Promise.all([first, ...others])).map(({ statusCode }) => statusCode),
    [200, 200, 200, 200],
  );
  t.equal(served.asked.length, 2, 'the three that came later share the second');
});

t.test('D1: what was answered once is the least that is answered next, whichever merger answers', async (t) => {
  const served = await serve(t);
  const get = async (query = range) => (await served.server.inject({ url: `/api/v1/views?${query}`, headers: local })).statusCode;
  await get();
  await get(`${range}&after=8`);
  served.terms = { ...served.terms, position: [10, 4] };
  await get();
  await get();
  t.same(
    served.asked.map(({ after }) => after),
    [[], [8, 9], [7, 9], [10, 9]],
  );
  served.refusal = { error: 'the view has got to 1,1, not yet to 10,9, within 10 ms', code: 'E_OUT_OF_REACH' };
  t.equal(await get(), 503);
  served.refusal = undefined;
  t.equal(await get(), 200, 'data that was made anew is answered from again');
  t.same(served.asked.at(-1)?.after, []);
});

t.test('CSV: names are inert, terms stand in headers, the file has a name of times', async (t) => {
  const served = await serve(t);
  served.rows = ['=HYPERLINK("http://x")', '+1', '-1', '@x', '\tx', 'a,"b"\r\nSet-Cookie: x=1', '../up'].map((name) => rowOf(name, minute));
  const { body, headers } = await served.server.inject({ url: `/api/v1/views?${range}&format=csv`, headers: local });
  t.match(headers, {
    'content-type': /^text\/csv/,
    'content-disposition': 'attachment; filename="tidemark-20261123T0000-20261124T0000.csv"',
    'tidemark-position': '7,9',
    'tidemark-batch': '000001',
    'tidemark-late': '3',
  });
  const lines = body.split('\r\n');
  t.match(lines[0], /^service,time_stamp,cpu/);
  t.notOk(
    lines.slice(1).some((line) => /^[=+\-@\t]/.test(line)),
    'no cell begins a formula',
  );
  t.ok(body.includes('"\'=HYPERLINK(""http://x"")"'));
  const odd = await served.server.inject({
    url: `/api/v1/views?${range}&service=${encodeURIComponent('a,"b"\r\nSet-Cookie: x=1')}`,
    headers: local,
  });
  t.equal(odd.json().rows.length, 1);
  t.equal(odd.headers['set-cookie'], undefined);
});

t.test('headers: a strict policy on pages and answers, one of its own on the page of the API', async (t) => {
  const { server } = await serve(t);
  const strict =
    "default-src 'none';script-src 'self';style-src 'self';connect-src 'self';img-src 'self' data:;font-src 'self';form-action 'self';" +
    "base-uri 'none';frame-ancestors 'none'";
  for (const url of ['/', '/analysis', '/assets/style/base.css', '/assets/uplot/uPlot.esm.js', '/api/v1/status']) {
    const { headers, statusCode } = await server.inject({ url, headers: local });
    t.equal(statusCode, 200, url);
    t.equal(headers['content-security-policy'], strict, url);
    t.match(
      headers,
      { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cross-origin-opener-policy': 'same-origin' },
      url,
    );
  }
  const docs = await server.inject({ url: '/docs', headers: local });
  t.match(docs, { statusCode: 200, headers: { 'content-security-policy': /^default-src 'none'; script-src 'self';/ } });
  const { paths, openapi } = (await server.inject({ url: '/api/v1/openapi.json', headers: local })).json();
  t.equal(openapi, '3.1.0');
  t.same(
    Object.keys(paths).sort(),
    ['events', 'explain', 'proofs', 'series', 'services', 'status', 'summary', 'targets', 'views'].map((name) => `/api/v1/${name}`),
  );
});

t.test('D6: only this machine is answered, under its own names', async (t) => {
  const { server } = await serve(t);
  const status = async (host: string) => (await server.inject({ url: '/api/v1/status', headers: { host } })).statusCode;
  for (const host of ['localhost', 'localhost:8080', '127.0.0.1:8080', '[::1]:8080', 'tidemark.localhost'])
    t.equal(await status(host), 200, host);
  const strange = await server.inject({ url: '/api/v1/status', headers: { ...local, 'sec-fetch-site': 'cross-site' } });
  t.match(strange, { statusCode: 403 }, 'a page of another site');
  for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1', 'x:8080'])
    t.equal(await status(host), 421, host);
});

t.test('D6: with a token, only who has it is answered', async (t) => {
  const token = 'a token nobody knows'.replaceAll(' ', '-');
  const { server } = await serve(t, { token });
  const get = (headers: Record<string, string>, url = '/api/v1/status') =>
    server.inject({ url, headers: { host: 'here.example', ...headers } });
  t.match(await get({}), { statusCode: 401, headers: { 'www-authenticate': 'Bearer' } });
  t.equal((await get({ authorization: `Bearer ${token}` })).statusCode, 200);
  for (const authorization of [`Bearer ${token}x`, `Bearer ${token.slice(1)}`, 'Bearer', `Basic ${token}`, token]) {
    t.equal((await get({ authorization })).statusCode, 401, authorization);
  }
  t.equal((await get({}, '/docs')).statusCode, 401);
  t.equal((await get({}, '/api/v1/events')).statusCode, 401);
  t.match(await get({ accept: 'text/html' }, '/analysis?from=now-1h'), {
    statusCode: 302,
    headers: { location: `/login?next=${encodeURIComponent('/analysis?from=now-1h')}` },
  });
  t.equal((await get({}, '/login')).statusCode, 200);
  t.equal((await get({}, '/assets/style/base.css')).statusCode, 200);
  t.equal((await get({}, '/assets/..%2f..%2fserver.js')).statusCode, 404);
  const login = (payload: string) =>
    server.inject({
      method: 'POST',
      url: '/login',
      payload,
      headers: { host: 'here.example', 'content-type': 'application/x-www-form-urlencoded' },
    });
  t.match(await login('token=wrong&next=/analysis'), { statusCode: 303, headers: { location: '/login?wrong=1&next=%2Fanalysis' } });
  const logged = await login(`token=${token}&next=${encodeURIComponent('/analysis?from=now-1h')}`);
  t.match(logged, { statusCode: 303, headers: { location: '/analysis?from=now-1h' } });
  const cookie = String(logged.headers['set-cookie']);
  t.match(cookie, /^tidemark=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict/);
  t.notOk(cookie.includes(token), 'the cookie is not the token');
  t.equal((await get({ cookie: `a=b; ${cookie.split(';')[0]}` })).statusCode, 200);
  t.equal((await get({ cookie: `tidemark=${token}` })).statusCode, 401);
  for (const next of ['//evil.example', 'https://evil.example', '/\\evil.example', '/a\r\nSet-Cookie: x=1']) {
    t.equal((await login(`token=${token}&next=${encodeURIComponent(next)}`)).headers.location, '/', next);
  }
  for (let i = 0; i < 10; i++) await login('token=wrong');
  t.equal((await login(`token=${token}`)).statusCode, 429, 'who tries too often waits');
});

t.test('services: first and last minute of each, found anew when a day grew', async (t) => {
  const served = await serve(t);
  const day = 86_400_000;
  served.rows = [rowOf('old', minute - 300 * day), rowOf('web', minute - day), rowOf('web', minute), rowOf('web', minute + 61_000 * 60)];
  const get = async () => (await served.server.inject({ url: '/api/v1/services', headers: local })).json();
  const expected = {
    first: '2026-01-27T10:15:00Z',
    last: '2026-11-23T11:16:00Z',
    services: [
      { service: 'old', first: '2026-01-27T10:15:00Z', last: '2026-01-27T10:15:00Z' },
      { service: 'web', first: '2026-11-22T10:15:00Z', last: '2026-11-23T11:16:00Z' },
    ],
  };
  t.match(await get(), expected);
  const before = served.asked.length;
  t.match(await get(), expected);
  t.equal(served.asked.length, before + 1, 'what has not changed is asked once');
  served.rows = [...served.rows, rowOf('web', minute - day - 60_000), rowOf('web', minute + 7_200_000)];
  t.match(await get(), { last: '2026-11-23T12:15:00Z', services: [{}, { first: '2026-11-22T10:14:00Z', last: '2026-11-23T12:15:00Z' }] });
});

t.test('summary: one line for each service, those without a message too', async (t) => {
  const served = await serve(t);
  served.rows = [rowOf('web', minute, 10, 3), rowOf('web', minute + 60_000, 40, 1), rowOf('db', minute, 5)];
  const { services } = (await served.server.inject({ url: `/api/v1/summary?${range}&service=web&service=gone`, headers: local })).json();
  t.match(services, [
    { service: 'gone', msg_num: 0, cpu: { mean: null, max: null, maxTime: null }, first: null, last: null },
    {
      service: 'web',
      msg_num: 4,
      cpu: { mean: 17.5, max: 40, maxTime: '2026-11-23T10:16:00.000Z' },
      missing: 1,
      refused: 2,
      late: 3,
      first: '2026-11-23T10:15:00Z',
      last: '2026-11-23T10:16:00Z',
    },
  ]);
});

t.test('nobody answers: 503, and in time', async (t) => {
  const { server, bus } = await serve(t);
  await bus.close();
  const { statusCode, headers, body } = await server.inject({ url: `/api/v1/views?${range}&wait=100ms`, headers: local });
  t.equal(statusCode, 503);
  t.match(JSON.parse(body), { error: { code: 'E_OUT_OF_REACH' } });
  t.equal(headers['retry-after'], '1');
});
