/**
 * The jars of a real HDFS and ZooKeeper, fetched once by Maven into a folder of this package. One set runs NameNode,
 * DataNode, their admin tools and a ZooKeeper server.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { packageFolder } from '../../infra/package-folder.js';

export const hadoopVersion = '3.5.0';

/** hadoop-hdfs-client is not fetched along with hadoop-hdfs, though no server starts without it. */
const artifacts = ['hadoop-hdfs', 'hadoop-hdfs-client', 'hadoop-common'];

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidemark</groupId><artifactId>stack</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
${artifacts
  .map(
    (name) =>
      `    <dependency><groupId>org.apache.hadoop</groupId><artifactId>${name}</artifactId><version>${hadoopVersion}</version></dependency>`,
  )
  .join('\n')}
  </dependencies>
</project>
`;

const javaMajorMin = 17;
const fetchMsMax = 600_000;
const tellEveryMs = 5_000;

export const howToInstall =
  `Install Java ${javaMajorMin} or newer and Maven 3.8 or newer, and see that both are on PATH. ` +
  'On Debian and Ubuntu: apt-get install openjdk-17-jre-headless maven. On macOS: brew install openjdk@17 maven';

/** Runs a program to its end, line by line. @throws OutOfReachError with its last words */
const run = (program: string, words: string[], msMax: number, onLine: (line: string) => void = () => undefined): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), msMax);
    let said = '';
    let open = '';
    const hear = (chunk: Buffer): void => {
      const lines = (open + chunk.toString()).split('\n');
      open = lines.pop() ?? '';
      for (const line of lines) onLine(line);
      said = (said + chunk.toString()).slice(-4000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new OutOfReachError(`${program} cannot be run (${messageOf(error)}). ${howToInstall}`, { cause: error }));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(said);
      const last = said
        .trim()
        .split('\n')
        .filter((line) => /ERROR|rror/.test(line))
        .slice(0, 2)
        .join(' ');
      reject(new OutOfReachError(`${program} ended with ${signal ?? code}${last === '' ? '' : `: ${last.slice(0, 500)}`}`));
    });
  });

/** @throws OutOfReachError when there is no Java, or one that is too old */
export const requireJava = async (): Promise<void> => {
  const said = await run('java', ['-version'], 30_000);
  const major = Number(/version "(\d+)/.exec(said)?.[1]);
  if (!(major >= javaMajorMin)) throw new OutOfReachError(`the java on PATH is ${said.split('\n')[0]}. ${howToInstall}`);
};

const defaultFolder = path.join(packageFolder, '.stack', `hadoop-${hadoopVersion}`);

/**
 * The folder of jars: fetched if they are not there yet, which takes a minute or so.
 * @param tell hears, in one line each, how far the fetch is
 * @throws OutOfReachError without Java or Maven, or when they cannot be fetched
 */
export const stackJars = async (tell: (line: string) => void = () => undefined, folder = defaultFolder): Promise<string> => {
  await requireJava();
  if (existsSync(folder)) return folder;
  await run('mvn', ['--version'], 60_000);
  mkdirSync(path.dirname(folder), { recursive: true });
  const beside = mkdtempSync(`${folder}-new-`); // renamed when whole, so that two that fetch at once do not meet
  try {
    writeFileSync(path.join(beside, 'pom.xml'), pom);
    tell(`fetching the jars of Hadoop ${hadoopVersion} (about 70 MB, once) …`);
    let files = 0;
    let toldAtMs = performance.now();
    await run(
      'mvn',
      ['-B', '-f', path.join(beside, 'pom.xml'), 'dependency:copy-dependencies', `-DoutputDirectory=${path.join(beside, 'jars')}`],
      fetchMsMax,
      (line) => {
        if (/Downloaded from .*\.jar/.test(line)) files += 1;
        if (performance.now() - toldAtMs < tellEveryMs) return;
        toldAtMs = performance.now();
        tell(`fetching the jars: ${files} so far`);
      },
    );
    renameSync(path.join(beside, 'jars'), folder);
  } catch (error) {
    if (existsSync(folder)) return folder; // somebody was quicker
    throw new OutOfReachError(`the jars of Hadoop ${hadoopVersion} cannot be fetched: ${messageOf(error)}`, { cause: error });
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  return folder;
};
