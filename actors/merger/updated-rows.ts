/** view.updated: changed minutes to whole merged rows, one position for all of a service's rows. */
import { chunkBytesMax } from '../../protocol/messages/chunks.js';
import { emptyRow, type MinuteRow, mergeInto, minuteMs } from '../../protocol/minute-row.js';
import { monthsBetween } from './batch-view.js';
import { lowerBound, readColumnsRow } from './columns.js';
import type { MonthCache } from './month-cache.js';
import { columnsWriter } from './row-text.js';
import { realtimeTables } from './snapshot.js';
import { positionOf, type View } from './view.js';

/** One service's update: the bodies of its chunks, in order. */
export interface ServiceUpdate {
  readonly service: string;
  readonly bodies: readonly string[];
}

/**
 * The updates of what `view.changes.take()` gave for a service. Rows are as they are when this resolves; call it for one
 * service after the other and publish before the next, so that no service goes back in position.
 */
export const updateOf = async (view: View, months: MonthCache, service: string, minutes: readonly number[]): Promise<ServiceUpdate> => {
  for (;;) {
    const { batch } = view;
    const batchRows = new Map<number, MinuteRow>();
    for (const minute of minutes) {
      const [file] = monthsBetween(batch, service, minute, minute + minuteMs);
      if (file === undefined || minute > (months.newest(file) ?? Number.POSITIVE_INFINITY)) continue;
      const columns = months.peek(file) ?? (await months.load(file));
      const i = lowerBound(columns, minute);
      if (columns.minute[i] === minute) batchRows.set(minute, readColumnsRow(columns, i, emptyRow()));
    }
    if (view.batch === batch) return { service, bodies: writeUpdate(view, service, minutes, batchRows) };
  }
};

const writeUpdate = (view: View, service: string, minutes: readonly number[], batchRows: ReadonlyMap<number, MinuteRow>): string[] => {
  const write = columnsWriter(service);
  const tables = realtimeTables(view);
  const head =
    `{"service":${JSON.stringify(service)},"position":${JSON.stringify(positionOf(view))},` +
    `"batch":${JSON.stringify(view.batch?.batch ?? null)},"rows":[`;
  const bodies: string[] = [];
  let text = '';
  for (const minute of minutes) {
    const row = emptyRow();
    for (const table of tables) table.mergeOnto(service, minute, row);
    const batchRow = batchRows.get(minute);
    if (batchRow !== undefined) mergeInto(row, batchRow);
    if (row.messages === 0) continue;
    const rowText = write(minute, row);
    // A character is at most three bytes in UTF-8.
    if (text !== '' && text.length + rowText.length > (chunkBytesMax - 16_384) / 3) {
      bodies.push(text);
      text = '';
    }
    text += text === '' ? rowText : `,${rowText}`;
  }
  if (text !== '') bodies.push(text);
  return bodies.map((rows) => `${head}${rows}]}`);
};
