import t from 'tap';
import { groupsOfFiles, keptBytesOf, MonthCache } from '../../../actors/merger/month-cache.js';
import { PositionGate } from '../../../actors/merger/position-gate.js';
import { type LoadedPart, loadEach, loadPart, monthReader } from '../../../actors/merger/view-files.js';
import type { ViewFiles } from '../../../infra/sql/sql.js';
import type { LocalStorage } from '../../../infra/storage/local.js';
import type { MonthFile } from '../../../protocol/messages/batch.js';
import type { PartStored } from '../../../protocol/messages/part-stored.js';
import { columnsOf, countRows, Files, Partition } from './flow.js';

const rowsOf = (minutes: number) =>
  countRows(
    Array.from({ length: minutes }, (_, i) => ({
      service: 's',
      at: Date.UTC(2026, 10, 1) + i * 60_000,
      cpu: i,
      ram: 1,
      disk: 1,
      refusedBefore: 0,
    })),
  );

const month = (path: string, rows: number): MonthFile => ({
  service: 's',
  month: '2026-11',
  path,
  bytes: 1,
  sha256: '0'.repeat(64),
  rows,
  msg_num: rows,
});

t.test('month files are kept up to a bound, least recently used out first, and read once however many ask', async (t) => {
  const reads: string[] = [];
  const read = async (files: readonly MonthFile[]) => {
    reads.push(...files.map(({ path }) => path));
    return files.map(({ rows }) => columnsOf(rowsOf(rows)));
  };
  const months = new MonthCache(read, 2 * keptBytesOf(120));
  const [a, b, c] = ['a', 'b', 'c'].map((path) => month(path, 120)) as [MonthFile, MonthFile, MonthFile];
  await Promise.all([months.load(a), months.load(a), months.load(a, 'hour')]);
  t.same(reads, ['a']);
  await months.load(b);
  t.ok(months.peek(a), 'used again');
  await months.load(c);
  t.ok(months.peek(a));
  t.equal(months.peek(b), undefined, 'the one used longest ago is out');
  t.ok(months.peek(c));
  t.equal((await months.load(a, 'hour')).length, 2);
  await months.load(b, 'hour');
  t.equal(months.newest(b), Date.UTC(2026, 10, 1, 1, 59));
  reads.length = 0;
  await months.load(b, 'hour');
  t.same(reads, [], 'hours stay when minutes go');
});

t.test('what questions are likely to need is read beforehand: minutes of the newest months, then hours', async (t) => {
  const reads: string[] = [];
  const read = async (files: readonly MonthFile[]) => {
    reads.push(...files.map(({ path }) => path));
    return files.map(({ rows }) => columnsOf(rowsOf(rows)));
  };
  const months = new MonthCache(read, 2 * keptBytesOf(120));
  const files = ['2026-08', '2026-10', '2026-09'].map((name) => ({ ...month(name, 120), month: name }));
  const [oldest, newest, middle] = files as [MonthFile, MonthFile, MonthFile];
  await months.warm(files);
  t.same(reads, ['2026-10', '2026-09', '2026-08']);
  t.ok(months.peek(newest) && months.peek(middle));
  t.equal(months.peek(oldest), undefined, 'there is room for two');
  t.ok(months.peek(oldest, 'hour'));
  await months.warm(files);
  t.equal(reads.length, 3, 'nothing is read again');

  const successor = month('next', 120);
  months.succeed(newest, successor, columnsOf(rowsOf(120)));
  t.ok(months.peek(successor) && months.peek(successor, 'hour'), 'no question waits for a new batch');
  const other = month('other', 120);
  months.succeed(month('never read', 120), other, columnsOf(rowsOf(120)));
  t.equal(months.peek(other), undefined);
});

t.test('small files are read together, within bounds; one that cannot be read keeps no other from being read', async (t) => {
  const reads: number[] = [];
  const read = async (files: readonly MonthFile[]) => {
    reads.push(files.length);
    if (files.some(({ path }) => path === 'bad')) throw new TypeError('bad');
    return files.map(({ rows }) => columnsOf(rowsOf(rows)));
  };
  const [a, b, bad, large] = [month('a', 2), month('b', 60), month('bad', 1), month('large', 20_000)] as const;
  const groups = [...groupsOfFiles([a, b, bad, large, a], (file) => [file])];
  t.same(
    groups.map((group) => group.length),
    [3, 1, 1],
    'a large one is read alone',
  );
  t.same(
    [
      ...groupsOfFiles(
        Array.from({ length: 600 }, () => a),
        (file) => [file],
      ),
    ].map((group) => group.length),
    [256, 256, 88],
  );
  const months = new MonthCache(read, 1e6);
  await months.prefetch([a, b, bad]);
  t.equal((await months.load(a)).length, 2);
  await t.rejects(months.load(bad), { message: 'bad' });
  await months.prefetch([a, b, large]);
  t.same(reads, [3, 1, 1], 'one alone, and a large one, wait until they are needed');
  t.equal((await months.load(b, 'hour')).length, 60, 'a small file has no hours of its own');
  t.equal(reads.length, 4);
  const few = new MonthCache(read, 10 * keptBytesOf(1));
  await few.prefetch(Array.from({ length: 20 }, (_, i) => month(`${i}`, 1)));
  t.equal(
    Array.from({ length: 20 }, (_, i) => few.has(month(`${i}`, 1))).filter(Boolean).length,
    10,
    'what a file takes besides its rows counts',
  );
});

t.test('a file with another number of records than was promised is not answered from', async (t) => {
  const files = new Files();
  const partition = new Partition(0, files);
  partition.readings.push({ service: 's', at: 1e12, cpu: 1, ram: 1, disk: 1, refusedBefore: 0 });
  const part = partition.part(0, 1);
  const storage = { local: async (path: string) => path } as unknown as LocalStorage;
  const alone: string[] = [];
  const viewFiles: ViewFiles = {
    write: async () => undefined,
    read: async (path) => {
      alone.push(path);
      return files.at(path);
    },
    readTogether: async (paths) => paths.map((path) => files.at(path)),
  };
  t.equal((await loadPart(storage, viewFiles, part))?.length, 1);
  await t.rejects(loadPart(storage, viewFiles, { ...part, to: 2 }), { code: 'E_PROMISE' });
  const { file: _, ...without } = part;
  await t.rejects(loadPart(storage, viewFiles, without), { code: 'E_PROMISE' });
  const path = part.file?.path as string;
  t.equal((await monthReader(storage, viewFiles)([month(path, 1)]))[0]?.length, 1);
  await t.rejects(monthReader(storage, viewFiles)([{ ...month(path, 1), msg_num: 2 }]), { code: 'E_PROMISE' });
  await t.rejects(monthReader(storage, viewFiles)([{ ...month(path, 1), rows: 2 }]), { code: 'E_PROMISE' });
  const large = month('large', 3_000);
  files.put('large', rowsOf(3_000));
  alone.length = 0;
  const small = month(path, 1);
  const several = await monthReader(storage, viewFiles)([small, large, small]);
  t.same(
    several.map(({ length }) => length),
    [1, 3_000, 1],
  );
  t.same(alone, ['large'], 'small ones are read together');
  await t.rejects(monthReader(storage, viewFiles)([small, { ...small, msg_num: 2 }]), { code: 'E_PROMISE' });
});

t.test(
  'parts are read some files at a time, in their order; one that is wrong, and those of its group behind it, are left to be read alone',
  async (t) => {
    const files = new Files();
    const partition = new Partition(0, files);
    for (let i = 0; i < 150; i++) partition.readings.push({ service: 's', at: 1e12 + i, cpu: i, ram: 1, disk: 1, refusedBefore: 0 });
    const parts = Array.from({ length: 150 }, (_, i) => partition.part(i, i + 1));
    const storage = { local: async (path: string) => path } as unknown as LocalStorage;
    const together: number[] = [];
    const viewFiles = {
      readTogether: async (paths: readonly string[]) => {
        together.push(paths.length);
        return paths.map((path) => files.at(path));
      },
    } as unknown as ViewFiles;
    const load = async (some: readonly PartStored[], isNeeded?: (part: PartStored) => boolean) => {
      const loaded: LoadedPart[] = [];
      for await (const one of loadEach(storage, viewFiles, some, isNeeded)) loaded.push(one);
      t.same(
        loaded.map(({ part }) => part.from),
        some.map(({ from }) => from),
        'in their order',
      );
      return loaded.map(({ rows }) => rows?.cpu[0]);
    };
    const cpu = parts.map((_, i) => i);
    t.same(await load(parts), cpu);
    t.same(together, [64, 64, 22]);
    const wrong = parts.with(70, { ...(parts[70] as PartStored), to: 90 });
    t.same(await load(wrong), [...cpu.slice(0, 70), ...Array.from({ length: 58 }, () => undefined), ...cpu.slice(128)]);
    together.length = 0;
    t.same(await load(parts.slice(0, 10), ({ from }) => from >= 7), [...Array.from({ length: 7 }, () => undefined), ...cpu.slice(7, 10)]);
    t.same(together, [3], 'what is not needed is not read');
  },
);

t.test('M1: a question waits until the view has got as far as it asks, or for as long as it says', async (t) => {
  const gate = new PositionGate();
  t.equal(await gate.wait([1, 2], [1], 10_000), true, 'it is there already');
  const waiting = gate.wait([1, 2], [2, 2], 10_000);
  gate.reached([1, 9]);
  t.equal(gate.isEmpty, false);
  gate.reached([2, 9]);
  t.equal(await waiting, true);
  t.equal(gate.isEmpty, true);
  t.equal(await gate.wait([1], [2], 1), false);
  const closed = gate.wait([1], [2], 10_000);
  gate.close();
  t.equal(await closed, false);
});
