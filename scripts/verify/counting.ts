/** What one run of verify has seen so far. */
import type { Bus } from '../../infra/bus/bus.js';
import type { Storage } from '../../infra/storage/storage.js';
import type { Position } from '../../protocol/range.js';
import type { Findings } from './findings.js';
import { OffsetsSeen } from './offsets-seen.js';
import { type CountedRecord, readRecord } from './record-line.js';
import { RowCounts } from './row-counts.js';

export interface VerifyWorld {
  readonly bus: Bus;
  readonly storage: Storage;
}

export class Counting {
  readonly rows = new RowCounts();
  readonly seen: readonly OffsetsSeen[];

  /** @param position records below it count */
  constructor(
    readonly position: Position,
    readonly findings: Findings,
    private readonly progress: (records: number) => void,
  ) {
    this.seen = position.map(() => new OffsetsSeen());
  }

  /** One line of a raw file or segment, whose offset must be in [from, to) of the partition. @returns its record */
  addLine(line: string, partition: number, from: number, to: number, where: () => string): CountedRecord | undefined {
    const record = readRecord(line);
    if (typeof record === 'string') {
      this.findings.add('lines', where(), `a line ${record}`);
      return undefined;
    }
    const { offset } = record;
    if (offset < from || offset >= to) {
      this.findings.add('offsets', where(), `offset ${offset} is outside of [${from}, ${to})`);
      return record;
    }
    if (this.seen[partition]?.add(offset) !== false) {
      this.findings.add('offsets', where(), `offset ${offset} of partition ${partition} is there twice`);
      return record;
    }
    if (offset < (this.position[partition] as number)) {
      this.rows.add(record);
      if (this.rows.records % 10_000 === 0) this.progress(this.rows.records);
    }
    return record;
  }

  /** Every offset below the position must have been seen. */
  findHoles(): void {
    this.position.forEach((to, p) => {
      for (const [from, end] of (this.seen[p] as OffsetsSeen).holes(to)) {
        this.findings.add(
          'offsets',
          `partition ${p}`,
          `no record was found for ${end - from === 1 ? `offset ${from}` : `offsets [${from}, ${end})`}`,
        );
      }
    });
  }
}
