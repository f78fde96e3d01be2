/**
 * What has to be there before anything runs, made if it is not: the locked packages, the compiled code, a nats-server.
 * Plain Node, without a dependency, for in a fresh clone there is none. Then it does what it was called for:
 *
 *   node scripts/setup.mjs               only that
 *   node scripts/setup.mjs build         packages and compiled code
 *   node scripts/setup.mjs start …       `tidemark start …`, in this very process, so that signals reach it
 *   node scripts/setup.mjs test …        tap, with these arguments
 *   node scripts/setup.mjs test:hdfs …   every fault of HDFS and ZooKeeper and half an hour of chaos, an hour
 *   node scripts/setup.mjs test:long …   what `test` does in small, whole: every crash point, a minute without a server, 10 million
 *   node scripts/setup.mjs bench …       the measurements
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const top = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.join(top, 'dist');
const sourceFolders = ['protocol', 'actors', 'infra', 'scripts', 'test'];
/** Files that go along as they are. */
const copiedFolders = ['actors/dashboard/pages', 'infra/ops/grafana'];

const tell = (line) => process.stderr.write(`${line}\n`);
const readJson = (...names) => JSON.parse(readFileSync(path.join(top, ...names), 'utf8'));

const give = (line) => {
  tell(line);
  process.exit(4);
};

const checkNode = () => {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 20)) give(`Node ${process.versions.node} is too old: Tidemark needs 20.20 or newer`);
};

/** Whether node_modules holds what the lockfile says; packages for other systems may be absent. */
const isInstalled = () => {
  try {
    const installed = readJson('node_modules', '.package-lock.json').packages;
    return Object.entries(readJson('package-lock.json').packages).every(
      ([where, { version, optional }]) =>
        where === '' || (installed[where] === undefined ? optional === true : installed[where].version === version),
    );
  } catch {
    return false;
  }
};

const installPackages = () => {
  if (isInstalled()) return;
  tell('installing the locked packages (npm ci) …');
  const { status, error } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: top, stdio: ['ignore', 2, 2] });
  if (status !== 0) give(`npm ci did not work (${error?.message ?? `exit code ${status}`}): what it says stands above`);
};

const filesBelow = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(file) : [file];
  });

/** Compiles what changed, and removes what was compiled from sources that are gone: tests among them would still run. */
const build = () => {
  const sources = sourceFolders
    .map((name) => path.join(top, name))
    .filter(existsSync)
    .flatMap(filesBelow)
    .filter((file) => file.endsWith('.ts'));
  const copied = copiedFolders
    .map((name) => path.join(top, name))
    .filter(existsSync)
    .flatMap(filesBelow);
  const stampFile = path.join(dist, '.built');
  const stamp = [path.join(top, 'tsconfig.json'), path.join(top, 'package-lock.json'), ...sources, ...copied]
    .map((file) => `${path.relative(top, file)} ${statSync(file).size} ${statSync(file).mtimeMs}`)
    .join('\n');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  tell('compiling …');
  mkdirSync(dist, { recursive: true });
  rmSync(stampFile, { force: true });
  // Types are checked by `npm run types`; here only what cannot be compiled stops.
  const words = [path.join(top, 'node_modules/ts7/bin/tsc'), '-p', top, '--noCheck'];
  const { status } = spawnSync(process.execPath, words, { cwd: top, stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    tell('the code cannot be compiled: why stands above');
    process.exit(1);
  }
  for (const file of copied) {
    const target = path.join(dist, path.relative(top, file));
    mkdirSync(path.dirname(target), { recursive: true });
    copyFileSync(file, target);
  }
  const copies = new Set(copied.map((file) => path.relative(top, file)));
  const expected = new Set(sources.map((file) => path.relative(top, file).slice(0, -'.ts'.length)));
  for (const file of filesBelow(dist)) {
    const source = path.relative(dist, file).replace(/\.(?:js|js\.map|d\.ts)$/, '');
    if (!expected.has(source) && !copies.has(path.relative(dist, file)) && source !== '.built') rmSync(file);
  }
  writeFileSync(stampFile, stamp);
};

/** So that `npx tidemark` in this folder is what was just compiled, and not a copy that npx once made. */
const linkCommand = () => {
  const cli = path.join(dist, 'scripts/cli.js');
  const link = path.join(top, 'node_modules/.bin/tidemark');
  try {
    chmodSync(cli, 0o755);
    if (!existsSync(link)) symlinkSync(path.relative(path.dirname(link), cli), link);
  } catch (error) {
    tell(`npx tidemark may not find the command (${error.message}): node dist/scripts/cli.js is the same`);
  }
};

const findServer = async () => {
  const { findNatsServer } = await import(pathToFileURL(path.join(dist, 'infra/bus/nats-program.js')).href);
  await findNatsServer({ tell }).catch((error) => give(error.message));
};

const installBrowser = async () => {
  const { installChromium } = await import(pathToFileURL(path.join(dist, 'test/chromium.js')).href);
  await installChromium({ tell });
};

const tap = path.join(top, 'node_modules/tap/dist/esm/run.mjs');
/** Every fault of HDFS and ZooKeeper: files whose names begin like this, below dist/test. */
const hdfsTests = ['infra/storage/hdfs/', 'infra/coordination/', 'scripts/stack/', 'system/hdfs', 'system/zookeeper'];
/** Tests that know --all: what they do in small in `npm test`, whole. */
const longTests = ['crash-points', 'away', 'backlog', 'disk-full'];

const testsBeginning = (names) =>
  filesBelow(path.join(dist, 'test')).filter((file) => {
    const name = path.relative(path.join(dist, 'test'), file);
    return name.endsWith('.test.js') && names.some((one) => name.startsWith(one));
  });

/** Runs a program as this one's last deed: signals are passed on, the exit code is its. */
const become = (words) => {
  const child = spawn(process.execPath, words, { cwd: top, stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
};

const [purpose, ...words] = process.argv.slice(2);
checkNode();
installPackages();
build();
linkCommand();
if (purpose === 'start') {
  const cli = path.join(dist, 'scripts/cli.js');
  process.argv = [process.execPath, cli, 'start', ...words];
  await import(pathToFileURL(cli).href);
} else if (purpose === 'test') {
  await findServer();
  await installBrowser();
  become([tap, ...words]);
} else if (purpose === 'test:hdfs') {
  await findServer();
  process.env.TIDEMARK_TEST_HDFS = 'all';
  become([tap, '--jobs=1', '--timeout=3600', ...words, ...testsBeginning(hdfsTests)]);
} else if (purpose === 'test:long') {
  await findServer();
  const files = longTests.map((name) => path.join(dist, `test/system/${name}.test.js`));
  become([tap, '--jobs=1', '--timeout=3600', '--test-arg=--all', ...words, ...files]);
} else if (purpose === 'bench') {
  await findServer();
  become([path.join(dist, 'scripts/bench/main.js'), ...words]);
} else if (purpose === undefined) {
  await findServer();
}
