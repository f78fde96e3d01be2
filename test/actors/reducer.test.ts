import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import t from 'tap';
import { viewFiles } from '../../infra/sql/view-files.js';
import type { RangeMapped, RawInput } from '../../protocol/messages/batch.js';
import type { RecordLine } from '../../protocol/messages/segment-sealed.js';
import { equalRows, type KeyedRow } from '../../protocol/minute-row.js';
import { encodeName } from '../../protocol/name-code.js';
import { map, openBatchFolder, putRaw, record, reduce, viewOf } from './batch-folder.js';

const folder = await openBatchFolder();
t.teardown(() => folder.close());

const names = ['web', 'Web', '__proto__', '../up', 'é', 'e\u0301', 'a\u0000b', 'x'.repeat(300), 'constructor'];

/** Records of nine services over three dates and two months, with ties in the peaks. */
const records = (from: number, to: number): RecordLine[] =>
  Array.from({ length: to - from }, (_, i) => {
    const offset = from + i;
    return record(offset, {
      service: names[offset % names.length] as string,
      timestamp: Date.UTC(2026, 10, 29 + (Math.floor(offset / names.length) % 3)) + ((offset * 1_237) % 300_000),
      cpu: (offset % 5) + 0.123457,
      ram: offset % 2,
    });
  });

let made = 0;
const raw = async (lines: readonly RecordLine[]): Promise<RawInput> => putRaw(folder, `raw/2026-11-23/0-${made++}.ndjson`, 0, lines);
const mapAll = async (batch: string, ...parts: RecordLine[][]): Promise<RangeMapped[]> => {
  const mapped: RangeMapped[] = [];
  for (const [task, lines] of parts.entries()) mapped.push(await map(folder, batch, task, [await raw(lines)]));
  return mapped;
};
const dateOf = ({ timestamp }: RecordLine): string => new Date(timestamp).toISOString().slice(0, 10);

t.test('R1: from zero, every service and month has its file, sorted, with its metadata', async (t) => {
  const lines = records(0, 2_000);
  const { files, records: counted, rows } = await reduce(folder, '000101', await mapAll('000101', lines.slice(0, 700), lines.slice(700)));
  t.equal(counted, 2_000);
  const view = await viewOf(folder, files);
  t.equal(view.length, rows);
  t.equal(
    view.reduce((sum, { msg_num }) => sum + msg_num, 0),
    2_000,
  );
  t.strictSame(
    files.map(({ service, month }) => `${month} ${service}`).sort(),
    names.flatMap((name) => [`2026-11 ${name}`, `2026-12 ${name}`]).sort(),
  );
  for (const file of files) {
    t.equal(file.path, `views/batch/${encodeName(file.service)}/${file.month}.000101.parquet`);
    t.equal((await stat(folder.at(file.path))).size, file.bytes);
    const own = await folder.sql.rows('SELECT * FROM read_parquet($f)', { f: [folder.at(file.path)] });
    t.equal(own.length, file.rows);
    t.strictSame(
      own.map(({ time_stamp }) => time_stamp),
      own.map(({ time_stamp }) => String(time_stamp)).sort(),
    );
    t.equal(file.newest, Date.parse(String(own.at(-1)?.time_stamp)));
    t.ok(own.every(({ service, time_stamp }) => service === file.service && String(time_stamp).startsWith(file.month)));
    const noted = await folder.sql.rows('SELECT decode(key) AS k, decode(value) AS v FROM parquet_kv_metadata($f)', {
      f: [folder.at(file.path)],
    });
    t.strictSame(Object.fromEntries(noted.map(({ k, v }) => [k, v])), {
      batch: '000101',
      service: file.service,
      month: file.month,
      records: String(file.msg_num),
    });
  }
});

t.test(
  'R1: batches on top of each other make the same view as one from zero, to the bit, and R2: a month without news keeps its file',
  async (t) => {
    const all = records(0, 3_000);
    const whole = await reduce(folder, '000201', await mapAll('000201', all));
    const first = await reduce(folder, '000202', await mapAll('000202', all.slice(0, 1_500)));
    const inDecember = all.slice(1_500).filter((line) => dateOf(line) === '2026-12-01');
    const others = all.slice(1_500).filter((line) => dateOf(line) !== '2026-12-01');
    const second = await reduce(folder, '000203', await mapAll('000203', inDecember), { base: first.manifest });
    t.strictSame(
      second.files.filter(({ month }) => month === '2026-11').sort(byPath),
      first.files.filter(({ month }) => month === '2026-11').sort(byPath),
    );
    t.ok(second.files.filter(({ month }) => month === '2026-12').every(({ path }) => path.endsWith('.000203.parquet')));
    const third = await reduce(folder, '000204', await mapAll('000204', others.slice(0, 300), others.slice(300)), {
      base: second.manifest,
    });
    t.ok(third.files.filter(({ month }) => month === '2026-12').every(({ path }) => path.endsWith('.000203.parquet')));
    t.strictSame(await viewOf(folder, third.files), await viewOf(folder, whole.files));
    t.match(third, { records: whole.records, rows: whole.rows });
    t.equal(third.files.length, whole.files.length);
  },
);

const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1);

t.test('R1: a date that is recomputed has the new rows alone, every other date of its month the merged ones', async (t) => {
  const all = records(0, 2_000);
  const whole = await reduce(folder, '000301', await mapAll('000301', all));
  // The base has a date wrong, and lacks the last 500 records.
  const wrong = all
    .slice(0, 1_500)
    .map((line) => (dateOf(line) === '2026-11-30' ? { ...line, cpu: 99, timestamp: line.timestamp + 60_000 } : line));
  const base = await reduce(folder, '000302', await mapAll('000302', wrong));
  t.strictNotSame(await viewOf(folder, base.files), await viewOf(folder, whole.files));
  const needed = all.filter((line) => line.offset >= 1_500 || dateOf(line) === '2026-11-30');
  const mended = await reduce(folder, '000303', await mapAll('000303', needed), {
    base: base.manifest,
    dates: ['2026-11-30'],
  });
  t.strictSame(await viewOf(folder, mended.files), await viewOf(folder, whole.files));
  const rebuilt = await reduce(folder, '000304', await mapAll('000304', all), { base: base.manifest, dates: 'all' });
  t.strictSame(await viewOf(folder, rebuilt.files), await viewOf(folder, whole.files));
  t.ok(rebuilt.files.every(({ path }) => path.endsWith('.000304.parquet')));
});

t.test('R1: a month that is left without rows has no file', async (t) => {
  const november = records(0, 300).filter((line) => dateOf(line) === '2026-11-30');
  const base = await reduce(folder, '000401', await mapAll('000401', november));
  const after = await reduce(
    folder,
    '000402',
    await mapAll(
      '000402',
      records(300, 330).filter((line) => dateOf(line) === '2026-12-01'),
    ),
    { base: base.manifest, dates: ['2026-11-30'] },
  );
  t.ok(after.files.length > 0);
  t.ok(after.files.every(({ month }) => month === '2026-12'));
  t.match(await reduce(folder, '000403', [], { base: base.manifest }), { records: base.records, rows: base.rows }, 'nothing new');
  t.match(await reduce(folder, '000404', [], { base: base.manifest, dates: 'all' }), {
    records: 0,
    rows: 0,
    files: [],
  });
});

t.test('R1: sums past 2^52 and 2^53 survive a merge with the base exactly', async (t) => {
  const minute = Date.UTC(2026, 10, 23, 10, 15);
  const row = {
    cpu: 2n ** 53n + 1n,
    ram: 2 ** 52 + 1,
    disk: 5_000_000,
    maxCpu: 9,
    maxCpuAt: minute + 5,
    maxRam: 0,
    maxRamAt: minute,
    maxDisk: 0,
    maxDiskAt: minute,
    messages: 1_000_000,
  };
  const later = {
    ...row,
    cpu: 2n ** 60n + 1n,
    maxCpuAt: minute + 60_001,
    maxRamAt: minute + 60_000,
    maxDiskAt: minute + 60_000,
  };
  const rowsOf = (service: string): KeyedRow[] => [
    { service, minute, row },
    { service, minute: minute + 60_000, row: later },
  ];
  const path = (service: string) => `views/batch/${encodeName(service)}/2026-11.000500.parquet`;
  const files = [];
  for (const service of ['web', '__proto__']) {
    const local = `${folder.storage.workFolder}/wide.parquet`;
    await viewFiles(folder.sql).write(local, rowsOf(service), { service });
    const { existed: _, ...file } = await folder.storage.adopt(local, path(service));
    files.push({ service, month: '2026-11', ...file, rows: 2, msg_num: 2_000_000 });
  }
  const content = Buffer.from(JSON.stringify({ files }));
  await folder.storage.create('views/batch/000500.json', content);
  const base = {
    path: 'views/batch/000500.json',
    bytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  const added = ['web', '__proto__'].map((service, offset) =>
    record(offset, { service, timestamp: minute + 1, cpu: 0.000002, ram: 0.000001, disk: 0 }),
  );
  const once = await reduce(folder, '000501', await mapAll('000501', added), { base });
  const twice = await reduce(folder, '000502', await mapAll('000502', added), { base: once.manifest });
  for (const { service, path } of twice.files) {
    const columns = await viewFiles(folder.sql).read(folder.at(path), { singleService: true });
    t.ok(
      equalRows(columns.wide.get(0) as KeyedRow['row'], {
        ...row,
        cpu: 2n ** 53n + 5n,
        ram: 2 ** 52 + 3,
        maxCpu: 9,
        messages: 1_000_002,
        maxRam: 1,
        maxRamAt: minute + 1,
      }),
      service,
    );
    t.ok(equalRows(columns.wide.get(1) as KeyedRow['row'], later), 'a row without news too');
  }
});

t.test('R3: a base file with a sum that a double does not give back, and no exact one for it, fails the task', async (t) => {
  const local = `${folder.storage.workFolder}/lacking.parquet`;
  const day = Date.UTC(2026, 10, 23);
  await folder.sql.run(
    `COPY (SELECT 'web' AS service, strftime(make_timestamp_ms(${day} + m * 60000), '%Y-%m-%dT%H:%M:%SZ') AS time_stamp,
    4294967296.5 - m AS cpu, 1.0 AS ram, 1.0 AS disk, time_stamp AS max_cpu_time, 1.0 AS max_cpu, time_stamp AS max_ram_time,
    1.0 AS max_ram, time_stamp AS max_disk_time, 1.0 AS max_disk, 500000 AS msg_num FROM range(3) AS minutes(m))
    TO '${local}' (FORMAT parquet)`,
  );
  const { existed: _, ...file } = await folder.storage.adopt(local, 'views/batch/web/2026-11.001000.parquet');
  const content = Buffer.from(JSON.stringify({ files: [{ service: 'web', month: '2026-11', ...file, rows: 3, msg_num: 1_500_000 }] }));
  await folder.storage.create('views/batch/001000.json', content);
  const base = {
    path: 'views/batch/001000.json',
    bytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  const at = (minute: number) => [record(0, { service: 'web', timestamp: day + minute * 60_000 })];
  for (const [i, minute] of [0, 1].entries()) {
    const mapped = await mapAll(`00100${i + 1}`, at(minute));
    await t.rejects(reduce(folder, `00100${i + 1}`, mapped, { base }), {
      code: 'E_PROMISE',
      message: /exact_sums of 2026-11-23T00:00:00Z/,
    });
  }
});

t.test('R3: a missing or changed input, base file or manifest fails the task', async (t) => {
  const base = await reduce(folder, '000601', await mapAll('000601', records(0, 300)));
  const mapped = await mapAll('000602', records(300, 600));
  const [input] = mapped as [RangeMapped];
  const kept = await readFile(folder.at(input.file.path));
  const fails = async (code: string) => t.rejects(reduce(folder, '000602', mapped, { base: base.manifest, buckets: 1 }), { code });
  await writeFile(folder.at(input.file.path), Buffer.concat([kept.subarray(0, 20), Buffer.from('x'), kept.subarray(21)]));
  await fails('E_PROMISE');
  await rm(folder.at(input.file.path));
  await fails('E_FILE_MISSING');
  await writeFile(folder.at(input.file.path), kept);
  const month = folder.at((base.files[0] as { path: string }).path);
  const was = await readFile(month);
  await writeFile(month, was.subarray(1));
  await fails('E_PROMISE');
  await rm(month);
  await fails('E_FILE_MISSING');
  await writeFile(month, was);
  await rm(folder.at(base.manifest.path));
  await fails('E_FILE_MISSING');
  t.equal(await folder.storage.length('minutes/000602/services-0.json'), undefined);
});

t.test('R4: a second run reports what is there, also when inputs are gone, and no file is replaced', async (t) => {
  const mapped = await mapAll('000701', records(0, 300));
  const first = await reduce(folder, '000701', mapped);
  const before = await Promise.all(first.files.map(({ path }) => stat(folder.at(path))));
  for (const { file } of mapped) await rm(folder.at(file.path));
  t.strictSame(await reduce(folder, '000701', mapped), first);
  const after = await Promise.all(first.files.map(({ path }) => stat(folder.at(path))));
  t.strictSame(
    after.map(({ ino, mtimeMs }) => [ino, mtimeMs]),
    before.map(({ ino, mtimeMs }) => [ino, mtimeMs]),
  );
});

t.test('R3: a month that cannot be written fails the task, with others under way, and leaves nothing in the work folder', async (t) => {
  const many = Array.from({ length: 60 }, (_, i) => record(i, { service: `service ${i}` }));
  const mapped = await mapAll('000901', many);
  await folder.put('views/batch/service%2042', 'a file where its folder has to be');
  await t.rejects(reduce(folder, '000901', mapped, { buckets: 1 }), { code: 'E_STORAGE' });
  t.strictSame(await readdir(folder.storage.workFolder), []);
  await rm(folder.at('views/batch/service%2042'));
  const { records: counted } = await reduce(folder, '000901', mapped, { buckets: 1 });
  t.equal(counted, 60, 'and can be done again');
});

t.test('R4: of two runs at once the first content stays, and both report it', async (t) => {
  const mapped = await mapAll('000801', records(0, 300));
  const [a, b] = await Promise.all([reduce(folder, '000801', mapped), reduce(folder, '000801', mapped)]);
  t.strictSame(a, b);
  for (const file of a.files) await folder.storage.local(file.path, file);
});
