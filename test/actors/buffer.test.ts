import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, headers as newHeaders } from '@nats-io/transport-node';
import t, { type Test } from 'tap';
import { beginBuffer, purgeMetrics } from '../../actors/buffer/begin.js';
import { type BufferState, buffer } from '../../actors/buffer.js';
import type { Env } from '../../infra/actor/env.js';
import { followSegment, segmentsBeginning } from '../../infra/actor/segments.js';
import type { Bus } from '../../infra/bus/bus.js';
import { ensureStreams } from '../../infra/bus/streams.js';
import { RetryableError } from '../../infra/errors.js';
import { readReadingSealed, readTableStored } from '../../protocol/messages/readers.js';
import type { ReadingSealed } from '../../protocol/messages/reading-sealed.js';
import type { RecordLine, SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { encodeName, partitionOf } from '../../protocol/name-code.js';
import { countRanges, hasNumber } from '../../protocol/range.js';
import { type System, startSystem } from '../system/system.js';
import { busWith, openWorld, readLog, readSegments } from './segment-log.js';

const at = Date.UTC(2026, 10, 23, 10, 15);
const line = (more: object = {}): string => JSON.stringify({ service: 'web', host: 'h1', timestamp: at, cpu: 1, ram: 2, disk: 3, ...more });

interface Publishing {
  publish(
    lines: string | Uint8Array,
    options?: { subject?: string; agent?: string; n?: number; oldest?: number; connection?: NatsConnection },
  ): Promise<void>;
  /** The newest acknowledgement of a source, once it holds. */
  acknowledged(holds: (ack: ReadingSealed) => boolean, agent?: string, subject?: string): Promise<ReadingSealed>;
  connection(): Promise<NatsConnection>;
}

/** A source of the test's own: publishes as anybody may, and hears acknowledgements. */
const openPublishing = async (t: Test, url: string): Promise<Publishing> => {
  const connections: NatsConnection[] = [];
  const connection = async (): Promise<NatsConnection> => {
    const made = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    connections.push(made);
    return made;
  };
  t.teardown(async () => {
    for (const one of connections) await one.close();
  });
  const own = await connection();
  const acks: ReadingSealed[] = [];
  let heard: () => void = () => undefined;
  own.subscribe('reading.sealed.>', {
    callback: (_, { data, subject }) => {
      const ack = readReadingSealed(data);
      t.equal(subject, `reading.sealed.${encodeName(ack.agent)}`);
      acks.push(ack);
      heard();
    },
  });
  await own.flush();
  return {
    connection,
    publish: async (lines, { subject = 'metrics.web.h1', agent, n, oldest, connection: over = own } = {}) => {
      const headers = newHeaders();
      if (agent !== undefined) headers.set('Tidemark-Agent', agent);
      if (n !== undefined) headers.set('Tidemark-N', String(n));
      if (oldest !== undefined) headers.set('Tidemark-Oldest', String(oldest));
      // With an answer, so that it is in METRICS when this returns. Again while there is no stream, or no server, yet.
      for (let tries = 50; ; tries--) {
        try {
          const { seq } = (await over.request(subject, lines, { headers, timeout: 1_000 })).json<{ seq?: number }>();
          t.type(seq, 'number');
          return;
        } catch (error) {
          if (tries === 0) throw error;
          await new Promise((resolve) => {
            setTimeout(resolve, 50);
          });
        }
      }
    },
    acknowledged: async (holds, agent, subject) => {
      for (;;) {
        const found = acks.findIndex((ack) => (agent ?? ack.agent) === ack.agent && (subject ?? ack.subject) === ack.subject && holds(ack));
        if (found >= 0) return acks.splice(found, 1)[0] as ReadingSealed;
        await new Promise<void>((resolve) => {
          heard = resolve;
        });
      }
    },
  };
};

const segmentsOf = async (t: Test, bus: Bus, partition = 0): Promise<{ heads: SegmentHead[]; records: RecordLine[] }> => {
  let place = segmentsBeginning;
  const heads: SegmentHead[] = [];
  const records: RecordLine[] = [];
  for (const message of await readSegments(bus, partition)) {
    const followed = followSegment(place, message);
    place = followed.at;
    heads.push(followed.segment.head);
    records.push(
      ...Buffer.from(followed.segment.lines)
        .toString()
        .split('\n')
        .slice(0, -1)
        .map((text) => JSON.parse(text) as RecordLine),
    );
  }
  t.same(
    records.map(({ offset }) => offset),
    records.map((_, i) => i),
    'offsets have no holes',
  );
  return { heads, records };
};

const sealedCount = (ack: ReadingSealed): number => countRanges(ack.sealed);

/** A reading of a source of its own, behind all that was published before it: when it is acknowledged, they are taken. */
const fence = async (publishing: Publishing, agent: string): Promise<void> => {
  await publishing.publish(line({ agent, n: 1 }));
  await publishing.acknowledged(() => true, agent);
};

t.test('the buffer on a real server', async (t) => {
  const system = await startSystem(t, { partitions: '1' }, ['buffer']);
  const publishing = await openPublishing(t, system.nats.url);
  const { bus } = system;

  await t.test('B12: what is refused stands in REJECTED byte for byte, with its reason; the rest of the message is taken', async (t) => {
    const bad = Buffer.concat([Buffer.from('{"service":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const lines = Buffer.concat([
      Buffer.from(`${line()}\r\n\n`),
      bad,
      Buffer.from(`\n${line({ disk: 10_001 })}\n${line({ host: 'other' })}\n${line({ cpu: 7 })}\n`),
    ]);
    await publishing.publish(lines, { agent: 'mixed', n: 11 });
    const ack = await publishing.acknowledged((one) => hasNumber(one.sealed, 16), 'mixed');
    t.same(ack.sealed, [[11, 17]], 'refused and empty lines are taken too');
    t.same(ack.refused, [
      { n: 13, reason: 'not UTF-8' },
      { n: 14, reason: 'disk above 10000' },
      { n: 15, reason: "host is not the subject's" },
    ]);
    const rejected = await readLog(bus, 'REJECTED', 'reading.rejected.0');
    t.same(
      rejected.map(({ body }) => Buffer.from(body)),
      [bad, Buffer.from(line({ disk: 10_001 })), Buffer.from(line({ host: 'other' }))],
    );
    t.same(
      rejected.map((one) => ['Subject', 'Reason', 'Line'].map((name) => one.header(`Tidemark-${name}`))),
      [
        ['metrics.web.h1', 'not UTF-8', '2'],
        ['metrics.web.h1', 'disk above 10000', '3'],
        ['metrics.web.h1', "host is not the subject's", '4'],
      ],
    );
    const metrics = await readLog(bus, 'METRICS', 'metrics.>');
    const { sequence, received } = metrics[0] as { sequence: number; received: number };
    t.same(
      rejected.map((one) => one.header('Nats-Msg-Id')),
      [2, 3, 4].map((index) => `${sequence}-${received}-${index}`),
    );
    const { heads, records } = await segmentsOf(t, bus);
    t.same(heads[0]?.refused, { web: { 'not UTF-8': 1, 'disk above 10000': 1, "host is not the subject's": 1 } });
    t.same(
      records.map(({ n, cpu, subject, agent }) => [n, cpu, subject, agent]),
      [
        [11, 1, 'metrics.web.h1', 'mixed'],
        [16, 7, 'metrics.web.h1', 'mixed'],
      ],
    );
    t.equal(ack.offset, 2);
  });

  await t.test('B2: a copy of a sealed reading is acknowledged again, also from a second connection and another form', async (t) => {
    await publishing.publish(line(), { agent: 'copied', n: 1 });
    await publishing.acknowledged((ack) => sealedCount(ack) === 1, 'copied');
    const before = (await segmentsOf(t, bus)).records.length;
    await publishing.publish(line(), { agent: 'copied', n: 1, connection: await publishing.connection() });
    t.same((await publishing.acknowledged(() => true, 'copied')).sealed, [[1, 2]]);
    await publishing.publish(line({ agent: 'copied', n: 1, cpu: 99 }));
    t.same((await publishing.acknowledged(() => true, 'copied')).sealed, [[1, 2]], 'in the line, with another value');
    await fence(publishing, 'behind copies');
    t.equal((await segmentsOf(t, bus)).records.length, before + 1);
  });

  await t.test('B3: each source hears of its own, the same agent id on two subjects', async (t) => {
    await publishing.publish(line(), { agent: 'two', n: 1 });
    await publishing.publish(line({ host: 'h2' }), { subject: 'metrics.web.h2', agent: 'two', n: 5 });
    t.same((await publishing.acknowledged(() => true, 'two', 'metrics.web.h1')).sealed, [[1, 2]]);
    t.same((await publishing.acknowledged(() => true, 'two', 'metrics.web.h2')).sealed, [[5, 6]]);
  });

  await t.test('a hole is missing until it is filled, or given up by Tidemark-Oldest (B6)', async (t) => {
    const missing = async (): Promise<number | undefined> =>
      (await segmentsOf(t, bus)).heads.map((head) => head.missing.Holes).findLast((count) => count !== undefined);
    const source = { subject: 'metrics.Holes.h', agent: 'holes' };
    const one = line({ service: 'Holes', host: 'h' });
    await publishing.publish(one, { ...source, n: 1 });
    await publishing.publish(one, { ...source, n: 5 });
    await publishing.acknowledged((ack) => sealedCount(ack) === 2, 'holes');
    t.equal(await missing(), 3);
    await publishing.publish(one, { ...source, n: 3 });
    t.same((await publishing.acknowledged((ack) => sealedCount(ack) === 3, 'holes')).sealed, [
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    t.equal(await missing(), 2);
    await publishing.publish(one, { ...source, n: 6, oldest: 5 });
    t.same((await publishing.acknowledged((ack) => hasNumber(ack.sealed, 6), 'holes')).sealed, [[1, 7]]);
    t.equal(await missing(), 0);
    const before = (await segmentsOf(t, bus)).records.length;
    await publishing.publish(one, { ...source, n: 2 });
    await publishing.acknowledged(() => true, 'holes');
    await fence(publishing, 'behind holes');
    t.equal((await segmentsOf(t, bus)).records.length, before + 1, 'a copy below Tidemark-Oldest is dropped');
  });

  await t.test('B9: when only copies came, a segment without records moves the position', async (t) => {
    await publishing.publish(line(), { agent: 'copied', n: 1 });
    const last = await bus.last('METRICS', 'metrics.>');
    for (;;) {
      const { heads } = await segmentsOf(t, bus);
      const head = heads.at(-1);
      if (head?.metrics.sequence !== last?.sequence) {
        await new Promise(setImmediate);
        continue;
      }
      t.equal(head?.from, head?.to);
      break;
    }
  });

  await t.test('B2, B4, B10: after a restart copies are known, nothing is taken twice, and what came meanwhile is taken', async (t) => {
    const before = (await segmentsOf(t, bus)).records.length;
    await publishing.publish(line({ cpu: 41 })); // without an identity
    await fence(publishing, 'before the stop');
    await system.stop();
    await publishing.publish(line({ cpu: 42 }));
    system.start();
    await publishing.publish(line(), { agent: 'copied', n: 1 });
    t.same((await publishing.acknowledged(() => true, 'copied')).sealed, [[1, 2]]);
    await fence(publishing, 'behind the restart');
    const { records } = await segmentsOf(t, bus);
    t.same(
      records.slice(before).map(({ cpu }) => cpu),
      [41, 1, 42, 1],
    );
  });

  await t.test('what is held at a stop is sealed and acknowledged', async (t) => {
    await system.stop();
    await system.start();
    await fence(publishing, 'before the last stop');
    await publishing.publish(line(), { agent: 'held', n: 1 });
    await system.stop();
    const { records } = await segmentsOf(t, bus);
    if (records.some(({ agent }) => agent === 'held'))
      await publishing.acknowledged(() => true, 'held'); // it was taken before the stop
    else t.pass('it was not read yet');
  });
});

const remakeMetrics = async (system: System): Promise<void> => {
  const connection = await connect({ servers: system.nats.url });
  await (await jetstreamManager(connection)).streams.delete('METRICS');
  await connection.close();
  await ensureStreams({ ...system.settings, nats: system.nats.url });
};

t.test('B10: METRICS that lost its tail and gives the same numbers again is resumed by time', async (t) => {
  const system = await startSystem(t, { partitions: '1' }, ['buffer']);
  const publishing = await openPublishing(t, system.nats.url);
  for (let n = 1; n <= 4; n++) await publishing.publish(line(), { agent: 'a', n });
  await publishing.acknowledged((ack) => sealedCount(ack) === 4, 'a');
  await system.stop();
  await system.nats.kill();
  await system.nats.start();
  await remakeMetrics(system);
  for (let n = 5; n <= 10; n++) await publishing.publish(line(), { agent: 'a', n }); // sequences 1 to 6: number 4 is another message now
  system.start();
  await publishing.acknowledged((ack) => sealedCount(ack) === 10, 'a');
  const bus = (await openAgain(t, system)).bus;
  t.same(
    (await segmentsOf(t, bus)).records.map(({ n }) => n),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );

  // The same under a running buffer: it lives on one connection, and a new one is a new start.
  await remakeMetrics(system);
  for (let n = 11; n <= 19; n++) await publishing.publish(line(), { agent: 'a', n });
  await publishing.acknowledged((ack) => sealedCount(ack) === 19, 'a');
  await system.nats.kill();
  await system.nats.start();
  await publishing.publish(line(), { agent: 'a', n: 19 });
  await publishing.publish(line(), { agent: 'a', n: 20 });
  await publishing.acknowledged((ack) => sealedCount(ack) === 20, 'a');
  t.equal((await segmentsOf(t, (await openAgain(t, system)).bus)).records.length, 20);
});

const openAgain = async (t: Test, system: System): Promise<{ bus: Bus }> => {
  const { openBus } = await import('../../infra/bus/nats.js');
  const bus = await openBus({ ...system.settings, nats: system.nats.url }, 'test');
  t.teardown(() => bus.close());
  return { bus };
};

/** What a table knows, comparable. */
const known = ({ table }: BufferState) => ({
  sources: [...table.entries.values()]
    .filter(({ taken }) => taken.length > 0)
    .map(({ subject, agent, taken, holes }) => [`${subject} ${agent}`, taken, holes] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1)),
  missing: [...table.missing].filter(([, count]) => count > 0).sort(),
});

t.test('B4, B5: a snapshot and the segments behind it make the table whole', async (t) => {
  const system = await startSystem(t, { partitions: '1', snapshotRecords: '40', bufferCapacity: '10' }, ['buffer']);
  const publishing = await openPublishing(t, system.nats.url);
  for (let i = 0; i < 30; i++) {
    await publishing.publish(`${line()}\n\n${line({ ram: -1 })}\n${line()}`, {
      agent: `a${i % 7}`,
      n: 1 + 5 * Math.floor(i / 7),
      ...(i === 25 ? { oldest: 15 } : {}),
    });
  }
  await fence(publishing, 'end');
  await system.stop();
  const stored = await readLog(system.bus, 'STORED', 'table.stored.0');
  const tables = stored.map(({ body }) => readTableStored(body));
  const last = tables.at(-1);
  t.ok(last && last.offset >= 40, 'a snapshot was stored');
  t.match(last?.file.path, new RegExp(`^state/buffer/0/${String(last?.offset).padStart(12, '0')}-`), 'its name holds its offset');
  const { openLocalStorage } = await import('../../infra/storage/local.js');
  const storage = await openLocalStorage(system.data);
  t.teardown(() => storage.close());
  const env = (bus: Bus): Env => ({ bus, storage, settings: system.settings }) as unknown as Env;
  const fromSnapshot = await beginBuffer(env(system.bus), 0);
  const { bus } = system;
  const withoutSnapshot = busWith(bus, {
    last: async (stream, subject) => (subject === 'table.stored.0' ? undefined : bus.last(stream, subject)),
  });
  const fromSegments = await beginBuffer(env(withoutSnapshot), 0);
  t.same(known(fromSnapshot.state), known(fromSegments.state));
  t.equal(known(fromSnapshot.state).sources.length, 8);
  let reads = 0;
  await beginBuffer(
    env(
      busWith(bus, {
        read: (stream, options) => {
          t.same(options.start, { sequence: (last?.segments.sequence ?? 0) + 1 }, 'SEGMENTS is read from the snapshot on');
          reads += 1;
          return bus.read(stream, options);
        },
      }),
    ),
    0,
  );
  t.ok(reads <= 1);

  const snapshot = path.join(system.data, last?.file.path ?? '');
  const content = await readFile(snapshot);
  await writeFile(snapshot, Buffer.from(content).fill('9', content.length - 20, content.length - 19));
  await t.rejects(beginBuffer(env(bus), 0), { code: 'E_PROMISE' }, 'a snapshot that is not what was announced');
  await rm(snapshot);
  await t.rejects(beginBuffer(env(bus), 0), { code: 'E_FILE_MISSING' });
  const announced = JSON.stringify({ ...last, offset: (last?.offset ?? 0) + 1 });
  const replaced = busWith(bus, {
    at: async (...given) => {
      const found = await bus.at(...given);
      await bus.publish('table.stored.0', announced); // by the owner before, whose old snapshots go then
      return found;
    },
  });
  await t.rejects(beginBuffer(env(replaced), 0), { code: 'E_RETRY' }, 'it was replaced meanwhile: begin again');
});

t.test('B5: a life whose snapshot was not announced leaves its file, and the next one needs another name', async (t) => {
  const world = await openWorld(t, { partitions: '1', snapshotEvery: '100ms' });
  const bus = await world.open();
  const failing = busWith(bus, {
    publish: async (subject, ...given) => {
      if (subject === 'table.stored.0') throw new RetryableError('no answer');
      return bus.publish(subject, ...given);
    },
  });
  const first = await world.live(buffer, 0, { bus: failing });
  const publishing = await openPublishing(t, world.nats.url);
  await publishing.publish(line(), { agent: 'a', n: 1 });
  t.match(await first.ended, { kind: 'lost' });
  const second = await world.live(buffer, 0);
  const reader = await world.open();
  while ((await reader.last('STORED', 'table.stored.0')) === undefined) {
    const end = await Promise.race([
      second.ended,
      new Promise<undefined>((resolve) => {
        setImmediate(() => resolve(undefined));
      }),
    ]);
    if (end) {
      t.fail(JSON.stringify(end));
      return;
    }
  }
  t.same(await second.stop(), { kind: 'stopped' });
});

t.test('B11: METRICS is purged for one partition alone, below the noted message, and only if it still is that one', async (t) => {
  const world = await openWorld(t, { partitions: '2' });
  const bus = await world.open();
  const hosts = Array.from({ length: 50 }, (_, i) => `metrics.web.h${i}`);
  const [of0, of1] = [0, 1].map((p) => hosts.find((subject) => partitionOf(subject, 2) === p) as string) as [string, string];
  const sequences: number[] = [];
  for (const subject of [of0, of1, of0, of1, of0, of0]) sequences.push(await bus.publish(subject, line()));
  const left = async () => (await readLog(bus, 'METRICS', 'metrics.>')).map(({ sequence }) => sequence);
  const purge = async (partition: number, sequence: number, received: number) => {
    const output = purgeMetrics(partition, { sequence, received, lines: -1 });
    if (output.do === 'work') await output.run({ bus } as Env);
  };
  const received = (await bus.at('METRICS', 5))?.received ?? 0;
  t.same(sequences, [1, 2, 3, 4, 5, 6]);
  await purge(1, 0, 0);
  t.same(await left(), [1, 2, 3, 4, 5, 6], 'no place yet');
  await purge(0, 5, received + 1);
  t.same(await left(), [1, 2, 3, 4, 5, 6], 'another message is there now');
  await purge(0, 5, received);
  t.same(await left(), [2, 4, 5, 6], 'a partition without traffic holds nobody back, and loses nothing');
});
