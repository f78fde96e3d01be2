import { setTimeout as wait } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type Msg, type NatsConnection } from '@nats-io/transport-node';
import t, { type Test } from 'tap';
import { openSource } from '../../../infra/client/source.js';
import type { ReadingSealed } from '../../../protocol/messages/reading-sealed.js';
import { encodeName } from '../../../protocol/name-code.js';
import { addRange, hasNumber, type Ranges } from '../../../protocol/range.js';
import { splitLines } from '../../../protocol/reading.js';
import { startNats } from '../../servers.js';

interface Heard {
  n: number;
  lines: string[];
  oldest: number | undefined;
}

/** A buffer in a few lines: it hears METRICS as plain messages and acknowledges what `takes` lets through. */
const standInBuffer = (
  connection: NatsConnection,
  subject: string,
  {
    takes = () => true,
    refuses = () => undefined,
  }: { takes?: (n: number) => boolean; refuses?: (line: string) => string | undefined } = {},
) => {
  const heard: Heard[] = [];
  const records = new Map<number, string>();
  let sealed: Ranges = [];
  let silent = false;
  const acknowledge = (agent: string, refused: ReadingSealed['refused'] = [], as: Partial<ReadingSealed> = {}) =>
    connection.publish(
      `reading.sealed.${encodeName(agent)}`,
      JSON.stringify({ subject, agent, sealed, refused, partition: 0, offset: records.size, ...as }),
    );
  connection.subscribe(subject, {
    callback: (_error, message: Msg) => {
      const n = Number(message.headers?.get('Tidemark-N'));
      const oldest = message.headers?.get('Tidemark-Oldest');
      const lines = splitLines(message.data).map(String);
      heard.push({ n, lines, oldest: oldest ? Number(oldest) : undefined });
      if (silent) return;
      const refused: ReadingSealed['refused'] = [];
      for (const [i, line] of lines.entries()) {
        if (!takes(n + i) || hasNumber(sealed, n + i)) continue;
        sealed = addRange(sealed, n + i, n + i + 1);
        const reason = refuses(line);
        if (reason === undefined) records.set(n + i, line);
        else refused.push({ n: n + i, reason });
      }
      acknowledge(message.headers?.get('Tidemark-Agent') as string, refused);
    },
  });
  return {
    heard,
    records,
    acknowledge,
    setSealed: (ranges: Ranges) => {
      sealed = ranges;
    },
    setSilent: (value: boolean) => {
      silent = value;
    },
  };
};

const openServer = async (t: Test, subject = 'metrics.web.h1') => {
  const nats = await startNats(t);
  const options = { servers: nats.url, reconnectTimeWait: 50, maxReconnectAttempts: -1 };
  const ours = await connect(options);
  const theirs = await connect(options);
  t.teardown(() => Promise.all([ours.close(), theirs.close()]));
  const manager = await jetstreamManager(ours);
  await manager.streams.add({ name: 'METRICS', subjects: ['metrics.>'] });
  return { nats, ours, theirs, manager, subject };
};

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await wait(10);
};

t.test('every reading is published and named once, refused ones with their reason', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  const buffer = standInBuffer(theirs, subject, { refuses: (line) => (line === 'bad' ? 'not JSON' : undefined) });
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'a/1' });
  source.add('one');
  source.add(['two', 'bad', '', 'five']);
  source.add(['six', '']); // a final line break makes no line
  source.add('');
  await source.drained();
  t.strictSame(
    [...buffer.records],
    [
      [1, 'one'],
      [2, 'two'],
      [4, ''],
      [5, 'five'],
      [6, 'six'],
      [7, ''],
      [8, ''],
    ],
  );
  t.match(source.counts, { added: 8, known: 0, sealed: 8, refused: { 'not JSON': 1 }, copies: 0, givenUp: 0, kept: 0 });
  t.strictSame(source.sealed, [[1, 9]]);
  source.close();
});

t.test('B3: an acknowledgement of another subject or agent is not heeded', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  const buffer = standInBuffer(theirs, subject);
  buffer.setSilent(true);
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'mine' });
  await ours.flush();
  source.add('one');
  buffer.setSealed([[1, 2]]);
  await until(() => buffer.heard.length > 0);
  buffer.acknowledge('mine', [], { subject: 'metrics.web.h2' });
  buffer.acknowledge('mine', [], { agent: 'another' });
  theirs.publish('reading.sealed.mine', 'not JSON');
  await theirs.flush();
  await ours.flush();
  t.ok(source.holds(1), 'still kept');
  buffer.acknowledge('mine');
  await source.drained();
  source.close();
});

t.test('C1: what is lost on the way is sent again, a hole as well as the end', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  const lostOnce = new Set([3, 4, 9, 10]);
  const buffer = standInBuffer(theirs, subject, { takes: (n) => !lostOnce.delete(n) });
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'a', resendAfterMs: 200 });
  for (let i = 1; i <= 10; i++) source.add(`line ${i}`);
  await source.drained();
  t.equal(buffer.records.size, 10);
  t.ok(source.counts.copies >= 4);
  t.strictSame(
    buffer.heard.slice(0, 10).map(({ n }) => n),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    'first everything in order',
  );
  t.strictSame(new Set(buffer.heard.slice(10).map(({ n }) => n)), new Set([3, 4, 9, 10]), 'and then only what was not named');
  source.close();
});

t.test('C1: a hole is filled although what is newer goes on being named', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  const lostOnce = new Set([3]);
  const buffer = standInBuffer(theirs, subject, { takes: (n) => !lostOnce.delete(n) });
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'a', resendAfterMs: 300 });
  let added = 0;
  await until(() => {
    source.add(`line ${++added}`);
    return added > 3 && !source.holds(3);
  });
  t.ok(buffer.records.has(3));
  source.close();
});

t.test('C1: after a new connection everything that is kept goes at once', async (t) => {
  const { nats, ours, theirs, manager, subject } = await openServer(t);
  const stored = async () => (await manager.streams.info('METRICS').catch(() => undefined))?.state.messages ?? 0;
  const source = openSource({ connection: ours, subject, agent: 'a', resendAfterMs: 600_000 });
  for (let i = 1; i <= 5; i++) source.add(`line ${i}`);
  await until(async () => (await stored()) === 5);
  await nats.kill();
  source.add('while it was away');
  await nats.start();
  await until(async () => (await stored()) === 11);
  t.ok(source.counts.copies >= 5);
  const buffer = standInBuffer(theirs, subject);
  buffer.setSealed([[1, 7]]);
  await theirs.flush();
  buffer.acknowledge('a');
  await source.drained();
  t.equal(source.counts.sealed, 6);
  source.close();
});

t.test('B6: what cannot be kept is counted, and every message from then on says what is left', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  const buffer = standInBuffer(theirs, subject, { takes: () => false });
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'a', keptReadingsMax: 4 });
  for (let i = 1; i <= 10; i++) source.add(`line ${i}`);
  await until(() => buffer.heard.length === 10);
  t.equal(source.counts.givenUp, 6);
  t.strictSame(
    buffer.heard.map(({ oldest }) => oldest),
    [undefined, undefined, undefined, undefined, 2, 3, 4, 5, 6, 7],
  );
  t.ok(source.holds(7));
  t.notOk(source.holds(6));
  source.close();
});

t.test('C2: a producer that waits for room never has more under way than the bounds', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  standInBuffer(theirs, subject);
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'a', keptReadingsMax: 50, unansweredMax: 20 });
  let keptMax = 0;
  for (let i = 1; i <= 2000; i++) {
    if (!source.hasRoom) await source.room();
    source.add(`line ${i}`);
    keptMax = Math.max(keptMax, source.counts.kept);
  }
  await source.drained();
  t.ok(keptMax <= 50, `at most ${keptMax} were kept`);
  t.equal(source.counts.givenUp, 0);
  t.equal(source.counts.sealed, 2000);
  source.close();
});

t.test('C2: no more is unanswered than the bound, and the rest goes when there are answers again', async (t) => {
  const { nats, ours, theirs, subject } = await openServer(t);
  const buffer = standInBuffer(theirs, subject);
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'a', unansweredMax: 20 });
  await ours.flush();
  const sentBefore = ours.stats().outMsgs;
  nats.pause();
  for (let i = 1; i <= 100; i++) source.add(`line ${i}`);
  t.equal(ours.stats().outMsgs - sentBefore, 20);
  t.notOk(source.hasRoom);
  nats.resume();
  await source.drained();
  t.equal(buffer.records.size, 100);
  source.close();
});

t.test('a METRICS that is full is noticed, and everything arrives when it has room again', async (t) => {
  const { ours, theirs, manager, subject } = await openServer(t);
  await manager.streams.delete('METRICS');
  await manager.streams.add({ name: 'METRICS', subjects: ['metrics.>'], max_msgs: 3, discard: 'new' });
  const source = openSource({ connection: ours, subject, agent: 'a', resendAfterMs: 300 });
  for (let i = 1; i <= 6; i++) source.add(`line ${i}`);
  await until(() => source.counts.turnedAway > 0);
  const buffer = standInBuffer(theirs, subject);
  await manager.streams.update('METRICS', { max_msgs: -1 });
  await source.drained();
  t.equal(buffer.records.size, 6);
  source.close();
});

t.test('readings that were sealed before this run are not sent', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  const buffer = standInBuffer(theirs, subject);
  buffer.setSealed([
    [1, 4],
    [5, 7],
  ]);
  await theirs.flush();
  const source = openSource({ connection: ours, subject, agent: 'a' });
  source.add('1');
  await source.acknowledged();
  for (const line of ['2', '3', '4', '5', '6', '7']) source.add(line);
  await source.drained();
  t.strictSame(
    [...buffer.records],
    [
      [4, '4'],
      [7, '7'],
    ],
  );
  t.equal(source.counts.known, 4, 'the first one was asked for');
  source.close();
});

t.test('an acknowledgement that names less than the one before is said aloud', async (t) => {
  const { ours, theirs, subject } = await openServer(t);
  const buffer = standInBuffer(theirs, subject);
  await theirs.flush();
  const shrunk: [Ranges, Ranges][] = [];
  const source = openSource({
    connection: ours,
    subject,
    agent: 'a',
    onShrunk: (before, after) => shrunk.push([before, after]),
  });
  source.add(['1', '2', '3']);
  await source.drained();
  buffer.setSealed([[1, 2]]);
  buffer.acknowledge('a');
  await source.acknowledged();
  t.strictSame(shrunk, [[[[1, 4]], [[1, 2]]]]);
  source.close();
});
