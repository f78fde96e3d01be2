/** Rows by service and minute, as the oracle counts them, and whether two counts are the same to the bit. */
import { copyRow, equalRows, type MinuteRow, mergeInto } from '../../protocol/minute-row.js';

export type Rows = Map<string, MinuteRow>;

export const keyOf = (service: string, minute: number): string => `${service} ${minute}`;

export const addTo = (rows: Rows, service: string, minute: number, row: MinuteRow): void => {
  const key = keyOf(service, minute);
  const known = rows.get(key);
  if (known === undefined) rows.set(key, copyRow(row));
  else mergeInto(known, row);
};

/** Neither has a row more, less or other. */
export const isSame = (rows: Rows, right: Rows): boolean => {
  if (rows.size !== right.size) return false;
  for (const [key, row] of rows) {
    const there = right.get(key);
    if (there === undefined || !equalRows(row, there)) return false;
  }
  return true;
};

export const copyOf = (rows: Rows): Rows => {
  const copy: Rows = new Map();
  for (const [key, row] of rows) copy.set(key, copyRow(row));
  return copy;
};
