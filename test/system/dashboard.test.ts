import { request } from 'node:http';
import t, { type Test } from 'tap';
import { runnableActors } from '../../scripts/run-actors.js';
import { until } from '../until.js';
import { publishAll, type Reading, type System, startSystem } from './system.js';

const at = Date.UTC(2026, 10, 23, 10, 15);
const odd = '=cmd|\' /C calc\'!A0 <img src=x onerror=alert(1)> "../up" ÄÖ';

const reading = (service: string, timestamp: number, cpu: number, more: Partial<Reading> = {}): Reading => ({
  service,
  host: 'h1',
  timestamp,
  cpu,
  ram: 20.5,
  disk: 30,
  ...more,
});

interface Asked {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly json: () => Record<string, unknown>;
}

/** A system with its dashboard, found where the dashboard says that it listens. */
const startWithPages = async (t: Test) => {
  const system = await startSystem(t, { httpPort: '0' }, [...runnableActors, 'dashboard']);
  const address = await addressOf(system);
  await system.rows(); // the merger answers: before that the dashboard says 503, as it should
  const get = async (path: string, headers: Record<string, string> = {}): Promise<Asked> => {
    const response = await fetch(`${address}${path}`, { headers });
    const text = await response.text();
    return { status: response.status, headers: Object.fromEntries(response.headers), text, json: () => JSON.parse(text) };
  };
  return { system, address, get };
};

const addressOf = async ({ bus }: System): Promise<string> =>
  until(async () => {
    const bucket = await bus.bucket('ACTORS', { ttlMs: 60_000 });
    for (const [key, { value }] of await bucket.all()) {
      const { address } = JSON.parse(Buffer.from(value).toString()) as { address?: string };
      if (key.startsWith('dashboard.') && address !== undefined) return address;
    }
    return undefined;
  });

const query = (values: Record<string, string>): string => new URLSearchParams(values).toString();
const range = { from: '2026-11-23', to: '2026-11-24' };

t.test('D5: a minute is explained by exactly its messages: in the open part, in parts, in the batch, and in all of them', async (t) => {
  const { system, get } = await startWithPages(t);
  const explain = async (service: string, after: readonly number[], limit = 100) => {
    const { json } = await get(
      `/api/v1/explain?${query({ service, minute: '2026-11-23T10:15:30Z', after: after.join(','), limit: String(limit) })}`,
    );
    return json() as unknown as {
      row: { msg_num: number; max_cpu_time: string } | null;
      messages: { line: string; peaks: string[]; timestamp: string; agent: string; n: number }[];
      total: number;
      truncated: boolean;
    };
  };
  const batch1 = [
    ...Array.from({ length: 70 }, (_, i) => reading('web', at + i * 100, i === 40 ? 90 : 10)),
    ...Array.from({ length: 30 }, (_, i) => reading(odd, at + i, 1)),
    reading('web', at - 1, 99), // the minute before
    reading('web', at + 60_000, 99), // the minute after
    reading('web', at - 86_400_000, 99),
  ];
  const first = await publishAll(system, batch1);
  const open = await explain('web', first);
  t.match(open, { total: 70, truncated: false, row: { msg_num: 70, max_cpu_time: '2026-11-23T10:15:04.000Z' } }, 'from the open part');
  t.same(
    open.messages.slice(0, 3).map(({ peaks, timestamp }) => [peaks, timestamp]),
    [
      [['ram', 'disk'], '2026-11-23T10:15:00.000Z'], // the earliest of equals
      [['cpu'], '2026-11-23T10:15:04.000Z'],
      [[], '2026-11-23T10:15:00.100Z'],
    ],
    'those that set peaks stand first',
  );
  t.match(JSON.parse(open.messages[1]?.line ?? ''), { service: 'web', cpu: 90, timestamp: at + 4_000 });
  t.ok(open.messages.every(({ agent, n }) => typeof agent === 'string' && n > 0));
  t.match(await system.batch(), { differences: 0 });
  t.match(await explain('web', first), { total: 70, row: { msg_num: 70 } }, 'from the batch');
  const second = await publishAll(system, [reading('web', at + 59_999, 95), reading('web', at + 5, 1)]);
  const both = await explain('web', second);
  t.match(both, { total: 72, row: { msg_num: 72, max_cpu_time: '2026-11-23T10:15:59.999Z' } }, 'batch and real time');
  t.match(both.messages[1], { peaks: ['cpu'], timestamp: '2026-11-23T10:15:59.999Z' });
  t.match(await system.batch(), { differences: 0 }, 'a second one: STORED was purged below the first');
  const third = await publishAll(system, [reading('web', at + 7, 2)]);
  t.match(await explain('web', third), { total: 73 });
  const few = await explain('web', third, 2);
  t.match(few, { total: 73, truncated: true, messages: { length: 2 } });
  t.match(await explain(odd, third), { total: 30, messages: { length: 30 } }, 'any name');
  t.match(await explain('nobody', third), { row: null, total: 0, messages: [] });
});

t.test('answers over HTTP: the same rows and ETag across a swap, the same as by the library, in each format', async (t) => {
  const { system, get } = await startWithPages(t);
  const readings = Array.from({ length: 600 }, (_, i) => reading(i % 3 === 0 ? odd : 'web', at + (i % 7) * 60_000 + i, (i * 37) % 101));
  const after = await publishAll(system, readings);
  const views = `/api/v1/views?${query({ ...range, after: after.join(',') })}`;
  const before = await get(views);
  const { rows, terms } = before.json() as unknown as { rows: { service: string; msg_num: number }[]; terms: { batch: string | null } };
  t.equal(
    rows.reduce((sum, { msg_num }) => sum + msg_num, 0),
    600,
  );
  t.equal(terms.batch, null);
  t.match(await system.batch(), { differences: 0 });
  const swapped = await until(async () => {
    const answer = await get(views);
    return (answer.json() as unknown as typeof before & { terms: { batch: string | null } }).terms.batch === '000001' ? answer : undefined;
  });
  t.equal(swapped.headers.etag, before.headers.etag, 'rows from the batch view are the same to the bit');
  t.same((swapped.json() as unknown as { rows: unknown }).rows, rows);
  t.equal((await get(views, { 'if-none-match': String(before.headers.etag) })).status, 304);

  const csv = (await get(`${views}&format=csv`)).text;
  t.equal(csv.split('\r\n').length, rows.length + 2);
  t.notOk(/^[=+@-]/m.test(csv), 'no formula');
  const parquet = await fetch(`${await addressOf(system)}${views}&format=parquet`);
  const bytes = Buffer.from(await parquet.arrayBuffer());
  t.equal(bytes.subarray(0, 4).toString('latin1'), 'PAR1');
  t.equal(bytes.subarray(-4).toString('latin1'), 'PAR1');
  t.equal(parquet.headers.get('tidemark-batch'), '000001');

  const series = (await get(`/api/v1/series?${query({ ...range, service: 'web', points: '10' })}`)).json() as unknown as {
    services: { msg_num: number[]; cpu: { max: number[]; maxTime: string[] } }[];
  };
  const web = rows.filter(({ service }) => service === 'web') as unknown as { max_cpu: number; max_cpu_time: string; msg_num: number }[];
  const top = web.reduce((a, b) => (b.max_cpu > a.max_cpu ? b : a));
  const [drawn] = series.services;
  t.equal(Math.max(...(drawn?.cpu.max ?? [])), top.max_cpu, 'the peak survives');
  t.ok(drawn?.cpu.maxTime.includes(top.max_cpu_time), 'and its time');
  const summary = (await get(`/api/v1/summary?${query({ ...range, service: 'web' })}`)).json() as unknown as { services: unknown[] };
  t.match(summary.services, [{ msg_num: 400, cpu: { max: top.max_cpu, maxTime: top.max_cpu_time } }]);
  t.match((await get('/api/v1/services')).json(), { services: [{ service: odd }, { service: 'web', first: '2026-11-23T10:15:00Z' }] });
  t.match((await get('/api/v1/proofs')).json(), { proofs: [{ batch: '000001', differences: 0 }] });
  t.match((await get('/api/v1/status')).json(), { batch: '000001', position: [...after] });
});

t.test('events go on where a reader was, while sources publish', async (t) => {
  const { system, address, get } = await startWithPages(t);
  const first = await publishAll(system, [reading('web', at, 1)]);
  const { terms } = (await get(`/api/v1/views?${query({ ...range, after: first.join(',') })}`)).json() as unknown as {
    terms: { position: number[] };
  };
  const second = await publishAll(system, [reading('web', at + 1, 50), reading('db', at, 2)]);
  const heard = await new Promise<string>((resolve, reject) => {
    const asking = request(`${address}/api/v1/events?service=web&since=${terms.position.join(',')}`, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', () => undefined);
      response.on('data', (chunk: string) => {
        text += chunk;
        if (!text.includes('"max_cpu":50')) return;
        resolve(text);
        asking.destroy();
      });
    });
    asking.on('error', reject);
    asking.end();
  });
  t.match(heard, /^id: \d+(,\d+)*$/m);
  t.match(heard, /"msg_num":2/);
  t.notMatch(heard, /"service":"db"/);
  t.ok(second.length > 0);
});
