import { join } from 'node:path';
import t from 'tap';
import { openDuckdb } from '../../../infra/sql/duckdb.js';
import { hostileNames } from '../../../scripts/hostile/names.js';

t.test('a text comes back from DuckDB as it went in, whatever it is', async (t) => {
  const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: t.testdir(), allowedFolders: [] });
  t.teardown(() => sql.close());
  const names = ['', ...hostileNames, ...hostileNames.map((name) => `\ufeff${name}`)];
  await sql.run('CREATE TABLE names (i DOUBLE, name VARCHAR)');
  await sql.append('names', [Float64Array.from(names.keys()), names], names.length);
  t.same((await sql.columns('SELECT name FROM names ORDER BY i')).texts[0], names);
  t.same(
    (await sql.rows('SELECT name FROM names ORDER BY i')).map(({ name }) => name),
    names,
  );
  const found = await sql.rows('SELECT count(DISTINCT name) AS different FROM names');
  t.equal(Number(found[0]?.different), new Set(names).size);
  for (const name of names) t.same(await sql.rows('SELECT $name AS name', { name }), [{ name }]);
});

t.test('reading ever more files takes no more memory', { timeout: 60_000 }, async (t) => {
  const folder = t.testdir();
  const sql = await openDuckdb({
    memoryMiB: 128,
    threads: 1,
    tempFolder: join(folder, 'tmp'),
    allowedFolders: [folder],
  });
  t.teardown(() => sql.close());
  const [setting] = await sql.rows("SELECT value FROM duckdb_settings() WHERE name = 'enable_external_file_cache'");
  t.equal(setting?.value, 'false');
  await sql.run('COPY (SELECT 1 AS i) TO $file (FORMAT parquet)', { file: join(folder, 'a.parquet') });
  t.same(await sql.rows('FROM read_parquet($files)', { files: [join(folder, 'a.parquet')] }), [{ i: 1 }]);
  t.same(await sql.rows('SELECT count(*)::INTEGER AS kept FROM duckdb_external_file_cache()'), [{ kept: 0 }]);
});

t.test('memory that a question took is given back after it', async (t) => {
  const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: t.testdir(), allowedFolders: [] });
  t.teardown(() => sql.close());
  const settings = await sql.rows("SELECT name, value FROM duckdb_settings() WHERE name LIKE 'allocator%flush_threshold' ORDER BY name");
  t.same(settings, [
    { name: 'allocator_bulk_deallocation_flush_threshold', value: '1.0 MiB' },
    { name: 'allocator_flush_threshold', value: '1.0 MiB' },
  ]);
});
