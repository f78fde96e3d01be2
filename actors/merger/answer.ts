/**
 * From a question to its answer: real-time and batch rows merged, by minute, hour, day or range, in chunks.
 *
 * M1  Every chunk is of the one position at which the snapshot was taken.
 */
import { FileMissingError } from '../../infra/errors.js';
import type { RowColumns } from '../../infra/sql/sql.js';
import type { MonthFile } from '../../protocol/messages/batch.js';
import type { Terms } from '../../protocol/messages/view.js';
import { emptyRow, type MinuteRow, mergeInto } from '../../protocol/minute-row.js';
import { formatMinute } from '../../protocol/time.js';
import { type AnswerWriter, answerWriter } from './answer-writer.js';
import { monthSpan, monthsBetween } from './batch-view.js';
import { lowerBound, readColumnsRow } from './columns.js';
import { type Grain, groupsOfFiles, type MonthCache } from './month-cache.js';
import type { Question } from './question.js';
import { type Snapshot, takeSnapshot } from './snapshot.js';
import { Steps } from './steps.js';
import type { View } from './view.js';

/** Files of a batch view may go once the next one is proved: then the question is put again. */
const triesMax = 5;

/** Rows after which other work of this process gets a turn. */
const rowsBetweenYields = 20_000;

/** The bodies of the answer's chunks, in order; all of one position. @throws PromiseError when a file is not what was named */
export const answerQuestion = async (view: View, months: MonthCache, question: Question): Promise<(string | Uint8Array)[]> => {
  for (let tries = 1; ; tries++) {
    const snapshot = takeSnapshot(view, question);
    try {
      return await answerSnapshot(snapshot, months);
    } catch (error) {
      if (!(error instanceof FileMissingError) || tries === triesMax || view.batch === snapshot.batch) throw error;
    }
  }
};

const answerSnapshot = async (snapshot: Snapshot, months: MonthCache): Promise<(string | Uint8Array)[]> => {
  const { question } = snapshot;
  const writer = answerWriter(question.shape);
  const steps = new Steps(question);
  let yieldAt = rowsBetweenYields;
  for (const group of groupsOfFiles(snapshot.services, (service) => monthsBetween(snapshot.batch, service, question.from, question.to))) {
    await prefetch(group, snapshot, months, steps);
    for (const service of group) {
      const sources = await batchSources(snapshot, months, service, steps);
      const realtime = snapshot.realtime.get(service) ?? new Map<number, MinuteRow>();
      writer.service(service);
      if (question.step === 'minute') mergeMinutes(sources, realtime, writer);
      else mergeSteps(sources, realtime, steps, writer);
      if (writer.rows >= yieldAt) {
        yieldAt = writer.rows + rowsBetweenYields;
        await new Promise(setImmediate);
      }
    }
  }
  const newest = await newestOf(snapshot, months);
  const terms: Terms = { ...snapshot.terms, newest: newest === undefined ? null : formatMinute(newest) };
  return writer.bodies(terms);
};

/** Rows of a month file, of which those of [from, to) count. */
interface Source {
  readonly columns: RowColumns;
  readonly from: number;
  readonly to: number;
}

interface Piece {
  readonly grain: Grain;
  readonly from: number;
  readonly to: number;
}

/** How a month is read for a question: whole hours as sums, what is before and behind them by minutes. */
const piecesOf = ({ month }: MonthFile, steps: Steps): Piece[] => {
  const [start, end] = monthSpan(month);
  const [from, to] = [Math.max(start, steps.question.from), Math.min(end, steps.question.to)];
  const [hoursFrom, hoursTo] = steps.hoursWithin(start, end);
  if (hoursFrom >= hoursTo) return [{ grain: 'minute', from, to }];
  const pieces: Piece[] = [
    { grain: 'minute', from, to: hoursFrom },
    { grain: 'hour', from: hoursFrom, to: hoursTo },
    { grain: 'minute', from: hoursTo, to },
  ];
  return pieces.filter((piece) => piece.from < piece.to);
};

/** Reads what is not in memory of some services' months at once. */
const prefetch = async (group: readonly string[], { batch, question }: Snapshot, months: MonthCache, steps: Steps): Promise<void> => {
  const cold = group.flatMap((service) =>
    monthsBetween(batch, service, question.from, question.to).filter((file) =>
      piecesOf(file, steps).some(({ grain }) => !months.has(file, grain)),
    ),
  );
  if (cold.length > 1) await months.prefetch(cold);
};

/** The columns of a service's months in the range, in order. */
const batchSources = async ({ batch, question }: Snapshot, months: MonthCache, service: string, steps: Steps): Promise<Source[]> => {
  const sources: Source[] = [];
  for (const file of monthsBetween(batch, service, question.from, question.to)) {
    for (const { grain, from, to } of piecesOf(file, steps)) {
      sources.push({ columns: months.peek(file, grain) ?? (await months.load(file, grain)), from, to });
    }
  }
  return sources;
};

/** Batch and real-time rows side by side in order of time; a minute that both have is merged. */
const mergeMinutes = (sources: readonly Source[], realtime: ReadonlyMap<number, MinuteRow>, writer: AnswerWriter): void => {
  const minutes = [...realtime.keys()].sort((a, b) => a - b);
  const scratch = emptyRow();
  let next = 0;
  for (const { columns, from, to } of sources) {
    const end = lowerBound(columns, to);
    for (let i = lowerBound(columns, from); i < end; i++) {
      const minute = columns.minute[i] as number;
      for (; next < minutes.length && (minutes[next] as number) < minute; next++) {
        writer.row(minutes[next] as number, realtime.get(minutes[next] as number) as MinuteRow);
      }
      readColumnsRow(columns, i, scratch);
      if (minutes[next] === minute) {
        mergeInto(scratch, realtime.get(minute) as MinuteRow);
        next += 1;
      }
      writer.row(minute, scratch);
    }
  }
  for (; next < minutes.length; next++) writer.row(minutes[next] as number, realtime.get(minutes[next] as number) as MinuteRow);
};

/** Sums by step: the real-time rows are summed already, the batch's come to them. */
const mergeSteps = (sources: readonly Source[], realtime: Map<number, MinuteRow>, steps: Steps, writer: AnswerWriter): void => {
  const scratch = emptyRow();
  for (const { columns, from, to } of sources) {
    const end = lowerBound(columns, to);
    let start = Number.NaN;
    let sum = scratch;
    for (let i = lowerBound(columns, from); i < end; i++) {
      const stepStart = steps.startOf(columns.minute[i] as number);
      readColumnsRow(columns, i, scratch);
      if (stepStart !== start) {
        start = stepStart;
        const known = realtime.get(start);
        sum = known ?? emptyRow();
        if (known === undefined) realtime.set(start, sum);
      }
      mergeInto(sum, scratch);
    }
  }
  for (const start of [...realtime.keys()].sort((a, b) => a - b)) writer.row(start, realtime.get(start) as MinuteRow);
};

/** The newest minute of the services asked for. A file is read for it only if it may hold a newer one than is known. */
const newestOf = async ({ batch, question, newestRealtime }: Snapshot, months: MonthCache): Promise<number | undefined> => {
  let newest = newestRealtime;
  const unknown: MonthFile[] = [];
  for (const service of question.services ?? batch?.months.keys() ?? []) {
    const file = batch?.months.get(service)?.at(-1);
    if (file === undefined) continue;
    const known = months.newest(file);
    if (known === undefined) unknown.push(file);
    else newest = Math.max(newest, known);
  }
  unknown.sort((a, b) => (a.month < b.month ? 1 : -1));
  for (const file of unknown) {
    if (monthSpan(file.month)[1] <= newest) break;
    await months.loadOnce([file]);
    newest = Math.max(newest, months.newest(file) ?? newest);
  }
  return newest === Number.NEGATIVE_INFINITY ? undefined : newest;
};
