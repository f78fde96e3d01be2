import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { openDuckdb } from '../../../infra/sql/duckdb.js';
import type { RowColumns } from '../../../infra/sql/sql.js';
import { viewFiles } from '../../../infra/sql/view-files.js';
import { exactBelow } from '../../../protocol/exact-sums.js';
import { equalRows, type KeyedRow, type MinuteRow, toViewRow } from '../../../protocol/minute-row.js';
import { copyToParquet } from '../../../protocol/minute-row-sql.js';
import { normalSum } from '../../../protocol/units.js';

const folder = await mkdtemp(join(tmpdir(), 'view-files-'));
const sql = await openDuckdb({
  memoryMiB: 256,
  threads: 2,
  tempFolder: join(folder, 'spill'),
  allowedFolders: [folder],
});
t.teardown(async () => {
  sql.close();
  await rm(folder, { recursive: true, force: true });
});
const files = viewFiles(sql);
const minute = Date.UTC(2026, 10, 23, 10, 15);
const file = (name: string) => join(folder, name);

const row = (some: Partial<MinuteRow> = {}): MinuteRow => ({
  cpu: 1_500_000,
  ram: 2,
  disk: 0,
  maxCpu: 1_000_000,
  maxCpuAt: minute + 7,
  maxRam: 1,
  maxRamAt: minute + 59_999,
  maxDisk: 0,
  maxDiskAt: minute,
  messages: 2,
  ...some,
});

const rowAt = (columns: RowColumns, i: number): MinuteRow =>
  columns.wide.get(i) ?? {
    cpu: columns.cpu[i] as number,
    ram: columns.ram[i] as number,
    disk: columns.disk[i] as number,
    maxCpu: columns.maxCpu[i] as number,
    maxCpuAt: columns.maxCpuAt[i] as number,
    maxRam: columns.maxRam[i] as number,
    maxRamAt: columns.maxRamAt[i] as number,
    maxDisk: columns.maxDisk[i] as number,
    maxDiskAt: columns.maxDiskAt[i] as number,
    messages: columns.messages[i] as number,
  };

t.test('a file has the twelve columns, in their order and of their types, and its metadata', async (t) => {
  await files.write(file('a.parquet'), [{ service: 'web', minute, row: row() }], {
    batch: '000007',
    "it's": 'a "b" é',
  });
  const described = await sql.rows('DESCRIBE SELECT * FROM read_parquet($f)', { f: [file('a.parquet')] });
  t.strictSame(
    described.map((column) => `${column.column_name} ${column.column_type}`),
    [
      'service VARCHAR',
      'time_stamp VARCHAR',
      'cpu DOUBLE',
      'ram DOUBLE',
      'disk DOUBLE',
      'max_cpu_time VARCHAR',
      'max_cpu DOUBLE',
      'max_ram_time VARCHAR',
      'max_ram DOUBLE',
      'max_disk_time VARCHAR',
      'max_disk DOUBLE',
      'msg_num INTEGER',
    ],
  );
  t.strictSame(await sql.rows('SELECT * FROM read_parquet($f)', { f: [file('a.parquet')] }), [toViewRow('web', minute, row())]);
  t.strictSame(
    await sql.rows(`SELECT decode(key) AS k, decode(value) AS v FROM parquet_kv_metadata($f)`, {
      f: [file('a.parquet')],
    }),
    [
      { k: 'batch', v: '000007' },
      { k: "it's", v: 'a "b" é' },
    ],
  );
});

const services = fc.oneof(
  fc.constantFrom('web', '__proto__', '../up', 'a.b.c', 'constructor', 'Web', 'x'.repeat(300), 'é', 'e\u0301', 'nul\u0000nul'),
  fc.string({ minLength: 1, unit: 'grapheme' }),
);
const sums = fc
  .oneof(
    fc.nat(),
    fc.maxSafeNat(),
    fc.integer({ min: exactBelow - 3, max: exactBelow + 1_000 }),
    fc.bigInt(2n ** 53n - 3n, 2n ** 53n + 3n),
    fc.bigInt(0n, 2n ** 62n),
  )
  .map(normalSum);
const readings = fc.integer({ min: 0, max: 10_000_000_000 });
const instants = fc.nat(59_999);
const keyedRows: fc.Arbitrary<KeyedRow[]> = fc
  .uniqueArray(
    fc.record({
      service: services,
      minute: fc.nat(3_000_000).map((n) => n * 60_000 + Date.UTC(2000)),
      row: fc.record({
        cpu: sums,
        ram: sums,
        disk: sums,
        maxCpu: readings,
        maxCpuAt: instants,
        maxRam: readings,
        maxRamAt: instants,
        maxDisk: readings,
        maxDiskAt: instants,
        messages: fc.oneof(fc.nat(), fc.integer({ min: 2 ** 31, max: 2 ** 40 })),
      }),
    }),
    { selector: ({ service, minute }) => `${minute} ${service}`, maxLength: 30 },
  )
  .map((rows) =>
    rows.map(({ service, minute, row }) => ({
      service,
      minute,
      row: {
        ...row,
        maxCpuAt: minute + row.maxCpuAt,
        maxRamAt: minute + row.maxRamAt,
        maxDiskAt: minute + row.maxDiskAt,
      },
    })),
  );

t.test('rows come back to the bit, sorted by service and minute, whatever the names and however large the sums', async (t) => {
  let n = 0;
  await fc.assert(
    fc.asyncProperty(keyedRows, async (rows) => {
      const name = file(`property-${n++}.parquet`);
      await files.write(name, rows, {});
      const columns = await files.read(name);
      const sorted = rows.toSorted((a, b) => Buffer.compare(Buffer.from(a.service), Buffer.from(b.service)) || a.minute - b.minute);
      t.strictSame(
        [...(columns.services ?? [])],
        sorted.map(({ service }) => service),
      );
      t.strictSame(
        [...columns.minute],
        sorted.map(({ minute }) => minute),
      );
      sorted.forEach((keyed, i) => {
        if (!equalRows(rowAt(columns, i), keyed.row)) t.strictSame(rowAt(columns, i), keyed.row);
      });
    }),
    { numRuns: 60 },
  );
});

t.test('more rows than a chunk or a row group holds', async (t) => {
  const rows = Array.from({ length: 10_000 }, (_, i) => ({
    service: `s${i % 3}`,
    minute: minute + i * 60_000,
    row: row({ cpu: i, messages: i + 1 }),
  }));
  await files.write(file('many.parquet'), rows, {});
  const columns = await files.read(file('many.parquet'), { singleService: true });
  t.equal(columns.length, 10_000);
  t.equal(columns.services, undefined);
  t.equal(
    columns.messages.reduce((a, b) => a + b),
    (10_000 * 10_001) / 2,
  );
});

t.test('a file without rows is a file', async (t) => {
  await files.write(file('none.parquet'), [], {});
  t.equal((await files.read(file('none.parquet'))).length, 0);
});

t.test(
  'several files of one service each are read together as each alone: order, exact sums, a wider count, a file without rows',
  async (t) => {
    const months: [string, KeyedRow[]][] = [
      ['m-b', [0, 1, 2].map((i) => ({ service: 'b', minute: minute + i * 60_000, row: row({ cpu: i, messages: i + 1 }) }))],
      ['m-none', []],
      ['m-wide', [{ service: '__proto__', minute, row: row({ cpu: 2n ** 60n + 1n, ram: exactBelow + 1 }) }]],
      ['m-many', [{ service: 'a', minute, row: row({ messages: 2 ** 40 }) }]],
      ['m-a', [{ service: 'a', minute: minute - 60_000, row: row({ disk: 7 }) }]],
    ];
    for (const [name, rows] of months) await files.write(file(name), rows, { service: rows[0]?.service ?? 'none' });
    const together = await files.readTogether(
      months.map(([name]) => file(name)),
      { singleService: true },
    );
    for (const [i, [name]] of months.entries()) t.strictSame(together[i], await files.read(file(name), { singleService: true }), name);
    const many = Array.from({ length: 300 }, (_, i) => file(i % 2 === 0 ? 'm-b' : 'm-a'));
    const all = await files.readTogether(many, { singleService: true });
    t.ok(all.every(({ length }, i) => length === (i % 2 === 0 ? 3 : 1)));
    t.strictSame(await files.readTogether([], { singleService: true }), []);
    await t.rejects(files.readTogether([file('m-a'), file('m-gone')], { singleService: true }));
    const parts = [months.flatMap(([, rows]) => rows), [], months[0]?.[1] ?? []];
    for (const [i, rows] of parts.entries()) await files.write(file(`part${i}`), rows, {});
    const ofAll = await files.readTogether(parts.map((_, i) => file(`part${i}`)));
    for (const [i, rows] of ofAll.entries()) t.strictSame(rows, await files.read(file(`part${i}`)), 'and files of several services');
  },
);

t.test('exact_sums of a file that says its service are keyed by minute, else by service and minute', async (t) => {
  const rows = [{ service: '__proto__', minute, row: row({ cpu: 2n ** 53n + 1n, ram: exactBelow }) }];
  const noted = async (name: string) =>
    (
      await sql.rows(`SELECT decode(value) AS v FROM parquet_kv_metadata($f) WHERE decode(key) = 'exact_sums'`, {
        f: [name],
      })
    )[0]?.v;
  await files.write(file('one.parquet'), rows, { service: '__proto__' });
  await files.write(file('several.parquet'), rows, {});
  t.equal(await noted(file('one.parquet')), '{"2026-11-23T10:15:00Z":["9007199254740993","4294967296000000","0"]}');
  t.equal(await noted(file('several.parquet')), `{"__proto__":${await noted(file('one.parquet'))}}`);
  for (const name of ['one.parquet', 'several.parquet']) {
    for (const singleService of [true, false]) {
      t.ok(equalRows(rowAt(await files.read(file(name), { singleService }), 0), (rows[0] as KeyedRow).row), name);
    }
  }
});

t.test('a sum that a double cannot hold, and that the file does not name, is refused', async (t) => {
  await files.write(file('wide.parquet'), [{ service: 'web', minute, row: row({ cpu: 2n ** 54n }) }], {});
  await sql.run(
    ...(copyToParquet('FROM read_parquet($from)', 'COMPRESSION zstd', file('bare.parquet'), {}).map((part) =>
      typeof part === 'string' ? part : { ...part, from: [file('wide.parquet')] },
    ) as [string, Record<string, string>]),
  );
  await t.rejects(files.read(file('bare.parquet')), { code: 'E_PROMISE' });
});

t.test('a double gives its millionths back below exactBelow, and not always from there on', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: exactBelow - 1 }), (sum) => Math.round((sum / 1e6) * 1e6) === sum),
    { numRuns: 10_000 },
  );
  t.ok(Array.from({ length: 100 }, (_, i) => exactBelow + i).some((sum) => Math.round((sum / 1e6) * 1e6) !== sum));
  t.end();
});

t.test('DuckDB touches only the named folders, and its settings stay', async (t) => {
  await writeFile(file('[x]*.csv'), 'a\n1\n');
  t.strictSame(await sql.rows('SELECT a FROM read_csv($f)', { f: [file('[x]*.csv')] }), [{ a: 1n }], 'a path is no pattern');
  await t.rejects(sql.rows('SELECT * FROM read_text($f)', { f: ['/etc/hostname'] }), /Permission/);
  await t.rejects(sql.rows('SELECT * FROM read_text($f)', { f: [`${folder}/../x`] }), /Permission/);
  await t.rejects(sql.run('SET enable_external_access = true'));
  await t.rejects(sql.run('INSTALL httpfs'));
});

t.test('sessions have temporary tables of their own, and what does not fit the memory is spilled', async (t) => {
  const small = await openDuckdb({ memoryMiB: 32, threads: 1, tempFolder: join(folder, 'spill'), allowedFolders: [] });
  await Promise.all(
    [1, 2].map((n) =>
      small.session(async (session) => {
        await session.run(`CREATE TEMP TABLE x AS SELECT range * ${n} AS a FROM range(6000000)`);
        t.strictSame(await session.rows('SELECT sum(a)::BIGINT AS s FROM x'), [{ s: (BigInt(n) * 6000000n * 5999999n) / 2n }]);
      }),
    ),
  );
  await t.rejects(small.rows('SELECT * FROM x'));
  small.close();
});
