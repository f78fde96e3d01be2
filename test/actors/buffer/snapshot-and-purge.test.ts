/** Where a buffer's life begins: streams that lost something, snapshots, and what may be purged. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t, { type Test } from 'tap';
import { beginBuffer, purgeMetrics } from '../../../actors/buffer/begin.js';
import { type BufferState, buffer } from '../../../actors/buffer.js';
import type { Env } from '../../../infra/actor/env.js';
import type { Bus } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { RetryableError } from '../../../infra/errors.js';
import { openLocalStorage } from '../../../infra/storage/local.js';
import { readTableStored } from '../../../protocol/messages/readers.js';
import { partitionOf } from '../../../protocol/name-code.js';
import { type System, startSystem } from '../../system/system.js';
import { busWith, openWorld, readLog } from '../segment-log.js';
import { fence, line, openPublishing, sealedCount, segmentsOf } from './publishing.js';

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
