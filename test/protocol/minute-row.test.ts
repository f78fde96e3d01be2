import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import type { Sql } from '../../infra/sql/sql.js';
import { addRecord, copyRow, emptyRow, equalRows, type MinuteRow, mergeInto, minuteOf, toViewRow } from '../../protocol/minute-row.js';
import { aggregateRecords, joinRows, mergeRows, projectRows, restoreRows, rowColumns } from '../../protocol/minute-row-sql.js';
import { parseSum, toMillionths } from '../../protocol/units.js';

const folder = await mkdtemp(join(tmpdir(), 'minute-row-'));
const sql = await openDuckdb({ memoryMiB: 256, threads: 2, tempFolder: folder, allowedFolders: [folder] });
t.teardown(async () => {
  sql.close();
  await rm(folder, { recursive: true, force: true });
});

interface Reading {
  service: string;
  timestamp: number;
  cpu: number;
  ram: number;
  disk: number;
}
type Rows = Map<string, MinuteRow>;

const keyOf = (service: string, minute: number) => `${minute} ${service}`;
const rowOf = (rows: Rows, key: string): MinuteRow => {
  const row = rows.get(key) ?? emptyRow();
  rows.set(key, row);
  return row;
};

/** The count by brute force: whole sums by BigInt, peaks by sorting. */
const countAll = (readings: readonly Reading[]): Rows => {
  const rows: Rows = new Map();
  for (const key of new Set(readings.map((r) => keyOf(r.service, Math.floor(r.timestamp / 60_000) * 60_000)))) {
    const mine = readings.filter((r) => keyOf(r.service, Math.floor(r.timestamp / 60_000) * 60_000) === key);
    const exact = (pick: 'cpu' | 'ram' | 'disk') =>
      mine.map((r) => ({ value: BigInt(r[pick].toFixed(6).replace('.', '')), at: r.timestamp }));
    const sum = (pick: 'cpu' | 'ram' | 'disk') => parseSum(String(exact(pick).reduce((total, { value }) => total + value, 0n)));
    const peak = (pick: 'cpu' | 'ram' | 'disk') =>
      exact(pick).sort((a, b) => Number(b.value - a.value) || a.at - b.at)[0] as { value: bigint; at: number };
    rows.set(key, {
      cpu: sum('cpu'),
      ram: sum('ram'),
      disk: sum('disk'),
      maxCpu: Number(peak('cpu').value),
      maxCpuAt: peak('cpu').at,
      maxRam: Number(peak('ram').value),
      maxRamAt: peak('ram').at,
      maxDisk: Number(peak('disk').value),
      maxDiskAt: peak('disk').at,
      messages: mine.length,
    });
  }
  return rows;
};

const addAll = (readings: readonly Reading[]): Rows => {
  const rows: Rows = new Map();
  for (const { service, timestamp, cpu, ram, disk } of readings) {
    addRecord(rowOf(rows, keyOf(service, minuteOf(timestamp))), timestamp, toMillionths(cpu), toMillionths(ram), toMillionths(disk));
  }
  return rows;
};

const mergeAll = (partials: readonly Rows[]): Rows => {
  const merged: Rows = new Map();
  for (const rows of partials) for (const [key, row] of rows) mergeInto(rowOf(merged, key), row);
  return merged;
};

const names = rowColumns.map((name) => (name === 'service' ? '"service": "VARCHAR"' : `"${name}": "BIGINT"`)).join(', ');
const tableOf = (table: string, columns: string, rows: unknown[], session: Sql) =>
  session.run(`CREATE TEMP TABLE ${table} AS SELECT unnest(from_json($rows, '[{${columns}}]'), recursive := true)`, {
    rows: JSON.stringify(rows),
  });

const rowsOf = (found: Record<string, unknown>[]): Rows =>
  new Map(
    found.map((row) => {
      const number = (name: string) => Number(row[name]);
      return [
        keyOf(String(row.service), number('minute')),
        {
          cpu: parseSum(String(row.cpu)),
          ram: parseSum(String(row.ram)),
          disk: parseSum(String(row.disk)),
          maxCpu: number('max_cpu'),
          maxCpuAt: number('max_cpu_at'),
          maxRam: number('max_ram'),
          maxRamAt: number('max_ram_at'),
          maxDisk: number('max_disk'),
          maxDiskAt: number('max_disk_at'),
          messages: number('messages'),
        },
      ];
    }),
  );

/** Merged at once, and joined one after the other. */
const sqlRows = (partials: readonly (readonly Reading[])[]): Promise<[Rows, Rows]> =>
  sql.session(async (session) => {
    for (const [i, readings] of partials.entries()) {
      await tableOf(
        `r${i}`,
        '"service": "VARCHAR", "timestamp": "BIGINT", "cpu": "DOUBLE", "ram": "DOUBLE", "disk": "DOUBLE"',
        [...readings],
        session,
      );
    }
    const parts = partials.map((_, i) => aggregateRecords(`r${i}`));
    const merged = rowsOf(await session.rows(mergeRows(`(${parts.join(' UNION ALL ')})`)));
    return [merged, rowsOf(await session.rows(parts.reduce((one, other) => joinRows(`(${one})`, `(${other})`))))];
  });

const same = (a: Rows, b: Rows): boolean => a.size === b.size && [...a].every(([key, row]) => equalRows(row, b.get(key) ?? emptyRow()));

/** Few values, so that there are ties; all six decimals. */
const percent = fc.oneof(
  fc.constantFrom(0, 0.000001, 50, 50.000001, 100, 9_999.999999, 10_000),
  fc.integer({ min: 0, max: 10_000_000_000 }).map((millionths) => millionths / 1e6),
);
const reading: fc.Arbitrary<Reading> = fc.record({
  service: fc.constantFrom('web', 'Web', '__proto__', 'é'),
  timestamp: fc.oneof(fc.nat(150_000), fc.constantFrom(0, 59_999, 60_000)).map((ms) => Date.UTC(2026, 10, 23) + ms),
  cpu: percent,
  ram: percent,
  disk: percent,
});

t.test('TypeScript, SQL and a count by brute force agree to the bit, however the records are divided and merged', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(reading, { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      fc.infiniteStream(fc.nat(3)),
      async (readings, parts, dealt) => {
        const partials = Array.from({ length: parts }, (): Reading[] => []);
        for (const one of readings) partials[(dealt.next().value as number) % parts]?.push(one);
        const counted = countAll(readings);
        t.ok(same(addAll(readings), counted), 'added one by one');
        t.ok(same(mergeAll(partials.map(addAll)), counted), 'merged');
        t.ok(same(mergeAll(partials.map(addAll).reverse()), counted), 'merged the other way round');
        const [merged, joined] = await sqlRows(partials);
        t.ok(same(merged, counted), 'by SQL');
        t.ok(same(joined, counted), 'by SQL, joined');
      },
    ),
    { numRuns: 100 },
  );
});

const sum = fc
  .oneof(fc.nat(), fc.bigInt(2n ** 52n - 5n, 2n ** 52n + 5n), fc.bigInt(2n ** 53n - 5n, 2n ** 53n + 5n), fc.bigInt(0n, 2n ** 60n))
  .map((value) => parseSum(String(value)));
const minute = Date.UTC(2026, 10, 23);
const peak = fc.constantFrom(0, 7, 10_000_000_000);
const instant = fc.nat(59_999).map((ms) => minute + ms);
const row: fc.Arbitrary<MinuteRow> = fc.record({
  cpu: sum,
  ram: sum,
  disk: sum,
  maxCpu: peak,
  maxCpuAt: instant,
  maxRam: peak,
  maxRamAt: instant,
  maxDisk: peak,
  maxDiskAt: instant,
  messages: fc.integer({ min: 1, max: 2 ** 40 }),
});

const columnsOf = (row: MinuteRow) =>
  Object.fromEntries(
    rowColumns.map((name, i) => [
      name,
      [
        'web',
        minute,
        ...[row.cpu, row.ram, row.disk].map((value) => raw(value)),
        row.maxCpu,
        row.maxCpuAt,
        row.maxRam,
        row.maxRamAt,
        row.maxDisk,
        row.maxDiskAt,
        row.messages,
      ][i],
    ]),
  );
const raw = (value: number | bigint) => String(value);

t.test('merging is associative and commutative to the bit in TypeScript and in SQL, past 2^52 and 2^53', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 6 }), async (rows) => {
      const whole = (order: MinuteRow[]) => {
        const all = emptyRow();
        for (const next of order) mergeInto(all, next);
        return all;
      };
      const left = whole(rows);
      const tree = (some: MinuteRow[]): MinuteRow => {
        if (some.length === 1) return copyRow(some[0] as MinuteRow);
        const middle = some.length >> 1;
        const a = tree(some.slice(0, middle));
        mergeInto(a, tree(some.slice(middle)));
        return a;
      };
      const exact = (pick: 'cpu' | 'ram' | 'disk') => rows.reduce((total, next) => total + BigInt(next[pick]), 0n);
      t.strictSame([left.cpu, left.ram, left.disk].map(BigInt), [exact('cpu'), exact('ram'), exact('disk')]);
      t.ok(equalRows(left, whole(rows.toReversed())));
      t.ok(equalRows(left, tree(rows)));
      await sql.session(async (session) => {
        await tableOf('rows', names, rows.map(columnsOf), session);
        const [once] = rowsOf(await session.rows(mergeRows('rows'))).values();
        t.ok(equalRows(once as MinuteRow, left), 'by SQL');
      });
    }),
    { numRuns: 60 },
  );
});

t.test('the twelve columns are the same by TypeScript and by SQL, and lead back to the row', async (t) => {
  await fc.assert(
    fc.asyncProperty(row, async (row) => {
      await sql.session(async (session) => {
        await tableOf('rows', names, [columnsOf(row)], session);
        const [view] = await session.rows(projectRows('rows', 'BIGINT'));
        t.strictSame({ ...view, msg_num: Number(view?.msg_num) }, toViewRow('web', minute, row));
        t.strictSame(Object.keys(view ?? {}), Object.keys(toViewRow('web', minute, row)), 'in the same order');
        const [back] = rowsOf(await session.rows(restoreRows(`(${projectRows('rows', 'BIGINT')})`))).values();
        const { cpu: _c, ram: _r, disk: _d, ...others } = back as MinuteRow;
        t.match(row, others);
        if ([row.cpu, row.ram, row.disk].every((value) => value < 2 ** 32 * 1e6)) t.ok(equalRows(back as MinuteRow, row));
      });
    }),
    { numRuns: 60 },
  );
});
