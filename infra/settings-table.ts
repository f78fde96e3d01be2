/** The one table of settings, each with its unit in the name: `--help`, `tidemark config` and the README show it. */
import { parseZookeeperAddress } from './coordination/zookeeper-address.js';
import { address, bytes, duration, filePath, type Kind, oneOf, port, type Setting, whole } from './setting-kinds.js';
import { parseHdfsAddress } from './storage/hdfs/address.js';

const setting = <T>(flag: string, kind: Kind<T>, byDefault: string, meaning: string): Setting<T> => ({
  flag,
  ...kind,
  default: byDefault,
  meaning,
});

const optional = <T>(flag: string, kind: Kind<T>, meaning: string): Setting<T | undefined> => ({
  flag,
  ...kind,
  default: undefined,
  meaning,
});

const storageAddress: Kind<string> = {
  placeholder: 'local|URL',
  parse: (text) => {
    if (text.trim() !== 'local') parseHdfsAddress(text.trim());
    return text.trim();
  },
};

const coordinatorAddress: Kind<string> = {
  placeholder: 'nats|URL',
  parse: (text) => {
    if (text.trim() !== 'nats') parseZookeeperAddress(text);
    return text.trim();
  },
};

const dayMs = 86_400_000;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** Every setting there is, in the order in which help shows them. */
export const settingsTable = {
  data: setting('data', filePath('DIR'), './data', "folder of this system: the server's store, raw files, views"),
  nats: optional(
    'nats',
    address('URL', /^(?:(?:nats|tls):\/\/)?[^\s/]+$/, 'an address such as nats://127.0.0.1:4222'),
    'NATS server to join (default: the one that `start` runs on the data folder)',
  ),
  natsCreds: optional('nats-creds', filePath('FILE'), 'credentials file for that server'),
  natsCa: optional('nats-ca', filePath('FILE'), "certificate (PEM) of the authority that signed that server's"),
  natsServer: optional('nats-server', filePath('FILE'), 'nats-server program to run; without it one is found or installed'),
  natsHost: setting(
    'nats-host',
    address('HOST', /^[0-9A-Za-z.:_-]+$/, 'an address of this machine, such as 0.0.0.0'),
    '127.0.0.1',
    'address at which that server listens; other hosts come in with users and TLS only',
  ),
  natsCert: optional('nats-cert', filePath('FILE'), "that server's certificate (PEM)"),
  natsKey: optional('nats-key', filePath('FILE'), "that certificate's private key (PEM)"),
  natsPort: setting('nats-port', port(1), '4222', 'port of the server that `start` runs'),
  natsHttpPort: setting('nats-http-port', port(1), '8222', 'monitoring port of that server'),
  httpPort: setting(
    'http-port',
    port(0),
    '8080',
    'port of the pages and the API; if nobody chose it and it is taken, `start` takes a free one',
  ),
  host: optional(
    'host',
    address('ADDRESS', /^[\w.:%-]+$/, 'an address of this machine, such as 0.0.0.0'),
    'address where pages and API listen, for other machines too; needs a token (default: this machine alone)',
  ),
  token: optional('token', address('TEXT', /^\S{16,200}$/, 'a token of 16 to 200 characters'), 'what whoever asks the API has to know'),
  tokenFile: optional('token-file', filePath('FILE'), 'file that holds the token'),
  opsPort: setting('ops-port', port(0), '0', 'port of health and metrics of a process of actors (0: a free one; `status` shows it)'),
  opsHost: setting(
    'ops-host',
    address('ADDRESS', /^[\w.:%-]+$/, 'an address of this machine, such as 0.0.0.0'),
    '127.0.0.1',
    'address where health and metrics listen; they name no service',
  ),
  partitions: setting('partitions', whole(1, 64), '4', 'independent logs; fixed when the data is made'),
  instances: setting('instances', whole(1, 64), '1', 'how many of each actor to run'),
  storage: setting(
    'storage',
    storageAddress,
    'local',
    'where files live: the data folder, or HDFS at hdfs://HOST:PORT[,HOST:PORT]/FOLDER?user=NAME; fixed when the data is made',
  ),
  copiesBytesMax: setting(
    'copies-bytes-max',
    bytes(64 * MiB, 64 * 1024 * GiB),
    '1GiB',
    'disk for copies of files of HDFS, in each process',
  ),
  coordinator: setting(
    'coordinator',
    coordinatorAddress,
    'nats',
    'who keeps the leases: NATS, or ZooKeeper at zookeeper://HOST:PORT[,HOST:PORT]/FOLDER, a folder for each system',
  ),
  zookeeperSessionMs: setting('zookeeper-session', duration(1000, 60_000), '4s', 'time after which ZooKeeper lets a silent process go'),
  zookeeperAuth: optional('zookeeper-auth', filePath('FILE'), 'file that holds user:password for ZooKeeper; its nodes are theirs alone'),
  bufferCapacity: setting('buffer-capacity', whole(1, 10_000), '50', 'records after which a buffer is sealed'),
  sealAfterMs: setting('seal-after', duration(1, 60_000), '100ms', 'time after which a buffer is sealed anyway'),
  snapshotEveryMs: setting('snapshot-every', duration(100, dayMs), '60s', 'how often a buffer stores its table of sources'),
  snapshotRecords: setting('snapshot-records', whole(1, 1_000_000_000), '250000', 'records after which it does so anyway'),
  uploadEveryMs: setting('upload-every', duration(10, 600_000), '1s', 'how long segments are gathered before an upload (5s with HDFS)'),
  uploadBytesMax: setting('upload-bytes-max', bytes(1 * MiB, 256 * MiB), '8MiB', 'size at which an upload does not wait'),
  rawFileBytesMax: setting('raw-file-bytes-max', bytes(1 * MiB, 64 * GiB), '64MiB', 'size at which a new raw file is begun'),
  updateEveryMs: setting('update-every', duration(5, 10_000), '50ms', 'how often changed rows are published'),
  purgeEveryMs: setting('purge-every', duration(50, dayMs), '5s', 'how often METRICS and SEGMENTS are purged of what is done with'),
  segmentsKeepMs: setting('segments-keep', duration(0, 31 * dayMs), '60s', 'how long SEGMENTS keeps what is committed and in a part'),
  partEveryMs: setting('part-every', duration(100, dayMs), '30s', 'how often the real-time view grows by a part'),
  batchEveryMs: setting('batch-every', duration(1000, 31 * dayMs), '1h', 'how often the batch view is made anew'),
  recomputeEveryMs: setting('recompute-every', duration(1000, 366 * dayMs), '24h', 'how often dates are recomputed from raw data'),
  leaseTtlMs: setting('lease-ttl', duration(500, 60_000), '1.5s', 'time after which a silent owner loses its partition'),
  taskAgainMs: setting('task-again', duration(1000, 3_600_000), '60s', 'time after which the task of a silent worker goes to another'),
  memoryMiB: setting('memory', bytes(128 * MiB, 1024 * GiB, MiB), '256MiB', 'memory that DuckDB may use in one process'),
  // With 2 a batch of 3 million records takes a quarter less time, a fifth more CPU and 28 MiB more.
  mapThreads: setting('map-threads', whole(1, 256), '1', 'threads that DuckDB may use in one process'),
  metricsBytesMax: setting('metrics-bytes-max', bytes(1 * MiB, 1024 * GiB), '1GiB', 'size at which METRICS refuses new messages'),
  segmentsBytesMax: setting('segments-bytes-max', bytes(2 * MiB, 1024 * GiB), '1GiB', "size at which a partition's SEGMENTS does"),
  logLevel: setting('log-level', oneOf('debug', 'info', 'warn', 'error', 'silent'), 'info', 'least important log line that is written'),
} as const;

export type SettingName = keyof typeof settingsTable;

/** Checked values, frozen. Times are milliseconds and sizes bytes unless the name says otherwise. */
export type Settings = { readonly [Name in SettingName]: ReturnType<(typeof settingsTable)[Name]['parse']> };
