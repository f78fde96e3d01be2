/**
 * What a question needs of the view, taken in one synchronous step: the batch view's files, which never change, and the
 * real-time rows of its range, summed by its steps. Everything after it may take its time: the answer is of one position.
 */

import type { Terms } from '../../protocol/messages/view.js';
import { copyRow, type MinuteRow, mergeInto } from '../../protocol/minute-row.js';
import { type BatchView, monthsBetween } from './batch-view.js';
import type { Question } from './question.js';
import type { RowTable } from './row-table.js';
import { Steps } from './steps.js';
import { termsOf } from './terms.js';
import type { View } from './view.js';

export interface Snapshot {
  readonly question: Question;
  readonly batch: BatchView | null;
  readonly terms: Omit<Terms, 'newest'>;
  /** Those that may have rows in the range, in order. */
  readonly services: readonly string[];
  /** Service to the beginning of a step to its real-time rows' sum. */
  readonly realtime: ReadonlyMap<string, Map<number, MinuteRow>>;
  /** Newest real-time minute of the services asked for, ms. */
  readonly newestRealtime: number;
}

/** Every table that holds real-time rows: stored parts, then open ones. */
export const realtimeTables = (view: View): RowTable[] => [
  view.live.rows,
  ...view.partitions.flatMap(({ chain }) => chain.map(({ rows }) => rows)),
];

export const takeSnapshot = (view: View, question: Question): Snapshot => {
  const tables = realtimeTables(view);
  const realtime = new Map<string, Map<number, MinuteRow>>();
  let newestRealtime = Number.NEGATIVE_INFINITY;
  for (const table of tables) {
    for (const service of question.services ?? table.services) {
      if (!table.has(service)) continue;
      newestRealtime = Math.max(newestRealtime, table.newest(service) ?? Number.NEGATIVE_INFINITY);
      sumInto(realtime, service, table, question);
    }
  }
  const services = question.services ?? withBatchServices(view.batch, realtime, question);
  return { question, batch: view.batch, terms: termsOf(view, question.services), services, realtime, newestRealtime };
};

const withBatchServices = (batch: BatchView | null, realtime: ReadonlyMap<string, unknown>, { from, to }: Question): string[] => {
  const services = new Set(realtime.keys());
  for (const service of batch?.months.keys() ?? []) {
    if (monthsBetween(batch, service, from, to).length > 0) services.add(service);
  }
  return [...services].sort();
};

const sumInto = (realtime: Map<string, Map<number, MinuteRow>>, service: string, table: RowTable, question: Question): void => {
  const steps = new Steps(question);
  let rows = realtime.get(service);
  table.eachBetween(service, question.from, question.to, (minute, row) => {
    if (rows === undefined) {
      rows = new Map();
      realtime.set(service, rows);
    }
    const start = steps.startOf(minute);
    const sum = rows.get(start);
    if (sum === undefined) rows.set(start, copyRow(row));
    else mergeInto(sum, row);
  });
};
