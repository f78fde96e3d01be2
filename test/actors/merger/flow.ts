/** A small model of what a merger hears, with its logs and files in memory, and the count by brute force. */

import { toColumns } from '../../../actors/merger/columns.js';
import type { RowColumns } from '../../../infra/sql/sql.js';
import type { Manifest } from '../../../protocol/messages/batch.js';
import type { PartStored } from '../../../protocol/messages/part-stored.js';
import type { RealtimeUpdated } from '../../../protocol/messages/realtime-updated.js';
import { toTuple } from '../../../protocol/messages/row-tuple.js';
import { addRecord, emptyRow, type KeyedRow, type MinuteRow, minuteMs } from '../../../protocol/minute-row.js';
import { type Position, zeroPosition } from '../../../protocol/range.js';
import { monthOf } from '../../../protocol/time.js';

export interface Reading {
  service: string;
  at: number;
  cpu: number;
  ram: number;
  disk: number;
  refusedBefore: number;
}

const sha256 = '0'.repeat(64);
export const noPlace = { sequence: 0, chain: '' };

/** Minute rows of records, sorted by service and minute. */
export const countRows = (readings: Iterable<Reading>): KeyedRow[] => {
  const rows = new Map<string, KeyedRow>();
  for (const { service, at, cpu, ram, disk } of readings) {
    const minute = Math.floor(at / minuteMs) * minuteMs;
    const key = JSON.stringify([service, minute]);
    let keyed = rows.get(key);
    if (keyed === undefined) {
      keyed = { service, minute, row: emptyRow() };
      rows.set(key, keyed);
    }
    addRecord(keyed.row, at, cpu, ram, disk);
  }
  return sortRows([...rows.values()]);
};

export const sortRows = (rows: KeyedRow[]): KeyedRow[] =>
  rows.sort((a, b) => (a.service === b.service ? a.minute - b.minute : a.service < b.service ? -1 : 1));

export const plain = (rows: readonly KeyedRow[]): string[] =>
  rows.map(({ service, minute, row }) => JSON.stringify(toTuple(service, minute, row)));

export const columnsOf = (rows: readonly KeyedRow[]): RowColumns => ({
  ...toColumns(rows),
  services: rows.map(({ service }) => service),
});

/** Files by path: what storage and DuckDB are to the real merger. */
export class Files {
  readonly columns = new Map<string, RowColumns>();
  readonly read = async (files: readonly { path: string }[]): Promise<RowColumns[]> => files.map(({ path }) => this.at(path));
  at(path: string): RowColumns {
    const columns = this.columns.get(path);
    if (columns === undefined) throw new TypeError(`no file ${path}`);
    return columns;
  }
  put(path: string, rows: readonly KeyedRow[]): { path: string; bytes: number; sha256: string } {
    this.columns.set(path, columnsOf(rows));
    return { path, bytes: rows.length, sha256 };
  }
}

/** One owner of a partition's open part; a paused one comes back with the state it had. */
interface Owner {
  from: number;
  since: number;
  to: number;
  closing: { from: number; to: number } | null;
}

export class Partition {
  readonly readings: Reading[] = [];
  readonly realtime: RealtimeUpdated[] = [];
  readonly stored: PartStored[] = [];
  readonly owners: Owner[] = [0, 1].map(() => ({ from: 0, since: 0, to: 0, closing: null }));

  constructor(
    readonly p: number,
    readonly files: Files,
  ) {}

  get storedTo(): number {
    return this.stored.at(-1)?.to ?? 0;
  }

  slice(from: number, to: number): Reading[] {
    return this.readings.slice(from, to);
  }

  refused(from: number, to: number): Record<string, Record<string, number>> {
    const counts: Record<string, Record<string, number>> = {};
    for (const { service, refusedBefore } of this.slice(from, to)) {
      if (refusedBefore === 0) continue;
      counts[service] ??= {};
      const reasons = counts[service];
      reasons['not JSON'] = (reasons['not JSON'] ?? 0) + refusedBefore;
    }
    return counts;
  }

  missing(to: number): Record<string, number> {
    return { [`m${this.p}`]: to % 5 };
  }

  update(from: number, since: number, to: number): RealtimeUpdated {
    const keys = new Set(countRows(this.slice(since, to)).map(({ service, minute }) => `${service} ${minute}`));
    const rows = countRows(this.slice(from, to)).filter(({ service, minute }) => keys.has(`${service} ${minute}`));
    return {
      partition: this.p,
      from,
      since,
      to,
      rows: rows.map(({ service, minute, row }) => toTuple(service, minute, row)),
      refused: this.refused(from, to),
      missing: this.missing(to),
    };
  }

  /** The owner works through up to `count` more records and says so. */
  publish(owner: Owner, count: number): void {
    const to = Math.min(owner.to + count, this.readings.length);
    if (to === owner.to) return;
    this.realtime.push(this.update(owner.from, owner.to, to));
    owner.since = owner.to;
    owner.to = to;
  }

  /** Begins the next part; whether the one before may be stored turns out later. */
  close(owner: Owner): void {
    if (owner.closing !== null || owner.to === owner.from) return;
    owner.closing = { from: owner.from, to: owner.to };
    owner.from = owner.to;
    owner.since = owner.to;
  }

  /** Stores the closed part, or is refused and begins at the last stored one (F2, F3). */
  store(owner: Owner): void {
    const { closing } = owner;
    if (closing === null) return;
    owner.closing = null;
    if (closing.from !== this.storedTo) this.restart(owner);
    else this.stored.push(this.part(closing.from, closing.to));
  }

  part(from: number, to: number): PartStored {
    const rows = countRows(this.slice(from, to));
    return {
      partition: this.p,
      from,
      to,
      rows: rows.length,
      file: this.files.put(`part/${this.p}/${from}-${to}`, rows),
      refused: this.refused(from, to),
      missing: this.missing(to),
      segments: noPlace,
    };
  }

  restart(owner: Owner): void {
    Object.assign(owner, { from: this.storedTo, since: this.storedTo, to: this.storedTo, closing: null });
  }
}

/** The manifest of a batch view at a cut, its files in `files`; a month that got nothing new keeps its file. */
export const makeManifest = (
  batch: string,
  base: Manifest | null,
  partitions: readonly Partition[],
  cut: Position,
  requestedAt: number,
  files: Files,
): Manifest => {
  const rows = countRows(partitions.flatMap((partition, p) => partition.slice(0, cut[p] as number)));
  const months = new Map<string, KeyedRow[]>();
  for (const row of rows) {
    const key = JSON.stringify([row.service, monthOf(row.minute)]);
    months.set(key, [...(months.get(key) ?? []), row]);
  }
  const refused: Manifest['refused'] = {};
  partitions.forEach((partition, p) => {
    for (const [service, reasons] of Object.entries(partition.refused(0, cut[p] as number))) {
      for (const [reason, count] of Object.entries(reasons)) {
        refused[service] ??= {};
        const known = refused[service];
        known[reason] = (known[reason] ?? 0) + count;
      }
    }
  });
  return {
    batch,
    base: base?.batch ?? null,
    cut: [...cut],
    requestedAt,
    raw: [],
    recomputed: {},
    refused,
    format: 1,
    missing: partitions.map((partition, p) => partition.missing(cut[p] as number)),
    files: [...months].map(([key, ofMonth]) => {
      const [service, month] = JSON.parse(key) as [string, string];
      const messages = sumOf(ofMonth);
      const kept = base?.files.find((file) => file.service === service && file.month === month && file.msg_num === messages);
      if (kept !== undefined) return kept;
      return {
        service,
        month,
        ...files.put(`batch/${service}/${month}.${batch}`, ofMonth),
        rows: ofMonth.length,
        msg_num: messages,
      };
    }),
  };
};

const sumOf = (rows: readonly { row: MinuteRow }[]): number => rows.reduce((sum, { row }) => sum + row.messages, 0);

export const startPosition = (partitions: readonly Partition[]): Position => zeroPosition(partitions.length);
