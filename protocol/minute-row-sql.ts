/**
 * The minute row's algebra in SQL, beside minute-row.ts: a property test holds the two and a count by brute force
 * against each other. Every fragment of SQL about rows stands here.
 *
 * A row in a table: service VARCHAR, minute BIGINT (ms), cpu, ram, disk BIGINT (sums, millionths), max_cpu BIGINT
 * (millionths), max_cpu_at BIGINT (ms), the same of ram and disk, messages BIGINT.
 *
 * A peak is folded as one BIGINT, reading * 65536 + (59999 - its millisecond in the minute): the largest is the highest
 * reading and of equals the earliest, it merges by max, and it is cheaper than max over a struct. It fits: a reading
 * has 34 bits.
 */
const readings = ['cpu', 'ram', 'disk'] as const;

/** Columns of a row in a table, in order. */
export const rowColumns = [
  'service',
  'minute',
  ...readings,
  ...readings.flatMap((reading) => [`max_${reading}`, `max_${reading}_at`]),
  'messages',
] as const;

const each = (sql: (reading: string) => string): string => readings.map(sql).join(', ');

/** The columns with their types, as in CREATE TABLE. */
export const rowTypes = (numbers: 'BIGINT' | 'DOUBLE'): string =>
  rowColumns.map((name) => `${name} ${name === 'service' ? 'VARCHAR' : numbers}`).join(', ');

const millionths = (percent: string): string => `round(${percent} * 1e6)::BIGINT`;

const foldPeak = (value: string, msInMinute: string): string => `${value} * 65536 + (59999 - ${msInMinute})`;

const peakOf = (value: string, msInMinute: string): string => `max(${foldPeak(value, msInMinute)})`;

/** Takes the folded peaks apart. `folded` has service, minute, sums, peak_cpu …, messages. */
const unfoldPeaks = (folded: string, more: string): string =>
  `SELECT service, minute, cpu, ram, disk, ${each(
    (r) => `peak_${r} // 65536 AS max_${r}, minute + 59999 - peak_${r} % 65536 AS max_${r}_at`,
  )}, messages${more}
    FROM (${folded})`;

/** Names to add to a select list: `, a, b`. */
const also = (names: readonly string[]): string => names.map((name) => `, ${name}`).join('');

/**
 * Rows of records: `records` (a table, or a FROM clause) has service, timestamp (ms), cpu, ram, disk (percent).
 * `extra` adds aggregates over the records: column name to expression.
 */
export const aggregateRecords = (records: string, extra: Record<string, string> = {}): string =>
  unfoldPeaks(
    `SELECT service, "timestamp" // 60000 * 60000 AS minute, ${each(
      (r) => `sum(${millionths(r)})::BIGINT AS ${r}, ${peakOf(millionths(r), '"timestamp" % 60000')} AS peak_${r}`,
    )},
    count(*)::BIGINT AS messages${also(Object.entries(extra).map(([name, sql]) => `${sql} AS ${name}`))}
    FROM ${records} GROUP BY service, "timestamp" // 60000`,
    also(Object.keys(extra)),
  );

/** Merges rows of the same service and minute. `keys`: columns that go with these two. */
export const mergeRows = (rows: string, keys: readonly string[] = []): string =>
  unfoldPeaks(
    `SELECT service, minute, ${each((r) => `sum(${r})::BIGINT AS ${r}, ${peakOf(`max_${r}`, `(max_${r}_at - minute)`)} AS peak_${r}`)},
    sum(messages)::BIGINT AS messages${also(keys)} FROM ${rows} GROUP BY service, minute${also(keys)}`,
    also(keys),
  );

/** Rows of two tables merged, each of which has a service's minute at most once. `key`: a column that stands for the service. */
export const joinRows = (one: string, other: string, key = 'service'): string => {
  const more = key === 'service' ? '' : also([key]);
  const peak = (table: string, r: string) => foldPeak(`${table}.max_${r}`, `(${table}.max_${r}_at - ${table}.minute)`);
  return unfoldPeaks(
    `SELECT coalesce(a.service, b.service) AS service, minute,
    ${each((r) => `coalesce(a.${r}, 0) + coalesce(b.${r}, 0) AS ${r}, greatest(${peak('a', r)}, ${peak('b', r)}) AS peak_${r}`)},
    coalesce(a.messages, 0) + coalesce(b.messages, 0) AS messages${more} FROM ${one} AS a FULL JOIN ${other} AS b USING (${key}, minute)`,
    more,
  );
};

/** A minute (ms) as in the column time_stamp. */
export const timeStamp = (minute: string): string => `strftime(make_timestamp_ms(${minute}::BIGINT), '%Y-%m-%dT%H:%M:%SZ')`;

const instant = (ms: string): string => `strftime(make_timestamp_ms(${ms}::BIGINT), '%Y-%m-%dT%H:%M:%S.%gZ')`;

/** The type of msg_num: INTEGER, and BIGINT in a file that has a row past it. */
export const messageType = (messagesMax: number): 'INTEGER' | 'BIGINT' => (messagesMax < 2 ** 31 ? 'INTEGER' : 'BIGINT');

/** The twelve public columns of rows (whose numbers may be DOUBLE as well), in their order, and `keys` behind them. */
export const projectRows = (rows: string, messages: 'INTEGER' | 'BIGINT', keys: readonly string[] = []): string =>
  `SELECT service, ${timeStamp('minute')} AS time_stamp,
    ${each((r) => `${r}::DOUBLE / 1e6 AS ${r}`)},
    ${each((r) => `${instant(`max_${r}_at`)} AS max_${r}_time, max_${r}::DOUBLE / 1e6 AS max_${r}`)},
    messages::${messages} AS msg_num${also(keys)} FROM ${rows}`;

const ms = (time: string): string => `epoch_ms(${time}::TIMESTAMP)`;

/** Rows of the twelve public columns; exact where no sum needs exact_sums. `type`: of the numbers. */
export const restoreRows = (view: string, type: 'BIGINT' | 'DOUBLE' = 'BIGINT', service = 'service'): string =>
  `SELECT ${service === '' ? '' : `${service}, `}${ms('time_stamp')}::${type} AS minute,
    ${each((r) => `round(${r} * 1e6)::${type} AS ${r}`)},
    ${each((r) => `round(max_${r} * 1e6)::${type} AS max_${r}, ${ms(`max_${r}_time`)}::${type} AS max_${r}_at`)},
    msg_num::${type} AS messages FROM ${view}`;

/**
 * How view files are written: row groups small enough that a day is found in a month. Snappy, and no Bloom filters: zstd's
 * files are a third smaller, but writing and reading them is what a batch spends most on after the raw lines. Dictionaries only for
 * few values, such as the service: to look for them in times and sums makes writing 15 % dearer and files 2 % smaller.
 */
export const viewFormat = 'COMPRESSION snappy, ROW_GROUP_SIZE 4096, WRITE_BLOOM_FILTER false, DICTIONARY_SIZE_LIMIT 64';

/** A statement that writes a Parquet file, and its parameters: file name and metadata are bound, never joined in. */
export const copyToParquet = (
  select: string,
  format: string,
  localFile: string,
  metadata: Record<string, string>,
): [sql: string, parameters: Record<string, string>] => {
  const entries = Object.entries(metadata).map(([key, value], i) => ({ key, name: `metadata_${i}`, value }));
  const pairs = entries.map(({ key, name }) => `'${key.replaceAll("'", "''")}': $${name}`).join(', ');
  return [
    `COPY (${select}) TO $local_file (FORMAT parquet, ${format}${pairs === '' ? '' : `, KV_METADATA {${pairs}}`})`,
    { local_file: localFile, ...Object.fromEntries(entries.map(({ name, value }) => [name, value])) },
  ];
};

/** Key and value of every file's metadata, by file; `$files` is the list. */
export const parquetMetadata = 'SELECT file_name AS file, decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata($files)';
