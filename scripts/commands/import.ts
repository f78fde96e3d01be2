/** `tidemark import`: publishes recorded readings to a running system, and ends when all of them are sealed. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { parseDuration } from '../../infra/config.js';
import { messageOf, UsageError } from '../../infra/errors.js';
import type { RegisterCommand } from '../command.js';
import { type ImportCounts, importLines } from '../import/import-lines.js';
import { readRecorded, splitRecorded } from '../import/recorded.js';
import { openProgress } from '../progress.js';
import { connectClient } from '../running-system.js';
import { addSettings, connectionSettings, settingsOf } from '../settings-options.js';
import { connectSourceOf } from '../source-connection.js';

interface RecordedFile {
  readonly path: string;
  readonly bytes: number;
  readonly content: string;
  readonly lines: () => AsyncIterable<Buffer>;
}

/** Its sha256 names the sources: the same content is the same sources, wherever the file lies. */
const contentOf = async (chunks: AsyncIterable<Buffer>): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
};

const look = async (path: string): Promise<RecordedFile> => {
  try {
    const content = await contentOf(createReadStream(path, { highWaterMark: 1024 * 1024 }));
    return { path, bytes: (await stat(path)).size, content, lines: () => readRecorded(path) };
  } catch (cause) {
    throw new UsageError(`${path} cannot be read (${messageOf(cause)})`, { cause });
  }
};

const lookInHdfs = async (paths: readonly string[], storage: string): Promise<RecordedFile[]> => {
  const { findInHdfs } = await import('../import/from-hdfs.js'); // its client is loaded only where it is used
  const files: RecordedFile[] = [];
  for (const { path, bytes, read } of await findInHdfs(paths, storage)) {
    files.push({ path, bytes, content: await contentOf(read()), lines: () => splitRecorded(read()) });
  }
  return files;
};

const addCounts = (a: ImportCounts, b: ImportCounts): ImportCounts => {
  const refused = { ...a.refused };
  for (const [reason, count] of Object.entries(b.refused)) refused[reason] = (refused[reason] ?? 0) + count;
  return { taken: a.taken + b.taken, refused, known: a.known + b.known, sealed: a.sealed + b.sealed };
};

const number = (count: number): string => count.toLocaleString('en');

const formatCounts = ({ taken, refused, known, sealed }: ImportCounts): string => {
  const reasons = Object.entries(refused).sort(([, a], [, b]) => b - a);
  const all = reasons.reduce((sum, [, count]) => sum + count, 0);
  const lines = [`${number(taken)} taken, ${number(all)} refused, ${number(known)} known already: ${number(sealed)} sealed`];
  for (const [reason, count] of reasons) lines.push(`  refused ${number(count)}: ${reason}`);
  return `${lines.join('\n')}\n`;
};

const seenWaitMsMax = 10_000;

/** Sealed is safe; whoever asks next wants to see it too. Where nobody answers questions, sealed has to do. */
const untilSeen = async (command: Command, after: number[]): Promise<void> => {
  const client = await connectClient(command);
  await client.query({ from: 0, to: 1, after, waitMs: seenWaitMsMax }).catch(() => undefined);
  await client.close();
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('import')
    .description('publishes recorded readings to a running system, and ends when all are sealed; run again, it goes on where it was')
    .argument('<file...>', "readings: one JSON object a line, a JSON list, or the original's files")
    .option('--from-hdfs', 'the files are in HDFS (that of --storage, or hdfs://HOST:PORT/PATH); of a folder its dd_mm_YYYY.log')
    .option('--patience <TIME>', 'end with exit code 4 when nothing was acknowledged for this long', '60s')
    .option('--json', 'what became of the readings, as JSON');
  addSettings(command, [...connectionSettings, 'storage'])
    .addHelpText(
      'after',
      '\nExamples:\n  $ tidemark import readings.ndjson\n  $ tidemark import --from-hdfs hdfs://namenode:9870/23_11_2026.log\n\n' +
        'Imported again, a file adds nothing: its readings are known by its content.',
    )
    .action(async (paths: string[], options: { patience: string; fromHdfs?: boolean; json?: boolean }) => {
      const patienceMs = parseDuration(options.patience);
      const files: RecordedFile[] = [];
      if (options.fromHdfs === true) files.push(...(await lookInHdfs(paths, settingsOf(command).settings.storage)));
      else for (const path of paths) files.push(await look(path));
      const connection = await connectSourceOf(command);
      try {
        let after: number[] = [];
        let counts: ImportCounts = { taken: 0, refused: {}, known: 0, sealed: 0 };
        for (const { path, bytes, content, lines } of files) {
          const progress = openProgress(path, bytes);
          try {
            counts = addCounts(
              counts,
              await importLines({
                lines: lines(),
                content,
                connection,
                patienceMs,
                onSealed: (position) => {
                  after = position.map((offset, p) => Math.max(offset, after[p] ?? 0));
                },
                onProgress: (at) => progress.show(at.bytes, `${number(at.lines)} read, ${number(at.sealed)} sealed`),
              }),
            );
          } finally {
            progress.end();
          }
        }
        await untilSeen(command, after);
        process.stdout.write(options.json === true ? `${JSON.stringify(counts)}\n` : formatCounts(counts));
      } finally {
        await connection.close();
      }
    });
};
