/** A merger among the logs of the model (flow.ts): it reads what a test says, in any order. */
import { RowTable } from '../../../actors/merger/row-table.js';
import { realtimeTables } from '../../../actors/merger/snapshot.js';
import {
  addToUpper,
  applyPart,
  applyProved,
  applyUpdate,
  beginUpper,
  createView,
  dropUpper,
  swapIfReady,
  type View,
} from '../../../actors/merger/view.js';
import type { Manifest, ViewProved } from '../../../protocol/messages/batch.js';
import type { PartStored } from '../../../protocol/messages/part-stored.js';
import { type KeyedRow, minuteMs } from '../../../protocol/minute-row.js';
import type { Position } from '../../../protocol/range.js';
import { Files, makeManifest, Partition, type Reading } from './flow.js';

export const start = Date.UTC(2026, 9, 31, 23, 50);
export const partitionCount = 2;

type Batch =
  | { says: 'requested'; batch: string; cut: Position }
  | { says: 'proved'; batch: string; manifest: Manifest }
  | { says: 'abandoned'; batch: string };

export const proved = (manifest: Manifest): ViewProved => ({
  batch: manifest.batch,
  cut: manifest.cut,
  records: 0,
  rows: 0,
  differences: 0,
  examples: [],
  requestedAt: manifest.requestedAt,
  manifest: { path: '', bytes: 0, sha256: '0'.repeat(64) },
});

/** A merger in the flow: its places in the logs, and what it does with them. */
export class Merger {
  view: View;
  readonly realtimeAt = [0, 0];
  readonly storedAt = [0, 0];
  batchAt: number;
  swaps = 0;
  /** Parts of an upper half that are still being read. */
  loading: { batch: string; part: PartStored }[] = [];

  constructor(
    readonly flow: Flow,
    manifest: Manifest | null,
    batchAt: number,
  ) {
    this.view = createView(partitionCount, manifest);
    this.batchAt = batchAt;
  }

  readRealtime(p: number): void {
    const update = this.flow.partitions[p]?.realtime[this.realtimeAt[p] as number];
    if (update === undefined) return;
    (this.realtimeAt[p] as number)++;
    if (applyUpdate(this.view, update) === 'rebuild') this.realtimeAt[p] = 0;
  }

  /** An update is lost on the way. */
  loseRealtime(p: number): void {
    if ((this.realtimeAt[p] as number) < (this.flow.partitions[p]?.realtime.length ?? 0)) (this.realtimeAt[p] as number)++;
  }

  /** An update comes once more, and much later. */
  repeatRealtime(p: number, n: number): void {
    const update = this.flow.partitions[p]?.realtime[n];
    if (update !== undefined && n < (this.realtimeAt[p] as number) && applyUpdate(this.view, update) === 'rebuild') this.realtimeAt[p] = 0;
  }

  readStored(p: number): void {
    const part = this.flow.partitions[p]?.stored[this.storedAt[p] as number];
    if (part === undefined) return;
    (this.storedAt[p] as number)++;
    let outcome = applyPart(this.view, part);
    if (outcome === 'file') outcome = applyPart(this.view, part, this.flow.files.at(part.file?.path as string));
    if (outcome === 'gap') throw new TypeError(`part ${JSON.stringify(part)} does not go on from those before it`);
    if (outcome === 'rebuild') this.realtimeAt[p] = 0;
  }

  readBatch(): void {
    if (this.view.proved !== null) return;
    const said = this.flow.batches[this.batchAt];
    if (said === undefined) return;
    this.batchAt++;
    if (said.says === 'requested') this.beginUpper(said.batch, said.cut);
    else if (said.says === 'abandoned') dropUpper(this.view, said.batch);
    else if (applyProved(this.view, proved(said.manifest), said.manifest) && this.view.upper?.batch !== said.batch) {
      this.beginUpper(said.batch, said.manifest.cut);
    }
  }

  beginUpper(batch: string, cut: Position): void {
    this.loading.push(...beginUpper(this.view, batch, cut).map((part) => ({ batch, part })));
  }

  loadUpper(): void {
    const next = this.loading.shift();
    if (next !== undefined) addToUpper(this.view, next.batch, next.part, this.flow.files.at(next.part.file?.path as string));
  }

  swap(): void {
    if (swapIfReady(this.view)) this.swaps++;
  }

  rows(): KeyedRow[] {
    const all = new RowTable();
    for (const file of this.view.batch?.manifest.files ?? []) all.mergeColumns(this.flow.files.at(file.path));
    for (const table of realtimeTables(this.view)) all.mergeTable(table);
    return all.toRows();
  }
}

export class Flow {
  readonly files = new Files();
  readonly partitions = Array.from({ length: partitionCount }, (_, p) => new Partition(p, this.files));
  readonly batches: Batch[] = [];
  newest: Manifest | null = null;
  newestAt = 0;
  open: { batch: string; cut: Position; requestedAt: number } | null = null;
  count = 0;

  below(position: Position): Reading[] {
    return this.partitions.flatMap((partition, p) => partition.slice(0, position[p] as number));
  }

  request(minutes: number): void {
    if (this.open !== null) return;
    const cut = this.partitions.map(({ storedTo }) => storedTo);
    this.open = { batch: String(++this.count).padStart(6, '0'), cut, requestedAt: start + minutes * minuteMs + 1 };
    this.batches.push({ says: 'requested', batch: this.open.batch, cut });
  }

  prove(): void {
    if (this.open === null) return;
    const { batch, cut, requestedAt } = this.open;
    this.newest = makeManifest(batch, this.newest, this.partitions, cut, requestedAt, this.files);
    this.batches.push({ says: 'proved', batch, manifest: this.newest });
    this.newestAt = this.batches.length;
    this.open = null;
  }

  abandon(): void {
    if (this.open === null) return;
    this.batches.push({ says: 'abandoned', batch: this.open.batch });
    this.open = null;
  }
}
