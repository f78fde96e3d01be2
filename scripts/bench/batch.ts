/** CPU of a batch view from raw records, against DuckDB asked barely; and of the next one, against the first. */
import { fork } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { settingsTable } from '../../infra/config.js';
import { OutOfReachError, PromiseError } from '../../infra/errors.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { sumPosition } from '../../protocol/range.js';
import type { BatchOrder, BatchReport } from './batch-process.js';
import { RawRecords, spanOf } from './raw-records.js';

const program = fileURLToPath(new URL('./batch-process.js', import.meta.url));

export const runBatch = (order: BatchOrder): Promise<BatchReport> =>
  new Promise((resolve, reject) => {
    const child = fork(program, [JSON.stringify(order)], { stdio: 'inherit' });
    const endNow = (): void => {
      child.kill('SIGKILL');
    };
    process.once('exit', endNow);
    child.once('message', (report) => resolve(report as BatchReport));
    child.once('exit', (code) => {
      process.removeListener('exit', endNow);
      reject(new OutOfReachError(`the batch's process ended with ${code} and no report`));
    });
  });

export interface BatchResult {
  readonly bare: BatchReport;
  readonly batch: BatchReport;
  /** 1 % more, that came after the week. */
  readonly next: BatchReport | undefined;
  /** 1 % more, late: all over the week, so that it touches rows everywhere. */
  readonly late: BatchReport | undefined;
}

const byDefault = (name: 'memoryMiB' | 'mapThreads'): number =>
  settingsTable[name].parse(settingsTable[name].default as string, { name: '', folder: '' });

/** DuckDB's, as they are where nobody set others. */
export const engineBounds = { memoryMiB: byDefault('memoryMiB'), threads: byDefault('mapThreads') };

/** Bare, batch, bare again, all with the threads and the memory of the settings: the mean of the two bare ones, for the machine is not alone. */
export const benchBatch = async (records: number, { next = true, tell = (_: string): void => undefined } = {}): Promise<BatchResult> => {
  const data = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
  try {
    const raw = new RawRecords(data);
    const spanMs = spanOf(records);
    const common = { data, ...engineBounds };
    const commitsIn = async (name: string, commits: readonly RawStored[]): Promise<string> => {
      await writeFile(join(data, name), JSON.stringify(commits));
      return join(data, name);
    };
    tell(`making ${records} raw records`);
    const first = await commitsIn('commits-1.json', raw.add(records, 0, spanMs));
    const cut = raw.position;
    tell('DuckDB barely, the batch, DuckDB barely');
    const order = { ...common, commits: first, base: null, cut };
    const before = await runBatch({ ...order, work: 'bare', batch: 'a' });
    const batch = await runBatch({ ...order, work: 'batch', batch: '000001' });
    const after = await runBatch({ ...order, work: 'bare', batch: 'b' });
    const bare = {
      ...after,
      cpuSeconds: (before.cpuSeconds + after.cpuSeconds) / 2,
      mapCpuSeconds: (before.mapCpuSeconds + after.mapCpuSeconds) / 2,
    };
    check(batch, cut, bare.rows);
    if (!next || batch.manifest === null) return { bare, batch, next: undefined, late: undefined };
    const base = { manifest: batch.manifest, cut };
    tell('the next batch');
    const added = await commitsIn('commits-2.json', raw.add(Math.ceil(records / 100), spanMs, spanMs / 100));
    const afterNext = raw.position;
    const nextReport = await runBatch({
      ...common,
      commits: added,
      work: 'batch',
      batch: '000002',
      base,
      cut: afterNext,
    });
    check(nextReport, afterNext);
    const lateCommits = await commitsIn('commits-3.json', raw.add(Math.ceil(records / 100), 0, spanMs));
    const second = { manifest: nextReport.manifest ?? batch.manifest, cut: afterNext };
    const lateReport = await runBatch({
      ...common,
      commits: lateCommits,
      work: 'batch',
      batch: '000003',
      base: second,
      cut: raw.position,
    });
    check(lateReport, raw.position);
    return { bare, batch, next: nextReport, late: lateReport };
  } finally {
    await rm(data, { recursive: true, force: true });
  }
};

/** What is fast and wrong is no result. @throws PromiseError */
const check = ({ records, rows }: BatchReport, cut: readonly number[], rowsExpected = rows): void => {
  if (records === sumPosition(cut) && rows === rowsExpected) return;
  throw new PromiseError(`the batch has ${rows} rows of ${records} records; expected were ${rowsExpected} of ${sumPosition(cut)}`);
};
