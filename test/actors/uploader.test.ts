import { createHash } from 'node:crypto';
import { appendFile, readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { uploader } from '../../actors/uploader.js';
import type { Bus } from '../../infra/bus/bus.js';
import { RetryableError } from '../../infra/errors.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { readRawStored } from '../../protocol/messages/readers.js';
import type { RecordLine } from '../../protocol/messages/segment-sealed.js';
import { decodeSegment } from '../../protocol/segment.js';
import type { Reading } from '../system/system.js';
import { busWith, openWorld, readLog, readSegments, storageWith, type World } from './segment-log.js';

const day = Date.UTC(2026, 10, 23);
const reading = (timestamp: number): Reading => ({
  service: 'Ticketing Service',
  host: 'h',
  timestamp,
  cpu: 1,
  ram: 2,
  disk: 3,
});
const readings = (count: number, timestamp = day): Reading[] => Array.from({ length: count }, (_, i) => reading(timestamp + i));

const commitsOf = async (bus: Bus, partition: number): Promise<RawStored[]> =>
  (await readLog(bus, 'STORED', `raw.stored.${partition}`)).map(({ body }) => readRawStored(body));

/** Reads what the commits name, and holds it against SEGMENTS: every record once, in its date's file, as it was sealed. */
const check = async (t: Test, { open, at }: World, partition = 0): Promise<RawStored[]> => {
  const bus = await open();
  const commits = await commitsOf(bus, partition);
  const segments = await readSegments(bus, partition);
  const sealed = segments
    .map(({ body }) => Buffer.from(decodeSegment(body).lines).toString())
    .join('')
    .split('\n')
    .slice(0, -1);
  const ends = segments.map(({ body }) => decodeSegment(body).head.to);
  let from = 0;
  for (const commit of commits) {
    t.equal(commit.from, from, 'commits go on from each other');
    t.ok(ends.includes(commit.to), 'U4: a commit ends where a segment ends');
    const found: string[] = [];
    for (const file of commit.files) {
      const bytes = (await readFile(at(file.path))).subarray(file.fromByte, file.toByte);
      t.equal(createHash('sha256').update(bytes).digest('hex'), file.sha256);
      const lines = bytes.toString().split('\n').slice(0, -1);
      const minutes = lines.map((line) => Math.floor((JSON.parse(line) as RecordLine).timestamp / 60_000) * 60_000);
      const dates = new Set(minutes.map((minute) => new Date(minute).toISOString().slice(0, 10)));
      t.same([...dates], [file.path.split('/')[1]]);
      t.equal(lines.length, file.records);
      t.same([file.minuteMin, file.minuteMax], [Math.min(...minutes), Math.max(...minutes)]);
      found.push(...lines);
    }
    found.sort((a, b) => (JSON.parse(a) as RecordLine).offset - (JSON.parse(b) as RecordLine).offset);
    t.same(found, sealed.slice(commit.from, commit.to), `[${commit.from}, ${commit.to}) byte for byte`);
    from = commit.to;
  }
  t.equal(from, sealed.length, 'everything is committed');
  return commits;
};

const filesOf = (commits: readonly RawStored[]): string[] => [...new Set(commits.flatMap(({ files }) => files.map(({ path }) => path)))];

t.test('files by UTC date of the record, across midnight; segments without records are passed over', async (t) => {
  const world = await openWorld(t, { uploadEvery: '20ms' });
  await world.seal(0, [...readings(3, day - 2), reading(day - 60_000)]);
  await world.seal(0, []);
  await world.seal(0, readings(2, day + 1));
  const life = await world.live(uploader, 0);
  await life.reached(6);
  await world.seal(0, [reading(day - 1), reading(day + 86_399_999), reading(day + 86_400_000)]);
  await life.reached(9);
  t.same(await life.stop(), { kind: 'stopped' });
  const commits = await check(t, world);
  const files = filesOf(commits);
  t.same(files.map((path) => path.split('/')[1]).sort(), ['2026-11-22', '2026-11-23', '2026-11-24']);
  for (const path of files) t.match(path, /^raw\/\d{4}-\d\d-\d\d\/0-\d{12}-[0-9a-f]{8}\.ndjson$/);
});

t.test('many dates in one segment, and a file that is rolled', async (t) => {
  const world = await openWorld(t, { uploadEvery: '20ms', rawFileBytesMax: '1MiB', uploadBytesMax: '1MiB' });
  const spread = Array.from({ length: 490 }, (_, i) => reading(Date.UTC(2020, 0, 1) + i * 86_400_000));
  for (let i = 0; i < 5; i++) await world.seal(0, spread);
  for (let i = 0; i < 4; i++) await world.seal(0, readings(5_000));
  const life = await world.live(uploader, 0);
  await life.reached(5 * 490 + 20_000);
  await life.stop();
  const commits = await check(t, world);
  t.ok(commits.every(({ files }) => files.length <= 1_000));
  const rolled = filesOf(commits).filter((path) => path.includes('2026-11-23'));
  t.ok(rolled.length >= 2, `${rolled.length} files`);
});

for (const isCommitted of [false, true]) {
  t.test(
    `U1, U2: an owner that dies between append and commit leaves its bytes, and its successor a new file (its commit ${isCommitted ? 'landed' : 'did not land'})`,
    async (t) => {
      const world = await openWorld(t, { uploadEvery: '20ms' });
      const bus = await world.open();
      let commits = 0;
      const dying = busWith(bus, {
        publish: async (...given) => {
          if (++commits !== 2) return bus.publish(...given);
          if (isCommitted) await bus.publish(...given);
          throw new RetryableError('no answer');
        },
      });
      await world.seal(0, readings(10));
      const first = await world.live(uploader, 0, { bus: dying });
      await first.reached(10);
      await world.seal(0, readings(7));
      t.match(await first.ended, { kind: 'lost' });
      const [path] = (await world.storage.list('raw')) as [string];
      const left = await readFile(world.at(path));
      t.equal(left.toString().split('\n').length - 1, 17);
      const second = await world.live(uploader, 0);
      await world.seal(0, readings(5));
      await second.reached(22);
      await second.stop();
      t.ok(left.equals(await readFile(world.at(path))), 'no byte of it was touched');
      const all = await check(t, world);
      t.same(filesOf(all).length, 2, 'U1');
      t.equal(all.find(({ files }) => files[0]?.path !== path)?.from, isCommitted ? 17 : 10);
    },
  );
}

t.test('U3: after a torn append the life ends, and the next one goes on in a new file', async (t) => {
  const world = await openWorld(t, { uploadEvery: '20ms' });
  const tearing = storageWith(world.storage, {
    append: async (path, bytes) => {
      await appendFile(world.at(path), bytes.subarray(0, bytes.length / 2));
      throw new RetryableError('the disk is full', { code: 'E_APPEND' });
    },
  });
  await world.seal(0, readings(10));
  const first = await world.live(uploader, 0, { storage: tearing });
  await first.reached(10);
  await world.seal(0, readings(6));
  t.match(await first.ended, { kind: 'lost', error: { code: 'E_APPEND' } });
  const [path] = (await world.storage.list('raw')) as [string];
  const torn = await readFile(world.at(path));
  const second = await world.live(uploader, 0);
  await second.reached(16);
  await second.stop();
  t.ok(torn.equals(await readFile(world.at(path))));
  t.equal(filesOf(await check(t, world)).length, 2);
});

t.test('U4: what an append has not taken yet is not written over by what is gathered meanwhile', async (t) => {
  const world = await openWorld(t, { uploadEvery: '10ms' });
  const slowly = async (bytes: Uint8Array, write: () => Promise<void>): Promise<void> => {
    const before = Buffer.from(bytes);
    await new Promise((resolve) => setTimeout(resolve, 40));
    t.ok(before.equals(bytes));
    await write();
  };
  const storage = storageWith(world.storage, {
    create: (path, bytes) => slowly(bytes, () => world.storage.create(path, bytes)),
    append: (path, bytes, lengthBefore) => slowly(bytes, () => world.storage.append(path, bytes, lengthBefore)),
  });
  const life = await world.live(uploader, 0, { storage });
  for (let i = 0; i < 60; i++) {
    await world.seal(0, readings(50 + i, day + i * 1_000 - (i % 3) * 86_400_000));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await life.reached(60 * 50 + (59 * 60) / 2);
  await life.stop();
  t.ok((await check(t, world)).length > 3, 'several uploads');
});

t.test('U2: the late commit of a paused owner is refused, and what it has appended stays uncommitted', async (t) => {
  const world = await openWorld(t, { uploadEvery: '20ms' });
  let appended: () => void = () => undefined;
  let goOn: () => void = () => undefined;
  const isAppended = new Promise<void>((resolve) => {
    appended = resolve;
  });
  const paused = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const storage = storageWith(world.storage, {
    create: async (path, bytes) => {
      await world.storage.create(path, bytes);
      appended();
      await paused;
    },
  });
  await world.seal(0, readings(10));
  const old = await world.live(uploader, 0, { storage });
  await isAppended;
  const successor = await world.live(uploader, 0);
  await successor.reached(10);
  goOn();
  t.match(await old.ended, { kind: 'fenced' });
  await successor.stop();
  t.equal(filesOf(await check(t, world)).length, 1);
  t.equal((await world.storage.list('raw')).length, 2);
});

t.test('U4: a clean stop commits what was taken', async (t) => {
  const world = await openWorld(t, { uploadEvery: '10m' });
  await world.seal(0, readings(10));
  const bus = await world.open();
  let isRead: () => void = () => undefined;
  const read = new Promise<void>((resolve) => {
    isRead = resolve;
  });
  const watched: Bus = busWith(bus, {
    read: async (stream, options) => {
      const reader = await bus.read(stream, options);
      return {
        ...reader,
        pending: 0,
        ready: () => reader.ready(),
        close: () => reader.close(),
        take: (max) => {
          const taken = reader.take(max);
          if (taken.length > 0) setImmediate(isRead);
          return taken;
        },
      };
    },
  });
  const life = await world.live(uploader, 0, { bus: watched });
  await read;
  await life.stop();
  await check(t, world);
});
