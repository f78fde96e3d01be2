import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { windower } from '../../actors/windower.js';
import type { Bus } from '../../infra/bus/bus.js';
import { RetryableError } from '../../infra/errors.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { viewFiles } from '../../infra/sql/view-files.js';
import { chunkHeader, parseChunk } from '../../protocol/messages/chunks.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import { readPartStored, readRealtimeUpdated } from '../../protocol/messages/readers.js';
import type { RealtimeUpdated } from '../../protocol/messages/realtime-updated.js';
import type { RowTuple } from '../../protocol/messages/row-tuple.js';
import { bruteForce, compareRows } from '../system/brute-force.js';
import type { Reading } from '../system/system.js';
import { busWith, openWorld, readLog, type World } from './segment-log.js';

const start = Date.UTC(2026, 10, 23, 10, 15);
/** Ties, several services and minutes, late ones. */
const readings = (from: number, to: number): Reading[] =>
  Array.from({ length: to - from }, (_, k) => {
    const i = from + k;
    return {
      service: ['web', 'Ticketing Service', '__proto__'][i % 3] as string,
      host: 'h',
      timestamp: start + ((i * 7919) % 600) * 1_000,
      cpu: (i * 37) % 11,
      ram: ((i * 12_345_678) % 1e8) / 1e6,
      disk: i % 2,
    };
  });

/** Seals readings [from, to), some at a time. */
const sealAll = async ({ seal }: World, from: number, to: number, each = 7): Promise<void> => {
  for (let at = from; at < to; at += each) await seal(0, readings(at, Math.min(to, at + each)));
};

/** Updates by the hour in the windower's own words, whole. Reads until REALTIME's last, and what REALTIME has forgotten not. */
const updatesOf = async (bus: Bus): Promise<RealtimeUpdated[]> => {
  const whole: RealtimeUpdated[] = [];
  let rows: RowTuple[] = [];
  for (const message of await readLog(bus, 'REALTIME', 'realtime.updated.0')) {
    const update = readRealtimeUpdated(message.body);
    const chunk = parseChunk(message.header(chunkHeader) ?? '') ?? { index: 0, total: 1 };
    rows = chunk.index === 0 ? update.rows : [...rows, ...update.rows];
    if (chunk.index === chunk.total - 1) whole.push({ ...update, rows });
  }
  return whole;
};

/** A reader by rule W1, that holds the open part from `from`. Checks each state that it passes. */
const follow = (t: Test, updates: readonly RealtimeUpdated[]): { from: number; to: number } => {
  let from = 0;
  let to = 0;
  let rows = new Map<string, RowTuple>();
  for (const update of updates) {
    if (update.from === update.since && update.from === to && update.from !== from) {
      from = to; // closed: the next is open
      rows = new Map();
    }
    if (update.from !== from || update.since > to || update.to <= to) continue;
    for (const row of update.rows) rows.set(`${row[0]} ${row[1]}`, row);
    to = update.to;
    t.same(compareRows([...rows.values()], bruteForce(readings(from, to))), [], `the open part [${from}, ${to})`);
  }
  return { from, to };
};

const partsOf = async (bus: Bus): Promise<PartStored[]> =>
  (await readLog(bus, 'STORED', 'part.stored.0')).map(({ body }) => readPartStored(body));

/** Parts go on from each other; each file is what was named, and its rows are those of its range alone. */
const checkParts = async (t: Test, world: World): Promise<PartStored[]> => {
  const parts = await partsOf(await world.open());
  const sql = await openDuckdb({
    memoryMiB: 256,
    threads: 1,
    tempFolder: world.at('work'),
    allowedFolders: [world.at('')],
  });
  let from = 0;
  for (const part of parts) {
    t.equal(part.from, from);
    if (part.file === undefined) {
      t.fail('no file');
      continue;
    }
    const bytes = await readFile(world.at(part.file.path));
    t.equal(bytes.byteLength, part.file.bytes);
    t.equal(createHash('sha256').update(bytes).digest('hex'), part.file.sha256);
    const rows = await viewFiles(sql).read(world.at(part.file.path));
    const tuples = Array.from(
      { length: rows.length },
      (_, i): RowTuple => [
        rows.services?.[i] as string,
        ...[
          rows.minute,
          rows.cpu,
          rows.ram,
          rows.disk,
          rows.maxCpu,
          rows.maxCpuAt,
          rows.maxRam,
          rows.maxRamAt,
          rows.maxDisk,
          rows.maxDiskAt,
          rows.messages,
        ].map((column) => column[i] as number),
      ],
    );
    t.equal(tuples.length, part.rows);
    t.same(compareRows(tuples, bruteForce(readings(part.from, part.to))), [], `W4: the part [${part.from}, ${part.to})`);
    from = part.to;
  }
  sql.close();
  return parts;
};

t.test('W1, W4: updates say the open part, parts the rest; a restart in the middle takes nothing back', async (t) => {
  const world = await openWorld(t, { updateEvery: '5ms', partEvery: '1h' });
  const bus = await world.open();
  const updates: RealtimeUpdated[] = [];
  let heard: () => void = () => undefined;
  const stop = bus.hear('realtime.updated.0', ({ body }) => {
    updates.push(readRealtimeUpdated(body));
    heard();
  });
  const heardUpTo = async (to: number): Promise<void> => {
    while ((updates.at(-1)?.to ?? -1) < to)
      await new Promise<void>((resolve) => {
        heard = resolve;
      });
  };
  const first = await world.live(windower, 0);
  await sealAll(world, 0, 100);
  await first.reached(100);
  const asking = await world.open();
  asking.tell('part.asked', ''); // closes the part
  await sealAll(world, 100, 160);
  await first.reached(160);
  const [part] = await partsOf(bus);
  t.equal(part?.from, 0);
  t.same(await first.stop(), { kind: 'stopped' });
  const before = updates.length;
  const second = await world.live(windower, 0);
  await second.reached(160);
  await sealAll(world, 160, 250);
  await second.reached(250);
  await heardUpTo(250);
  t.equal(updates[before]?.from, part?.to, 'the new owner works through the open part again');
  t.equal(updates[before]?.since, part?.to);
  await second.stop();
  stop();
  t.same(follow(t, updates), { from: part?.to, to: 250 });
  for (const update of updates) if (update.rows.length > 0) t.ok(update.to > update.from && update.since <= update.to, 'W1');
  t.same(await checkParts(t, world), [part]);
});

t.test('W1: a large update comes in chunks of one position', async (t) => {
  const world = await openWorld(t, { updateEvery: '20ms', partEvery: '1h' });
  const many = Array.from(
    { length: 4_000 },
    (_, i): Reading => ({
      service: 'x'.repeat(150),
      host: 'h',
      timestamp: start + i * 60_000,
      cpu: 1,
      ram: 1,
      disk: 1,
    }),
  );
  await world.seal(0, many.slice(0, 2_000));
  await world.seal(0, many.slice(2_000));
  const life = await world.live(windower, 0);
  await life.reached(4_000);
  await life.stop();
  const bus = await world.open();
  const messages = await readLog(bus, 'REALTIME', 'realtime.updated.0');
  t.ok(messages.length > 2 && messages.every(({ body }) => body.byteLength <= 512 * 1024));
  const updates = await updatesOf(bus);
  t.equal(updates.at(-1)?.to, 4_000);
  t.equal(new Set(updates.flatMap(({ rows }) => rows.map(([, minute]) => minute))).size, 4_000);
});

t.test('W2: part.stored is said when its file is on disk under its name; parts by time go on from each other', async (t) => {
  const world = await openWorld(t, { updateEvery: '5ms', partEvery: '100ms' });
  const bus = await world.open();
  let told: (to: number) => void = () => undefined;
  const watched = busWith(bus, {
    publish: async (subject, body, options) => {
      if (subject !== 'part.stored.0') return bus.publish(subject, body, options);
      const part = readPartStored(body as string);
      t.equal(await world.storage.length(part.file?.path ?? ''), part.file?.bytes, 'W2');
      const sequence = await bus.publish(subject, body, options);
      told(part.to);
      return sequence;
    },
  });
  const life = await world.live(windower, 0, { bus: watched });
  for (let at = 0; at < 300; at += 100) {
    await sealAll(world, at, at + 100);
    await new Promise<void>((resolve) => {
      told = (to) => {
        if (to >= at + 100) resolve();
      };
    });
  }
  await life.stop();
  const parts = await checkParts(t, world);
  t.ok(parts.length >= 3);
  t.equal(parts.at(-1)?.to, 300);
});

t.test("W2, W4: an owner that dies between file and part.stored: its successor's part is right", async (t) => {
  for (const isThere of [false, true]) {
    const world = await openWorld(t, { updateEvery: '5ms', partEvery: '1h' });
    const bus = await world.open();
    const dying = busWith(bus, {
      publish: async (subject, ...given) => {
        if (subject !== 'part.stored.0') return bus.publish(subject, ...given);
        if (isThere) await bus.publish(subject, ...given);
        throw new RetryableError('no answer');
      },
    });
    await sealAll(world, 0, 50);
    const first = await world.live(windower, 0, { bus: dying });
    await first.reached(50);
    (await world.open()).tell('part.asked', '');
    t.match(await first.ended, { kind: 'lost' });
    t.equal((await world.storage.list('views/realtime/0')).length, 1);
    const second = await world.live(windower, 0);
    await second.reached(50);
    const asking = await world.open();
    asking.tell('part.asked', '');
    await sealAll(world, 50, 90);
    await second.reached(90);
    asking.tell('part.asked', '');
    while ((await partsOf(bus)).at(-1)?.to !== 90) await new Promise(setImmediate);
    await second.stop();
    const parts = await checkParts(t, world);
    t.equal(parts.at(-1)?.to, 90);
    if (isThere) t.equal(parts[0]?.to, 50);
  }
});

t.test('refused and missing: over the open part and its part; told when nothing else changed', async (t) => {
  const world = await openWorld(t, { updateEvery: '5ms', partEvery: '1h' });
  const bus = await world.open();
  const heard: RealtimeUpdated[] = [];
  let arrived: () => void = () => undefined;
  bus.hear('realtime.updated.0', ({ body }) => {
    heard.push(readRealtimeUpdated(body));
    arrived();
  });
  const next = async (holds: (update: RealtimeUpdated) => boolean): Promise<RealtimeUpdated> => {
    for (;;) {
      const found = heard.findLast(holds);
      if (found) return found;
      await new Promise<void>((resolve) => {
        arrived = resolve;
      });
    }
  };
  const life = await world.live(windower, 0);
  const refused = { __proto__x: { 'not JSON': 2 }, web: { 'cpu below 0': 1 } };
  await world.seal(0, readings(0, 5), { refused, missing: { web: 3 } });
  await world.seal(0, [], { refused: { web: { 'cpu below 0': 4, 'not JSON': 1 } }, missing: { web: 2, '': 9 } });
  const told = await next(({ missing }) => missing[''] === 9);
  t.same(told.refused, { __proto__x: { 'not JSON': 2 }, web: { 'cpu below 0': 5, 'not JSON': 1 } });
  t.same(told.missing, { web: 2, '': 9 });
  bus.tell('part.asked', '');
  while ((await partsOf(bus)).length === 0) await new Promise(setImmediate);
  await world.seal(0, readings(5, 6), { missing: { web: 0 } });
  await next(({ to }) => to === 6);
  await life.stop();
  const [part] = await partsOf(bus);
  t.same(part?.refused, told.refused);
  t.same(part?.missing, told.missing);
  const last = heard.at(-1);
  t.same([last?.refused, last?.missing], [{}, { web: 0 }], 'what the next part says is its own');
});
