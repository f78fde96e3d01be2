import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { connectSource } from '../../infra/client/connect.js';
import { packageFolder } from '../../infra/package-folder.js';
import { runnableActors } from '../../scripts/run-actors.js';
import { until } from '../until.js';
import { publishAll, type System, startSystem } from './system.js';

const read = (name: string): unknown => JSON.parse(readFileSync(path.join(packageFolder, 'infra/ops/grafana', name), 'utf8'));

/** Every `expr` there is. */
const expressionsIn = (value: unknown): string[] => {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (key === 'expr' ? [String(inner)] : expressionsIn(inner)));
};

/** Names of metrics: what is no function, label or word of PromQL. */
const metricsIn = (expression: string): string[] => expression.match(/\b(?:tidemark|nodejs|process)_[a-z0-9_]+/g) ?? [];

const opsPortOf = async ({ bus }: System): Promise<number> =>
  until(async () => {
    const bucket = await bus.bucket('ACTORS', { ttlMs: 60_000 });
    for (const { value } of (await bucket.all()).values()) {
      const { opsPort } = JSON.parse(Buffer.from(value).toString()) as { opsPort?: number };
      if (opsPort !== undefined) return opsPort;
    }
    return undefined;
  });

t.test('every query of the Grafana dashboard and of the alert rules names a metric of a real scrape', async (t) => {
  const system = await startSystem(t, { httpPort: '0' }, [...runnableActors, 'dashboard']);
  const position = await publishAll(system, [{ service: 'web', host: 'h1', timestamp: Date.UTC(2026, 10, 23), cpu: 1, ram: 2, disk: 3 }]);
  const connection = await connectSource({ ...system.settings, nats: system.nats.url }, 'test');
  connection.publish('metrics.web.h1', 'not JSON');
  await connection.flush();
  await connection.close();
  await system.rows(position);
  t.match(await system.batch(), { differences: 0 });
  const port = await opsPortOf(system);
  const get = (name: string) => fetch(`http://127.0.0.1:${port}${name}`);
  const text = await until(async () => {
    const scraped = await (await get('/metrics')).text();
    return /^tidemark_refused_total\{/m.test(scraped) &&
      /^tidemark_proofs_total [1-9]/m.test(scraped) &&
      /^tidemark_view_records/m.test(scraped)
      ? scraped
      : undefined;
  });
  const known = new Set(text.split('\n').map((line) => /^[a-z_0-9]+/.exec(line)?.[0]));
  const expressions = [...expressionsIn(read('dashboard.json')), ...expressionsIn(read('alerts.json'))];
  t.ok(expressions.length > 30, 'queries are seen');
  t.same(
    expressions.filter((expression) => metricsIn(expression).length === 0 && !expression.startsWith('up{')),
    [],
  );
  t.same(
    [...new Set(expressions.flatMap(metricsIn))].filter((name) => !known.has(name)),
    [],
  );
  t.match(text, /^tidemark_refused_total\{reason="[^"]+"\} 1$/m);
  t.match(text, /^tidemark_records_sealed_total 1$/m);
  t.match(text, /^tidemark_lag_records\{actor="buffer",partition="\d"\} 0$/m);
  t.match(text, /^tidemark_storage_seconds_count\{operation="(?:create|append)"\} \d/m);
  t.notMatch(text, /web|h1/, 'no name of a service or host');
  t.equal((await get('/readyz')).status, 200);
  t.equal((await get('/livez')).status, 200);
  const names = text.split('\n').flatMap((line) => /^# TYPE (tidemark_\S+) counter/.exec(line)?.[1] ?? []);
  t.ok(names.length > 15);
  t.same(
    names.filter((name) => !name.endsWith('_total')),
    [],
    'a counter says so',
  );
});
