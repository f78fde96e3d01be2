import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  environmentName,
  formatBytes,
  formatDuration,
  loadSettings,
  optionName,
  parseBytes,
  parseDuration,
  settingNames,
  settingsFileName,
  settingsTable,
} from '../../infra/config.js';
import { SettingsError } from '../../infra/errors.js';

const folderWith = (test: Test, content?: string): string => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tidemark-config-'));
  test.teardown(() => rmSync(folder, { recursive: true }));
  if (content !== undefined) writeFileSync(path.join(folder, settingsFileName), content);
  return folder;
};

const refusal = (load: () => unknown): string => {
  try {
    load();
  } catch (error) {
    if (error instanceof SettingsError) return error.message;
    throw error;
  }
  return 'nothing was refused';
};

t.test('a flag goes before the environment, the environment before the file, the file before the default', (t) => {
  const cwd = folderWith(t, '{"part-every": "7s", "partitions": 7, "http-port": 7000}');
  const env = { TIDEMARK_PART_EVERY: '6s', TIDEMARK_PARTITIONS: '6' };
  const { settings, origins } = loadSettings({ partEvery: '5s' }, { env, cwd });
  t.equal(settings.partEveryMs, 5000);
  t.equal(origins.partEveryMs, '--part-every');
  t.equal(settings.partitions, 6);
  t.equal(origins.partitions, 'TIDEMARK_PARTITIONS');
  t.equal(settings.httpPort, 7000);
  t.match(origins.httpPort, `http-port in ${path.join(cwd, settingsFileName)}`);
  t.equal(settings.bufferCapacity, 50);
  t.equal(origins.bufferCapacity, 'default');
  t.end();
});

t.test('settings are frozen, and all defaults are valid', (t) => {
  const { settings } = loadSettings({}, { env: {}, cwd: folderWith(t) });
  t.ok(Object.isFrozen(settings));
  t.same(Object.keys(settings), settingNames);
  t.equal(settings.nats, undefined);
  t.equal(settings.memoryMiB, 256);
  t.end();
});

t.test('every setting has a flag of its own, and an internal name that says its unit', (t) => {
  const flags = settingNames.map((name) => settingsTable[name].flag);
  t.equal(new Set(flags).size, flags.length);
  for (const name of settingNames) {
    const { placeholder, flag } = settingsTable[name];
    if (placeholder === 'TIME') t.match(name, /Ms$/, flag);
    if (placeholder === 'SIZE') t.match(name, /(BytesMax|MiB)$/, flag);
  }
  t.equal(environmentName('part-every'), 'TIDEMARK_PART_EVERY');
  t.equal(optionName('upload-bytes-max'), 'uploadBytesMax');
  t.end();
});

t.test('with HDFS uploads gather for longer, unless they are told how long', (t) => {
  const cwd = folderWith(t);
  const load = (flags: Record<string, unknown>) => loadSettings(flags, { env: {}, cwd });
  t.equal(load({}).settings.uploadEveryMs, 1_000);
  const { settings, origins } = load({ storage: 'hdfs://namenode:9870/x' });
  t.equal(settings.uploadEveryMs, 5_000);
  t.equal(origins.uploadEveryMs, 'default with HDFS');
  t.equal(load({ storage: 'hdfs://namenode:9870/x', uploadEvery: '1s' }).settings.uploadEveryMs, 1_000);
  t.end();
});

t.test('a refusal says what is wrong, where it was written, and what would be right', (t) => {
  const cwd = folderWith(t);
  const load =
    (flags: Record<string, unknown>, env: Record<string, string> = {}) =>
    () =>
      loadSettings(flags, { env, cwd });
  t.match(refusal(load({ partEvery: '30' })), /--part-every: "30" is not a duration with its unit, such as/);
  t.match(refusal(load({}, { TIDEMARK_PARTITIONS: 'four' })), /TIDEMARK_PARTITIONS: "four" is not a whole number from 1 to 64/);
  t.match(refusal(load({ storage: 's3://x' })), /--storage: .*s3:\/\/x is no address of an HDFS: write it as hdfs/);
  t.match(
    refusal(load({ coordinator: 'zookeeper://z:99999' })),
    /--coordinator: "zookeeper:\/\/z:99999" is not nats or an address such as/,
  );
  t.match(refusal(load({ natsPort: '70000' })), /from 1 to 65535/);
  t.match(refusal(load({ logLevel: 'loud' })), /one of debug, info/);
  t.match(refusal(load({ natsPort: '8080' })), /http-port \(default\) and nats-port \(--nats-port\) are both 8080/);
  t.match(refusal(load({ batchEvery: '10s' })), /part-every \(default\) is longer than batch-every \(--batch-every\)/);
  t.end();
});

t.test('an unknown key, a broken file and a missing named file are refused', (t) => {
  const load = (content: string) => {
    const cwd = folderWith(t, content);
    return () => loadSettings({}, { env: {}, cwd });
  };
  t.match(refusal(load('{"partevery": "3s"}')), /partevery in .*tidemark\.config\.json is no setting/);
  t.match(refusal(load('{"part-every": true}')), /write a text or a number/);
  t.match(refusal(load('{"part-every": ')), /is not JSON/);
  t.match(refusal(load('[]')), /is not a JSON object/);
  t.match(
    refusal(() => loadSettings({ config: 'none.json' }, { env: {}, cwd: folderWith(t) })),
    /none\.json cannot be read/,
  );
  t.end();
});

t.test('paths in a file start at the file, other paths at the current folder', (t) => {
  const cwd = folderWith(t);
  const other = folderWith(t, '{"data": "tides"}');
  const config = path.join(other, settingsFileName);
  t.equal(loadSettings({ config }, { env: {}, cwd }).settings.data, path.join(other, 'tides'));
  t.equal(loadSettings({ config, data: 'tides' }, { env: {}, cwd }).settings.data, path.join(cwd, 'tides'));
  t.end();
});

t.test('durations and sizes are read back as they were written', (t) => {
  fc.assert(fc.property(fc.nat(2 ** 40), (n) => parseDuration(formatDuration(n)) === n && parseBytes(formatBytes(n)) === n));
  t.equal(parseDuration('1.5s'), 1500);
  t.equal(parseBytes('1MB'), 1_000_000);
  t.throws(() => parseBytes('8 mb'));
  t.end();
});
