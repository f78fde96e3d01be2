/** Sources that send again, in disorder, from two places, with holes, or under a used id: each reading counts once. */
import t, { type Test } from 'tap';
import { openBus } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { openSource } from '../../infra/client/source.js';
import { readActorStatus, readReadingSealed } from '../../protocol/messages/readers.js';
import type { ReadingSealed } from '../../protocol/messages/reading-sealed.js';
import { countRanges } from '../../protocol/range.js';
import { type Random, randomOf } from '../../scripts/chaos/random.js';
import { checkAnswer, whenCounted } from '../../scripts/hostile/check.js';
import { Expected, type Message } from '../../scripts/hostile/expected.js';
import { publishMessages } from '../../scripts/hostile/publish.js';
import { codeOf } from '../../scripts/hostile/verdict.js';
import { until } from '../until.js';
import { type System, startSystem } from './system.js';

t.setTimeout(240_000);

const now = Date.now();
/** Waits until it is so. */
const when = (isSo: () => boolean | Promise<boolean>): Promise<true> => until(async () => ((await isSo()) ? true : undefined));
const patienceMs = 30_000;

/** One reading of a source, told apart by its values. */
const message = (subject: string, agent: string, n: number, lines = 1, run = 0): Message => {
  const service = decodeURIComponent(subject.split('.')[1] as string);
  const body = Array.from({ length: lines }, (_, i) =>
    JSON.stringify({
      service,
      timestamp: now - ((n + i) % 300) * 1_000 + run,
      cpu: (n + i) % 101,
      ram: ((n + i) * 7) % 101,
      disk: run,
    }),
  );
  return { subject, header: { agent, n }, body: Buffer.from(body.join('\n')) };
};

const shuffled = <T>(items: readonly T[], random: Random): T[] =>
  items
    .map((item) => ({ item, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);

interface Heard {
  readonly system: System;
  readonly expected: Expected;
  /** By source, the newest. */
  readonly acknowledged: Map<string, ReadingSealed>;
  /** Publishes, counts, and waits until all is sealed and in the view. */
  send(messages: readonly Message[]): Promise<void>;
}

const start = async (t: Test): Promise<Heard> => {
  const system = await startSystem(t);
  const expected = new Expected();
  await whenCounted(system.bus, expected, patienceMs);
  const acknowledged = new Map<string, ReadingSealed>();
  system.bus.hear('reading.sealed.>', ({ body }) => {
    const sealed = readReadingSealed(body);
    acknowledged.set(`${sealed.subject} ${sealed.agent}`, sealed);
  });
  await system.bus.flush();
  return {
    system,
    expected,
    acknowledged,
    send: async (messages) => {
      for (const one of messages) expected.add(one, now);
      await publishMessages(system.bus, messages);
      await whenCounted(system.bus, expected, patienceMs);
    },
  };
};

/** Everything of every source is acknowledged, and is in the answer once. */
const same = async (t: Test, { system, expected, acknowledged }: Heard, what: string): Promise<void> => {
  const wanted = [...expected.used()];
  await when(() => wanted.every(([source, count]) => countRanges(acknowledged.get(source)?.sealed ?? []) === count));
  t.match(await checkAnswer(system.bus, expected, what), { differences: 0, examples: [] }, what);
};

t.test('readings sent two or three times, in disorder, from two connections, count once', async (t) => {
  const heard = await start(t);
  const { system, expected } = heard;
  const random = randomOf(1);
  const second = await openBus({ nats: system.nats.url }, 'second connection');
  t.teardown(() => second.close());
  // Disorder within 30 messages: a source has at most 64 ranges (B6).
  const sources = Array.from({ length: 12 }, (_, i) => ({
    subject: `metrics.${codeOf(`disorder ${i % 3}`)}.h${i}`,
    agent: `a${i}`,
  }));
  const byTurn = Array.from({ length: 10 }, (_, turn) =>
    sources.flatMap(({ subject, agent }) => {
      const messages = Array.from({ length: 30 }, (_, i) => message(subject, agent, 1 + (turn * 30 + i) * 3, 3));
      return shuffled([...messages, ...messages, ...messages.slice(10)], random);
    }),
  );
  for (const messages of byTurn) {
    for (const one of messages) expected.add(one, now);
    const there = shuffled(messages, random);
    await Promise.all([
      publishMessages(system.bus, messages.slice(0, there.length / 2)),
      publishMessages(second, messages.slice(there.length / 2)),
      publishMessages(second, there),
    ]);
  }
  await whenCounted(system.bus, expected, patienceMs);
  t.equal(expected.accepted, 12 * 10 * 30 * 3);
  t.equal(expected.missing, 0);
  await same(t, heard, 'after all of them');
  t.match(await system.batch(), { differences: 0, records: expected.accepted });
  await same(t, heard, 'after a batch');
});

t.test('B6: what is missing is exact: a hole that fills later, one that never does, and what was given up', async (t) => {
  const heard = await start(t);
  const { expected, system } = heard;
  const one = 'metrics.holes.h1';
  await heard.send([message(one, 'a', 1, 10), message(one, 'a', 21, 10), message(one, 'a', 41, 10)]);
  t.equal(expected.missing, 20);
  await same(t, heard, 'two holes');
  await heard.send([message(one, 'a', 14, 3)]);
  t.equal(expected.missing, 17);
  await same(t, heard, 'a part of a hole is filled');
  await heard.send([message(one, 'a', 11, 10)]);
  t.equal(expected.missing, 10);
  await same(t, heard, 'a hole is filled, with a copy of its part');
  await system.stop();
  system.start();
  await whenCounted(system.bus, expected, patienceMs);
  await same(t, heard, 'after a restart');
  await heard.send([{ ...message(one, 'a', 51, 1), oldest: 41 }]);
  t.equal(expected.missing, 0);
  await same(t, heard, 'the rest is given up');
  await heard.send([message(one, 'a', 31, 10), message(one, 'a', 52, 1)]);
  t.equal(expected.accepted, 30 + 10 + 2, 'what comes after it was given up is dropped');
  await same(t, heard, 'late for what was given up');
  await heard.send([{ ...message('metrics.holes.h2', 'b', 100, 1), oldest: 90 }]);
  t.equal(expected.missing, 10, 'a source that begins with less than it ever had');
  await same(t, heard, 'of a source that nobody knew');
});

t.test('one agent id on two subjects is two sources', async (t) => {
  const heard = await start(t);
  const subjects = ['metrics.two.h1', 'metrics.two.h2', 'metrics.two', 'metrics.other.h1'];
  const messages = subjects
    .slice(0, 2)
    .flatMap((subject) => [message(subject, 'same', 1, 5), message(subject, 'same', 6, 5), message(subject, 'same', 1, 5)]);
  await heard.send([...messages, message('metrics.two', 'same', 1, 7)]);
  t.equal(heard.expected.accepted, 27);
  await same(t, heard, 'two subjects and a gateway');
});

t.test('B7: a source that starts again at 1 under the same id is warned, the log and status say so; a copy is no such thing', async (t) => {
  const heard = await start(t);
  const { system, expected, acknowledged } = heard;
  const subject = 'metrics.again.h1';
  const startedAgain = async (): Promise<number> => {
    const actors = await (await system.bus.bucket('ACTORS', { ttlMs: 60_000 })).all();
    return [...actors.values()]
      .map(({ value }) => readActorStatus(value))
      .filter(({ actor }) => actor === 'buffer')
      .reduce((sum, { counts }) => sum + (counts.startedAgain ?? 0), 0);
  };
  await heard.send([message(subject, 'a', 1, 10), message(subject, 'a', 1, 10), message(subject, 'a', 1, 1), message(subject, 'a', 5, 10)]);
  await same(t, heard, 'copies');
  t.equal(acknowledged.get(`${subject} a`)?.warning, undefined, 'a copy is not warned of');
  const again = message(subject, 'a', 1, 3, 7);
  await heard.send([again]);
  await when(() => acknowledged.get(`${subject} a`)?.warning !== undefined);
  t.match(acknowledged.get(`${subject} a`)?.warning, /n = 1 came again as another reading: readings up to n = 14 .* do not count/);
  await when(async () => (await startedAgain()) > 0);
  t.equal(expected.accepted, 14, 'its readings do not count');
  await same(t, heard, 'started again');
  await system.stop(); // stores the table: what n = 1 was outlives the buffer, if it is in a snapshot
  system.start();
  await whenCounted(system.bus, expected, patienceMs);

  const connection = await connectSource({ nats: system.nats.url }, 'test source');
  t.teardown(() => connection.close());
  const warnings: string[] = [];
  const source = (): ReturnType<typeof openSource> =>
    openSource({
      connection,
      subject: 'metrics.again.h2',
      agent: 'kept too long',
      onWarning: (text) => warnings.push(text),
    });
  for (const run of [1, 2]) {
    const one = source();
    const line = message('metrics.again.h2', '', run, 1, run);
    if (run === 1) expected.add({ ...line, header: { agent: 'kept too long', n: 1 } }, now);
    one.add(line.body.toString());
    await one.drained();
    one.close();
  }
  await when(() => warnings.length > 0);
  t.match(warnings, [/^metrics\.again\.h2, agent "kept too long": n = 1 came again/]);
  await whenCounted(system.bus, expected, patienceMs);
  await same(t, heard, 'and the library says so');
});

t.test('10,000 sources at once: each is acknowledged, each reading counts once', async (t) => {
  const heard = await start(t);
  const sources = Array.from({ length: 10_000 }, (_, i) => ({
    subject: `metrics.s${i % 50}.h${i % 200}`,
    agent: `agent ${i}`,
  }));
  const of = (n: number, lines: number): Message[] => sources.map(({ subject, agent }) => message(subject, agent, n, lines));
  await heard.send([...of(1, 2), ...of(3, 1), ...of(1, 2).slice(0, 2_000)]);
  t.equal(heard.expected.accepted, 30_000);
  await same(t, heard, 'all of them');
  await heard.send(of(4, 1));
  await same(t, heard, 'once more');
});

t.test('B2: acknowledgements that got lost come again for a copy, also from a buffer that never saw the original', async (t) => {
  const heard = await start(t);
  const { system, expected, acknowledged } = heard;
  const messages = Array.from({ length: 200 }, (_, i) => message(`metrics.lost.h${i % 10}`, 'a', 1 + Math.floor(i / 10) * 5, 5));
  await heard.send(messages);
  await same(t, heard, 'sent');
  acknowledged.clear(); // lost
  await heard.send(messages);
  await same(t, heard, 'sent again');
  await system.stop();
  acknowledged.clear();
  await publishMessages(system.bus, messages); // nobody is there
  system.start();
  for (const one of messages) expected.add(one, now);
  await whenCounted(system.bus, expected, patienceMs);
  await same(t, heard, 'sent to the next one');
  t.equal(expected.accepted, 1_000);
  t.match(await system.batch(), { differences: 0, records: 1_000 });
});
