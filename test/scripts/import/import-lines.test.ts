import { createHash } from 'node:crypto';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t, { type Test } from 'tap';
import { partitionOf } from '../../../protocol/name-code.js';
import { type ImportCounts, importLines } from '../../../scripts/import/import-lines.js';
import { identityIn, laneSubjects } from '../../../scripts/import/lanes.js';
import { startNats } from '../../servers.js';
import { standInBuffer } from './stand-in-buffer.js';

const openSystem = async (t: Test) => {
  const nats = await startNats(t);
  const connection = await connect({ servers: nats.url });
  const theirs = await connect({ servers: nats.url });
  t.teardown(() => Promise.all([connection.close(), theirs.close()]));
  await (await jetstreamManager(connection)).streams.add({ name: 'METRICS', subjects: ['metrics.>'] });
  const buffer = standInBuffer(theirs);
  await theirs.flush();
  const run = (lines: readonly string[], patienceMs = 20_000): Promise<ImportCounts> =>
    importLines({
      lines: (async function* () {
        yield* lines.map((line) => Buffer.from(line));
      })(),
      content: createHash('sha256').update(lines.join('\n')).digest('hex'),
      connection,
      patienceMs,
      resendAfterMs: 1_000,
      onProgress: () => undefined,
    });
  return { buffer, run };
};

const reading = (i: number, more: object = {}): string =>
  JSON.stringify({
    service: `s${i % 7}`,
    host: 'h',
    timestamp: 1764000000000 + i,
    cpu: i % 100,
    ram: 2,
    disk: 3,
    ...more,
  });

/** 2,000 lines: every tenth is bad in one of two ways. */
const mixedLines = Array.from({ length: 2000 }, (_, i) =>
  i % 10 !== 3 ? reading(i) : i % 20 === 3 ? '{"service":' : reading(i, { cpu: -1 }),
);
const mixedCounts = { taken: 1800, refused: { 'not JSON': 100, 'cpu below 0': 100 }, known: 0, sealed: 2000 };

t.test('the lanes use every partition', async (t) => {
  for (const partitions of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16]) {
    t.equal(new Set(laneSubjects().map((subject) => partitionOf(subject, partitions))).size, partitions, `of ${partitions}`);
  }
});

t.test("a line's own identity is seen, however it is written", async (t) => {
  t.strictSame(identityIn(Buffer.from('{"agent":"a","n":3}')), { agent: 'a', n: 3 });
  t.strictSame(identityIn(Buffer.from('{"\\u0061gent":"a","n":3}')), { agent: 'a', n: 3 });
  t.equal(identityIn(Buffer.from('{"agent":"a"}')), undefined);
  t.equal(identityIn(Buffer.from('{"agent":"","n":3}')), undefined);
  t.equal(identityIn(Buffer.from('{"agent":"a","n":0}')), undefined);
  t.equal(identityIn(Buffer.from('"agent"')), undefined);
  t.equal(identityIn(Buffer.from('null agent')), undefined);
});

t.test('taken, refused by reason, and sealed; imported again all is known', async (t) => {
  const { buffer, run } = await openSystem(t);
  t.same(await run(mixedLines), mixedCounts);
  t.equal(buffer.records.length, 1800);
  t.same(await run(mixedLines), { taken: 0, refused: {}, known: 2000, sealed: 2000 });
  t.equal(buffer.records.length, 1800, 'and nothing counts twice');
});

t.test('empty lines are nothing, and one that is longer than a message is refused here', async (t) => {
  const { buffer, run } = await openSystem(t);
  const counts = { taken: 2, refused: { 'longer than a message': 1 }, known: 0, sealed: 3 };
  const lines = [reading(1), '', ' \t', reading(2, { note: 'x'.repeat(2 ** 20) }), reading(3)];
  t.same(await run(lines), counts);
  t.equal(buffer.records.length, 2);
  t.same(await run(lines), { taken: 0, refused: {}, known: 3, sealed: 3 });
});

t.test('an empty file is no work', async (t) => {
  const { run } = await openSystem(t);
  t.same(await run([]), { taken: 0, refused: {}, known: 0, sealed: 0 });
});

t.test('copies of readings with an identity of their own count once, in one file and over several', async (t) => {
  const { buffer, run } = await openSystem(t);
  const own = (i: number) => reading(i, { agent: `a${i % 3}`, n: Math.floor(i / 3) + 1 });
  const lines = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? reading(i) : own(i)));
  const withCopies = [...lines, own(1), own(2), own(298), reading(5, { agent: 'bad', n: 1, cpu: 'x' })];
  t.same(await run(withCopies), { taken: 300, refused: { 'cpu not a number': 1 }, known: 3, sealed: 304 });
  t.equal(buffer.records.length, 300);
  t.same(await run(withCopies), { taken: 0, refused: {}, known: 304, sealed: 304 });
  await run([...lines, reading(1000)]);
  t.equal(buffer.records.length, 300 + 100 + 1, 'another file: only what has no identity, and what is new');
});

t.test('broken off and run again it goes on, and nothing counts twice', async (t) => {
  const { buffer, run } = await openSystem(t);
  let acknowledged = 0;
  buffer.acknowledges = () => {
    if (++acknowledged === 25) buffer.setSilent(true);
    return true;
  };
  await t.rejects(run(mixedLines, 300), { code: 'E_OUT_OF_REACH' });
  const before = buffer.records.length + buffer.refused.length;
  t.ok(before > 100 && before < 2000, `${before} were sealed`);
  const refusedBefore = buffer.refused.length;
  buffer.setSilent(false);
  const counts = await run(mixedLines);
  t.equal(counts.known, before);
  t.equal(counts.taken + Object.values(counts.refused).reduce((sum, n) => sum + n, 0), 2000 - before);
  t.equal(
    Object.values(counts.refused).reduce((sum, n) => sum + n, 0),
    200 - refusedBefore,
  );
  t.equal(buffer.records.length, 1800);
});

t.test('reasons are exact although an owner dies between a segment and its acknowledgement', async (t) => {
  const { buffer, run } = await openSystem(t);
  let lost = 0;
  const ends: NodeJS.Timeout[] = [];
  buffer.acknowledges = (refused) => {
    if (refused === 0 || lost === 2) return true;
    lost++;
    buffer.setSilent(true);
    ends.push(setTimeout(() => buffer.setSilent(false), 1_500)); // as long as a lease
    return false;
  };
  t.teardown(() => ends.forEach(clearTimeout));
  t.same(await run(mixedLines), mixedCounts);
  t.equal(buffer.records.length, 1800);
});

t.test('reasons are exact although an acknowledgement cannot hold them all', async (t) => {
  const { buffer, run } = await openSystem(t);
  const lines = Array.from({ length: 3200 }, () => 'bad');
  buffer.holdMs = 50;
  t.same(await run(lines), { taken: 0, refused: { 'not JSON': 3200 }, known: 0, sealed: 3200 });
});

t.test('nobody there is told, with what to do', async (t) => {
  const { buffer, run } = await openSystem(t);
  buffer.setSilent(true);
  await t.rejects(run([reading(1)], 300), { message: /is a buffer running\?/ });
});
