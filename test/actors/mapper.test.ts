import { appendFile, readdir, rm, writeFile } from 'node:fs/promises';
import t from 'tap';
import type { RangeMapped } from '../../protocol/messages/batch.js';
import type { RecordLine } from '../../protocol/messages/segment-sealed.js';
import { addRecord, emptyRow, equalRows, type MinuteRow, minuteOf } from '../../protocol/minute-row.js';
import { toMillionths } from '../../protocol/units.js';
import { type BatchFolder, inputOf, linesOf, map, openBatchFolder, putRaw, record } from './batch-folder.js';

const folder = await openBatchFolder();
t.teardown(() => folder.close());

const records = (from: number, to: number, some: (offset: number) => Partial<RecordLine> = () => ({})): RecordLine[] =>
  Array.from({ length: to - from }, (_, i) => record(from + i, some(from + i)));

const mappedRows = async (folder: BatchFolder, { file }: RangeMapped) => {
  const rows = await folder.sql.rows('SELECT * FROM read_parquet($f)', { f: [folder.at(file.path)] });
  return rows.map((row) => {
    const number = (name: string) => Number(row[name]);
    return {
      service: String(row.service),
      minute: number('minute'),
      row: {
        cpu: number('cpu'),
        ram: number('ram'),
        disk: number('disk'),
        maxCpu: number('max_cpu'),
        maxCpuAt: number('max_cpu_at'),
        maxRam: number('max_ram'),
        maxRamAt: number('max_ram_at'),
        maxDisk: number('max_disk'),
        maxDiskAt: number('max_disk_at'),
        messages: number('messages'),
      },
    };
  });
};

const counted = (lines: readonly RecordLine[]): Map<string, MinuteRow> => {
  const rows = new Map<string, MinuteRow>();
  for (const { service, timestamp, cpu, ram, disk } of lines) {
    const key = `${minuteOf(timestamp)} ${service}`;
    const row = rows.get(key) ?? emptyRow();
    rows.set(key, row);
    addRecord(row, timestamp, toMillionths(cpu), toMillionths(ram), toMillionths(disk));
  }
  return rows;
};

t.test('X1: the rows of several partitions, dates and files, whatever the names, are those of the records', async (t) => {
  const names = ['web', 'Web', '__proto__', '../up', 'é', 'e\u0301', 'a\u0000b', '"\\', '\u{1F600}'];
  const all = [0, 1].map((p) =>
    records(100 * p, 100 * p + 200, (offset) => ({
      service: names[offset % names.length] as string,
      timestamp: Date.UTC(2026, 10, 23 + (offset % 2)) + offset * 997,
      cpu: (offset % 5) + 0.123457,
    })),
  );
  const inputs = [];
  for (const [p, lines] of all.entries()) {
    for (const day of [0, 1]) {
      inputs.push(
        await putRaw(
          folder,
          `raw/2026-11-2${3 + day}/${p}-x.ndjson`,
          p,
          lines.filter(({ offset }) => offset % 2 === day),
        ),
      );
    }
  }
  const mapped = await map(folder, '000001', 0, inputs);
  const expected = counted(all.flat());
  t.match(mapped, { batch: '000001', task: 0, records: 400, rows: expected.size });
  const rows = await mappedRows(folder, mapped);
  t.equal(rows.length, expected.size);
  for (const { service, minute, row } of rows) t.ok(equalRows(row, expected.get(`${minute} ${service}`) ?? emptyRow()), service);
  const noted = await folder.sql.rows('SELECT decode(key) AS k, decode(value) AS v FROM parquet_kv_metadata($f)', {
    f: [folder.at(mapped.file.path)],
  });
  t.match(Object.fromEntries(noted.map(({ k, v }) => [k, v])), { batch: '000001', task: '0', records: '400' });
});

t.test('X2: what no commit names does not count: a torn tail, records behind the range or of another commit', async (t) => {
  const own = records(0, 50);
  const path = 'raw/2026-11-23/0-tail.ndjson';
  await folder.put(path, linesOf(own));
  await appendFile(folder.at(path), `${linesOf(records(50, 60))}${JSON.stringify(record(60)).slice(0, 40)}`);
  const inPlace = await map(folder, '000002', 0, [inputOf(path, 0, own)]);
  t.equal(inPlace.records, 50);
  t.equal(
    (await mappedRows(folder, inPlace)).reduce((sum, { row }) => sum + row.messages, 0),
    50,
  );
  // Only what lies below the cut, of a commit that goes past it, and of another commit of the same file.
  const cut = await map(folder, '000002', 1, [
    { ...inputOf(path, 0, own), from: 10, to: 20, records: 10 },
    { ...inputOf(path, 0, own), from: 40, to: 45, records: 5 },
  ]);
  const rows = await mappedRows(folder, cut);
  t.equal(
    rows.reduce((sum, { row }) => sum + row.cpu, 0),
    [...records(10, 20), ...records(40, 45)].reduce((sum, { cpu }) => sum + cpu * 1e6, 0),
  );
});

t.test('X2: a range of less than half of its file is copied, a larger one read in place: the same rows', async (t) => {
  const all = records(0, 1_000);
  const path = 'raw/2026-11-23/0-long.ndjson';
  await folder.put(path, linesOf(all));
  const part = all.slice(900);
  const fromByte = Buffer.byteLength(linesOf(all.slice(0, 900)));
  const small = { ...inputOf(path, 0, all), fromByte, from: 900, to: 1_000, records: 100 };
  const copied = await mappedRows(folder, await map(folder, '000003', 0, [small]));
  const inPlace = await mappedRows(folder, await map(folder, '000003', 1, [{ ...small, fileBytes: small.toByte - small.fromByte }]));
  t.strictSame(copied, inPlace);
  const expected = counted(part);
  t.equal(copied.length, expected.size);
  for (const { service, minute, row } of copied) t.ok(equalRows(row, expected.get(`${minute} ${service}`) ?? emptyRow()));
  t.strictSame(await readdir(folder.storage.workFolder), [], 'nothing is left behind');
});

const lines = records(0, 100).map((one) => JSON.stringify(one));
const changed: Record<string, string[]> = {
  'a missing line': lines.toSpliced(50, 1),
  'a doubled line': lines.toSpliced(50, 0, lines[50] as string),
  'a line in the place of another': lines.toSpliced(50, 1, lines[51] as string),
  'a number that is none': lines.toSpliced(50, 1, (lines[50] as string).replace('"cpu":1', '"cpu":"x"')),
  'a number that is away': lines.toSpliced(50, 1, (lines[50] as string).replace('"cpu":1,', '')),
  'a time that is none': lines.toSpliced(50, 1, (lines[50] as string).replace('"timestamp":1', '"timestamp":null,"x":1')),
  'a service that is away': lines.toSpliced(50, 1, (lines[50] as string).replace('"service"', '"serviced"')),
  'an offset that is none': lines.toSpliced(50, 1, (lines[50] as string).replace('"offset":50', '"offset":null')),
  'an offset of another range': lines.toSpliced(50, 1, (lines[50] as string).replace('"offset":50', '"offset":5000')),
  'a line that is no JSON': lines.toSpliced(50, 1, (lines[50] as string).replace('{', '')),
};

for (const [what, content] of Object.entries(changed)) {
  t.test(`X1: ${what} in a committed range fails the task, which names the file`, async (t) => {
    t.not(content.join(), lines.join());
    const path = `raw/2026-11-23/0-${what.replaceAll(' ', '_')}.ndjson`;
    const good = await putRaw(folder, 'raw/2026-11-23/0-good.ndjson', 0, records(100, 200));
    await folder.put(path, `${content.join('\n')}\n`);
    const failed = map(folder, '000004', 0, [good, inputOf(path, 0, records(0, 100), `${content.join('\n')}\n`)]);
    await t.rejects(failed, {
      code: 'E_PROMISE',
      message: new RegExp(`${path}, offsets \\[0, 100\\): 100 records promised`),
    });
    await t.rejects(failed, { message: /^(?!.*0-good)/ });
    t.equal(await folder.storage.length('minutes/000004/0.parquet'), undefined);
  });
}

t.test('X1: an offset in two files of a partition fails the task; the same offset in two partitions is right', async (t) => {
  const a = await putRaw(folder, 'raw/2026-11-23/0-a.ndjson', 0, records(0, 100));
  const b = await putRaw(folder, 'raw/2026-11-24/0-b.ndjson', 0, records(50, 150));
  await t.rejects(map(folder, '000005', 0, [a, b]), { code: 'E_PROMISE' });
  t.equal((await map(folder, '000005', 1, [a, { ...b, partition: 1 }])).records, 200);
});

t.test('X1: offsets that lie too far apart for a bitmap are told apart as well', async (t) => {
  const far = [...records(0, 10), ...records(2 ** 40, 2 ** 40 + 10).map((one) => ({ ...one, timestamp: 1_795_000_000_000 }))];
  const input = await putRaw(folder, 'raw/2026-11-23/0-far.ndjson', 0, far);
  t.equal((await map(folder, '000006', 0, [input])).records, 20);
  await folder.put(input.path, linesOf([...far.slice(0, 19), far[0] as RecordLine]));
  await t.rejects(map(folder, '000006', 1, [input]), { code: 'E_PROMISE' });
});

/** A storage that is on another machine. */
const elsewhere = (opened: (step: 1 | -1) => void = () => undefined) =>
  new Proxy(folder.storage, {
    get: (storage, name) => {
      if (name === 'readsInPlace') return false;
      const value: unknown = Reflect.get(storage, name, storage);
      if (name !== 'stream') return typeof value === 'function' ? value.bind(storage) : value;
      return async function* (...given: Parameters<typeof storage.stream>) {
        opened(1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        yield* storage.stream(...given);
        opened(-1);
      };
    },
  });

t.test('of a storage that is elsewhere some files are copied at once, not all', async (t) => {
  const inputs = [];
  for (let p = 0; p < 12; p++) inputs.push(await putRaw(folder, `raw/2026-11-23/${p}-0-elsewhere.ndjson`, p, records(0, 50)));
  let open = 0;
  let most = 0;
  const storage = elsewhere((step) => {
    open += step;
    most = Math.max(most, open);
  });
  t.equal((await map({ ...folder, storage }, '000777', 0, inputs)).records, 600);
  t.equal(most, 2);
});

t.test('X1: rows, doubles and gaps of large files that are scanned while they are copied are those of all together', async (t) => {
  const host = 'h'.repeat(1_000_000); // 40 lines are more than one scan must have: the first file comes in three pieces
  const lines = [0, 80, 120].map((from, file) =>
    records(from, from + (file === 0 ? 80 : 40), (offset) => ({ host, timestamp: 1_700_000_000_000 + (offset % 9) * 13_000 })),
  );
  const put = (name: string, line: RecordLine[]) => putRaw(folder, `raw/2023-11-14/0-${name}.ndjson`, 0, line);
  const inputs = [];
  for (const [i, line] of lines.entries()) inputs.push(await put(`large${i}`, line));
  const mapped = await map({ ...folder, storage: elsewhere() }, '000778', 0, inputs);
  const rows = await mappedRows(folder, mapped);
  t.same(new Map(rows.map(({ service, minute, row }) => [`${minute} ${service}`, row])), counted(lines.flat()));
  const double = await put(
    'double',
    records(5, 45, () => ({ host })),
  );
  await t.rejects(map({ ...folder, storage: elsewhere() }, '000779', 0, [...inputs, double]), { code: 'E_PROMISE' });
  const [first, ...others] = inputs;
  if (first === undefined) throw new TypeError('three inputs');
  await t.rejects(map({ ...folder, storage: elsewhere() }, '000780', 0, [{ ...first, records: 81 }, ...others]), {
    message: /0-large0\.ndjson, offsets \[0, 80\): 81 records promised, 80 found, 80 whole, 80 different/,
  });
  t.notOk((await readdir(folder.storage.workFolder)).length, 'no copy stays');
});

t.test('X3: a second run reports what is there, and an output that exists stays', async (t) => {
  const input = await putRaw(folder, 'raw/2026-11-23/0-twice.ndjson', 0, records(0, 100));
  const first = await map(folder, '000007', 0, [input]);
  await rm(folder.at(input.path));
  t.strictSame(await map(folder, '000007', 0, [input]), first);
  await t.rejects(map(folder, '000007', 0, [{ ...input, records: 99 }]), { code: 'E_PROMISE' }, 'of another task');
});

t.test('X3: of two runs at once the first content stays, and both report it', async (t) => {
  const input = await putRaw(folder, 'raw/2026-11-23/0-race.ndjson', 0, records(0, 100));
  const [a, b] = await Promise.all([map(folder, '000008', 0, [input]), map(folder, '000008', 0, [input])]);
  t.strictSame(a, b);
});

t.test('X4: a missing raw file fails the task', async (t) => {
  const input = await putRaw(folder, 'raw/2026-11-23/0-gone.ndjson', 0, records(0, 100));
  await rm(folder.at(input.path));
  await t.rejects(map(folder, '000009', 0, [input]), { code: 'E_FILE_MISSING' });
  await t.rejects(map(folder, '000009', 0, [{ ...input, fileBytes: 10 ** 9 }]), { code: 'E_FILE_MISSING' });
});

t.test('X1: a file that is shorter than committed fails the task', async (t) => {
  const input = await putRaw(folder, 'raw/2026-11-23/0-short.ndjson', 0, records(0, 100));
  await writeFile(folder.at(input.path), linesOf(records(0, 99)));
  await t.rejects(map(folder, '000010', 0, [{ ...input, fileBytes: 10 ** 9 }]), { code: 'E_PROMISE' });
});
