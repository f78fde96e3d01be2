import { createHash } from 'node:crypto';
import t from 'tap';
import { connectSource } from '../../infra/client/connect.js';
import { sumPosition } from '../../protocol/range.js';
import { importLines } from '../../scripts/import/import-lines.js';
import { until } from '../until.js';
import { startSystem } from './system.js';

t.test('B2: an import into the real system counts each reading once, however often it is run', async (t) => {
  const { rows, settings } = await startSystem(t);
  const connection = await connectSource({ ...settings, nats: settings.nats as string }, 'test import');
  t.teardown(() => connection.close());
  const at = Date.UTC(2026, 10, 20);
  const reading = (i: number, more: object = {}): string =>
    JSON.stringify({
      service: `s${i % 5}`,
      host: 'h',
      timestamp: at + i * 1000,
      cpu: i % 100,
      ram: 2,
      disk: 3,
      ...more,
    });
  const lines = Array.from({ length: 5000 }, (_, i) => {
    if (i % 50 === 7) return '{"service":';
    if (i % 50 === 8) return reading(i, { ram: -1 });
    return i % 10 === 5 ? reading(i, { agent: `own ${i % 3}`, n: Math.floor(i / 30) + 1 }) : reading(i);
  });
  // Copies of what has an identity of its own, behind the originals.
  lines.push(lines[5] as string, lines[15] as string, lines[4995] as string);
  const content = createHash('sha256').update(lines.join('\n')).digest('hex');
  const run = () =>
    importLines({
      lines: (async function* () {
        yield* lines.map((line) => Buffer.from(line));
      })(),
      content,
      connection,
      patienceMs: 20_000,
      onProgress: () => undefined,
    });
  t.same(await run(), { taken: 4800, refused: { 'not JSON': 100, 'ram below 0': 100 }, known: 3, sealed: 5003 });
  t.same(await run(), { taken: 0, refused: {}, known: 5003, sealed: 5003 });
  // Acknowledged is some milliseconds before it is in an answer; the refused come last.
  const { rows: counted, terms } = await until(async () => {
    const answer = await rows();
    return answer.terms.refused >= 200 && sumPosition(answer.terms.position) >= 4800 ? answer : undefined;
  });
  t.equal(sumPosition(terms.position), 4800);
  t.ok(
    terms.position.every((offset) => offset > 0),
    `every partition is used: ${terms.position}`,
  );
  t.equal(terms.missing, 0);
  t.equal(terms.refused, 200);
  t.ok(counted.length > 0);
});

t.test('B6: an import ends, however many lines of a source of its own cannot be parsed', async (t) => {
  const { rows, settings } = await startSystem(t);
  const connection = await connectSource({ ...settings, nats: settings.nats as string }, 'test import');
  t.teardown(() => connection.close());
  // Each broken line leaves a hole in the agent's n, and nobody can say that it will never be filled.
  const lines = Array.from({ length: 2_000 }, (_, i) => {
    const line = JSON.stringify({
      service: 's',
      timestamp: 1_795_000_000,
      cpu: 1,
      ram: 2,
      disk: 3,
      agent: 'a',
      n: i + 1,
    });
    return Buffer.from(i % 10 === 5 ? line.slice(0, -1) : line);
  });
  const counts = await importLines({
    lines: (async function* () {
      yield* [...lines, ...lines];
    })(),
    content: createHash('sha256').update('holes').digest('hex'),
    connection,
    patienceMs: 10_000,
    onProgress: () => undefined,
  });
  t.same(counts, { taken: 1_800, refused: { 'not JSON': 400 }, known: 1_800, sealed: 4_000 });
  const terms = await until(async () => {
    const answer = await rows();
    return answer.terms.refused === 400 ? answer.terms : undefined;
  });
  t.match(terms, { missing: 200 });
});
