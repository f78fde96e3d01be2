import t, { type Test } from 'tap';
import { fromSnapshot } from '../../../actors/buffer/source-table.js';
import type { Env } from '../../../infra/actor/env.js';
import { followSegment, segmentsBeginning } from '../../../infra/actor/segments.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams, segmentsStream } from '../../../infra/bus/streams.js';
import { loadSettings } from '../../../infra/config.js';
import { UsageError } from '../../../infra/errors.js';
import { createLog } from '../../../infra/log.js';
import { openLocalStorage } from '../../../infra/storage/local.js';
import { readTableStored } from '../../../protocol/messages/readers.js';
import type { RawRecord } from '../../../scripts/recover/raw-line.js';
import { SegmentWriter } from '../../../scripts/recover/segment-writer.js';
import { readLog } from '../../actors/segment-log.js';
import { startNats } from '../../servers.js';

const record = (offset: number, n?: number): RawRecord => ({
  offset,
  reading: {
    service: 'web',
    host: 'h1',
    at: Date.UTC(2026, 10, 2) + offset,
    cpu: 1,
    ram: 2,
    disk: 3,
    ...(n === undefined ? {} : { agent: 'a', n }),
  },
  received: Date.UTC(offset === 350 ? 2090 : 2026, 10, 3),
  subject: n === undefined ? undefined : 'metrics.web.h1',
  content: '',
});

const opened = async (t: Test, flags: Readonly<Record<string, string>> = {}) => {
  const nats = await startNats(t);
  const { settings } = loadSettings({ data: nats.data, nats: nats.url, partitions: '1', logLevel: 'silent', ...flags }, { env: {} });
  await ensureStreams({ ...settings, nats: nats.url });
  const bus = await openBus({ nats: nats.url }, 'test');
  const storage = await openLocalStorage(nats.data);
  t.teardown(async () => {
    await bus.close();
    await storage.close();
  });
  const none = () => Promise.reject(new UsageError('not here'));
  const env: Env = { bus, storage, settings, log: createLog(settings), now: Date.now, instance: 'test', engine: none, recount: none };
  return { env, bus, storage };
};

t.test('K3: a reading with an identity counts once; the log follows, and its last snapshot has every source', async (t) => {
  const { env, bus, storage } = await opened(t);
  const writer = new SegmentWriter({ env, partition: 0, snapshotRecords: 400, snapshotBytes: 1e9, now: Date.now() });
  for (let i = 0; i < 600; i++) t.equal(await writer.add(record(i, i < 300 ? i + 1 : i + 11)), true);
  t.equal(await writer.add(record(600, 5)), false);
  t.equal(await writer.add(record(601)), true);
  t.equal(await writer.add(record(602)), true, 'two without an identity are two');
  await writer.end();
  t.equal(writer.to, 602);
  t.equal(writer.copies, 1);
  let at = segmentsBeginning;
  for (const message of await readLog(bus, segmentsStream(0), 'segment.sealed.0')) at = followSegment(at, message).at;
  t.equal(at.offset, 602);
  const last = await bus.last('STORED', 'table.stored.0');
  const stored = readTableStored(last?.body as Uint8Array);
  t.match(stored, { offset: 602, segments: { sequence: at.sequence, chain: at.chain } });
  const table = fromSnapshot((await storage.read(stored.file.path)).toString('utf8'));
  t.same(
    [...table.entries.values()].map(({ taken }) => taken),
    [
      [
        [1, 301],
        [311, 611],
      ],
    ],
  );
  t.same([...table.missing], [['web', 10]]);
});

t.test('K4: a log that is full is written on when the layers behind have done with what it holds', { timeout: 120_000 }, async (t) => {
  const { env, bus } = await opened(t, { segmentsBytesMax: '2MiB' });
  const writer = new SegmentWriter({ env, partition: 0, snapshotRecords: 1e9, snapshotBytes: 1e9, now: Date.now() });
  /** Both layers, as far as purging goes: they are at the log's end whenever a part is asked for. */
  let raw = 0;
  let part = 0;
  let asked = 0;
  let noting = Promise.resolve();
  bus.hear('part.asked', () => {
    asked += 1;
    noting = noting.then(async () => {
      const last = await bus.last(segmentsStream(0), 'segment.sealed.0');
      const message = last as NonNullable<typeof last>;
      const segments = { sequence: message.sequence, chain: message.header('Tidemark-Chain') };
      const to = Number(/"to":(\d+)/.exec(Buffer.from(message.body).toString('latin1'))?.[1]);
      raw = await bus.publish('raw.stored.0', JSON.stringify({ partition: 0, from: 0, to, files: [], segments }), { expectedLast: raw });
      const body = { partition: 0, from: 0, to, rows: 0, refused: {}, missing: {}, segments };
      part = await bus.publish('part.stored.0', JSON.stringify(body), { expectedLast: part });
    });
  });
  for (let i = 0; i < 40_000; i++) await writer.add(record(i, i + 1));
  await writer.end();
  await noting;
  t.equal(writer.to, 40_000);
  t.ok(asked > 0, 'it was full');
  t.ok((await bus.extent(segmentsStream(0))).bytes <= 2 * 2 ** 20);
});
