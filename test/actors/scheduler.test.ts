/** The scheduler alone: the test plays everybody else. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { scheduler } from '../../actors/scheduler.js';
import type { PlainMessage } from '../../infra/bus/bus.js';
import type { BatchRequested, RangeAssigned, ServicesAssigned } from '../../protocol/messages/batch.js';
import {
  readBatchAbandoned,
  readBatchAnswer,
  readBatchReady,
  readBatchRequested,
  readManifest,
  readRangeAssigned,
  readServicesAssigned,
} from '../../protocol/messages/readers.js';
import { noChain } from '../../protocol/messages/segment-sealed.js';
import { sumPosition } from '../../protocol/range.js';
import { openWorld, readLog, type World } from './segment-log.js';

const sha256Of = (text: string): string => createHash('sha256').update(text).digest('hex');
const aFile = (path: string) => ({ path, bytes: 1, sha256: sha256Of(path) });

/** What BATCH heard, and what the others would say. */
const play = async (world: World) => {
  const bus = await world.open();
  const heard: PlainMessage[] = [];
  let arrived: () => void = () => undefined;
  for (const subject of ['batch.requested', 'batch.ready', 'batch.abandoned', 'range.assigned', 'services.assigned']) {
    bus.hear(subject, (message) => {
      heard.push(message);
      arrived();
    });
  }
  await bus.flush();
  const next = async <T>(subject: string, read: (body: Uint8Array) => T): Promise<T> => {
    for (;;) {
      const at = heard.findIndex((message) => message.subject === subject);
      if (at >= 0) return read((heard.splice(at, 1)[0] as PlainMessage).body);
      await new Promise<void>((resolve) => {
        arrived = resolve;
      });
    }
  };
  const say = (subject: string, body: unknown): Promise<number> => bus.publish(subject, JSON.stringify(body));
  const committed = [0, 0];
  return {
    bus,
    heard,
    requested: () => next('batch.requested', readBatchRequested),
    assigned: () => next('range.assigned', readRangeAssigned),
    toReduce: () => next('services.assigned', readServicesAssigned),
    ready: () => next('batch.ready', readBatchReady),
    abandoned: () => next('batch.abandoned', readBatchAbandoned),
    /** Offsets up to `to` are committed, all of one date. */
    commit: async (partition: number, to: number): Promise<void> => {
      const from = committed[partition] as number;
      committed[partition] = to;
      const path = `raw/2026-11-23/${partition}-000000000000-w.ndjson`;
      const bytes = {
        path,
        fromByte: from * 10,
        toByte: to * 10,
        sha256: sha256Of(path),
        records: to - from,
        minuteMin: 0,
        minuteMax: 0,
      };
      await say(`raw.stored.${partition}`, {
        partition,
        from,
        to,
        files: [bytes],
        segments: { sequence: to, chain: noChain },
      });
    },
    part: (partition: number, from: number, to: number, more: object = {}) =>
      say(`part.stored.${partition}`, {
        partition,
        from,
        to,
        file: aFile(`views/realtime/${partition}/${from}-${to}`),
        rows: 1,
        refused: {},
        missing: {},
        segments: { sequence: to, chain: noChain },
        ...more,
      }),
    ask: async (kind: 'batch' | 'rebuild' = 'batch') => {
      for (;;) {
        try {
          for await (const { body } of bus.ask('batch.asked', JSON.stringify({ kind }), { timeoutMs: 20_000 }))
            return readBatchAnswer(body);
        } catch (error) {
          if (!/nobody/.test((error as Error).message)) throw error; // it has not begun yet
          await new Promise(setImmediate);
        }
      }
    },
    mapped: ({ batch, task, inputs, output }: RangeAssigned, off = 0) =>
      say('range.mapped', {
        batch,
        task,
        file: aFile(output),
        records: inputs.reduce((sum, { records }) => sum + records, 0) + off,
        rows: 1,
      }),
    reduced: async ({ batch, task, output }: ServicesAssigned, records: number) => {
      const content = JSON.stringify({
        batch,
        task,
        files: [{ service: 'web', month: '2026-11', ...aFile('month'), rows: 1, msg_num: records }],
      });
      await world.storage.create(output, Buffer.from(content));
      await say('services.reduced', {
        batch,
        task,
        listing: { path: output, bytes: Buffer.byteLength(content), sha256: sha256Of(content) },
        records,
        rows: 1,
      });
    },
    proved: ({ batch, cut, manifest, records, rows }: ReturnType<typeof readBatchReady>, requested: BatchRequested, differences = 0) =>
      say('view.proved', {
        batch,
        cut,
        records,
        rows,
        differences,
        examples: [],
        manifest,
        requestedAt: requested.requestedAt,
      }),
    subjects: async () => (await readLog(bus, 'BATCH', '>')).map(({ subject }) => subject),
    stop: () => bus.close(),
  };
};

type Play = Awaited<ReturnType<typeof play>>;

/** From the request to batch.ready, all as it should be. */
const makeReady = async (on: Play) => {
  const requested = await on.requested();
  await on.mapped(await on.assigned());
  const reducing = await on.toReduce();
  await on.reduced(reducing, sumPosition(requested.cut));
  return { requested, reducing, ready: await on.ready() };
};

t.test('S2, S5, S6: a batch from the proved cut to the newest part end that is committed; the next one builds on it', async (t) => {
  const world = await openWorld(t, { batchEvery: '1h' });
  const on = await play(world);
  await on.commit(0, 50);
  await on.part(0, 0, 30);
  await on.part(0, 30, 60); // ends behind what is committed
  await on.part(1, 0, 10, { refused: { web: { 'not JSON': 2 } }, missing: { web: 3 } });
  await on.commit(1, 10);
  await on.bus.publish(
    'table.stored.0',
    JSON.stringify({ partition: 0, offset: 0, file: aFile('state'), segments: { sequence: 0, chain: noChain } }),
  );
  const life = await world.live(scheduler, 0);
  t.same(await on.ask(), { batch: '000001' });
  const first = await makeReady(on);
  t.match(first.requested, {
    batch: '000001',
    base: null,
    from: [0, 0],
    cut: [30, 10],
    reason: 'asked',
    mapTasks: 1,
    reduceTasks: 1,
  });
  t.match(first.ready, { batch: '000001', base: null, cut: [30, 10], records: 40 });
  t.equal(first.reducing.base, null);
  const manifest = readManifest(await world.storage.read(first.ready.manifest.path));
  t.match(manifest, {
    batch: '000001',
    cut: [30, 10],
    refused: { web: { 'not JSON': 2 } },
    missing: [{}, { web: 3 }],
  });
  t.match(manifest.raw, [{ partition: 1, from: 0, to: 10, bytes: 100, records: 10 }], 'what is below the cut by whole commits');
  await on.proved(first.ready, first.requested);
  await life.reached(40);
  t.same(await on.ask(), { batch: null }, 'nothing is new');
  await on.commit(0, 60);
  t.same(await on.ask(), { batch: '000002' });
  const second = await makeReady(on);
  t.match(second.requested, { batch: '000002', base: '000001', from: [30, 10], cut: [60, 10] });
  t.same(second.reducing.base, first.ready.manifest);
  await on.proved(second.ready, second.requested);
  await life.reached(70);
  t.same(await life.stop(), { kind: 'stopped' });
  const successor = await world.live(scheduler, 0);
  await successor.reached(70);
  t.same(await on.ask(), { batch: null }, 'S5: it begins from the newest proved one');
  await successor.stop();
});

t.test('S6: a batch whose sum does not fit is abandoned, and so is one with a task that failed', async (t) => {
  const world = await openWorld(t, { batchEvery: '1h' });
  const on = await play(world);
  await on.commit(0, 50);
  await on.part(0, 0, 50);
  const life = await world.live(scheduler, 0);
  await on.ask();
  await on.mapped(await on.assigned(), 1);
  t.match(await on.abandoned(), { batch: '000001', reason: 'the mappers found 51 records, the commits promise 50' });
  t.same(await on.ask(), { batch: '000002' });
  await on.mapped(await on.assigned());
  await on.reduced(await on.toReduce(), 49);
  t.match(await on.abandoned(), {
    batch: '000002',
    reason: 'msg_num of the new view sums to 49, the offsets in its cut to 50',
  });
  t.same(await on.ask(), { batch: '000003' });
  await on.assigned();
  await on.bus.publish('range.failed', JSON.stringify({ batch: '000003', task: 0, reason: 'raw/x is not there' }));
  t.match(await on.abandoned(), { batch: '000003', reason: /raw\/x is not there/ });
  t.same(await on.ask(), { batch: '000004' });
  const task = await on.assigned();
  await on.mapped(task);
  await on.mapped(task); // done twice: the second is the same
  await on.reduced(await on.toReduce(), 50);
  t.match(await on.ready(), { batch: '000004' });
  t.notOk((await on.subjects()).slice(0, -1).includes('batch.ready'));
  await life.stop();
});

t.test("S1: a successor abandons its predecessor's open batch, and a predecessor that comes back is fenced", async (t) => {
  const world = await openWorld(t, { batchEvery: '1h' });
  const on = await play(world);
  await on.commit(0, 50);
  await on.part(0, 0, 50);
  const old = await world.live(scheduler, 0);
  await on.ask();
  await on.assigned();
  const successor = await world.live(scheduler, 0);
  t.same(await on.abandoned(), { batch: '000001', reason: 'its scheduler is gone' });
  t.match(await old.ended, { kind: 'fenced' }, 'it sees that its batch was abandoned, and begins anew');
  t.notOk((await on.subjects()).includes('batch.ready'));
  t.same(await on.ask(), { batch: '000002' });
  await successor.stop();
});

t.test('S5: no batch starts while one is open or unproved', async (t) => {
  const world = await openWorld(t, { batchEvery: '1s', partEvery: '1s' });
  const on = await play(world);
  await on.commit(0, 50);
  await on.part(0, 0, 50);
  const life = await world.live(scheduler, 0);
  const first = await makeReady(on); // by schedule
  t.match(first.requested, { reason: 'first' });
  await on.commit(0, 60);
  await on.part(0, 50, 60);
  const asked = on.ask();
  await new Promise((resolve) => {
    setTimeout(resolve, 1_300);
  }); // longer than a period
  t.same(
    on.heard.filter(({ subject }) => subject === 'batch.requested'),
    [],
  );
  await on.proved(first.ready, first.requested);
  const second = await makeReady(on);
  t.match(second.requested, { batch: '000002', from: [50, 0], cut: [60, 0] });
  t.ok(['000002', null].includes((await asked).batch), 'asked or by schedule, whichever was first');
  // It is ready when its scheduler goes; the successor waits for its proof, and begins from it.
  await life.stop();
  await on.commit(0, 70);
  await on.part(0, 60, 70);
  const successor = await world.live(scheduler, 0);
  await successor.reached(50);
  await new Promise((resolve) => {
    setTimeout(resolve, 1_300);
  });
  t.same(
    on.heard.filter(({ subject }) => subject === 'batch.requested' || subject === 'batch.abandoned'),
    [],
  );
  await on.proved(second.ready, second.requested);
  t.match(await successor.ended, { kind: 'lost' }, 'what its predecessor drafted is in the manifest');
  const third = await world.live(scheduler, 0);
  await third.reached(60);
  t.match(await on.requested(), { batch: '000003', base: '000002', from: [60, 0], cut: [70, 0], reason: 'schedule' });
  await third.stop();
});

t.test('S5: after a difference none starts until `rebuild`', async (t) => {
  const world = await openWorld(t, { batchEvery: '1s', partEvery: '1s' });
  const on = await play(world);
  await on.commit(0, 50);
  await on.part(0, 0, 50);
  let life = await world.live(scheduler, 0);
  const first = await makeReady(on);
  await on.proved(first.ready, first.requested, 3);
  await on.commit(0, 60);
  await on.part(0, 50, 60);
  t.match(await on.ask(), { batch: null, error: /batch 000001 differs .*tidemark rebuild/ });
  await life.stop();
  life = await world.live(scheduler, 0);
  t.match(await on.ask(), { batch: null, error: /tidemark rebuild/ }, 'a successor knows it too');
  await new Promise((resolve) => {
    setTimeout(resolve, 1_300);
  });
  t.same(
    on.heard.filter(({ subject }) => subject === 'batch.requested'),
    [],
    'none by schedule',
  );
  t.same(await on.ask('rebuild'), { batch: '000002' });
  t.match(await on.requested(), { batch: '000002', base: null, dates: 'all', cut: [60, 0], reason: 'rebuild' });
  await life.stop();
});

t.test('one batch answers all who asked for the same', async (t) => {
  const world = await openWorld(t, { batchEvery: '1h' });
  const on = await play(world);
  const other = await play(world);
  await on.commit(0, 50);
  await on.part(0, 0, 50);
  const life = await world.live(scheduler, 0);
  t.same(await on.ask(), { batch: '000001' }, 'it runs');
  const both = [on.ask(), other.ask()];
  await makeReady(on).then(({ ready, requested }) => on.proved(ready, requested));
  await on.commit(0, 60);
  await on.part(0, 50, 60);
  const answers = await Promise.all(both);
  t.same(answers[0], answers[1]);
  await life.stop();
});
