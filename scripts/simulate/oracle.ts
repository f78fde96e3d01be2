/**
 * Knows what is right: follows every log as it grows, counts by brute force, and says aloud what does not fit.
 * It trusts nothing that an actor computed but the records' lines themselves.
 */
import { realtimeTables } from '../../actors/merger/snapshot.js';
import { positionOf, type View } from '../../actors/merger/view.js';
import { TidemarkError } from '../../infra/errors.js';
import type { Manifest } from '../../protocol/messages/batch.js';
import { readBatchReady, readManifest, readPartStored, readRawStored, readViewProved } from '../../protocol/messages/readers.js';
import type { RowTuple } from '../../protocol/messages/row-tuple.js';
import { noChain } from '../../protocol/messages/segment-sealed.js';
import { addRecord, emptyRow, type MinuteRow, minuteOf } from '../../protocol/minute-row.js';
import { type Position, sumPosition } from '../../protocol/range.js';
import { chainHeader, decodeSegment, nextChain } from '../../protocol/segment.js';
import { decodeRows, type SimulatedFiles, sha256Of } from './files.js';
import type { StoredMessage } from './log.js';
import { addTo, copyOf, isSame, keyOf, type Rows } from './rows.js';

/** A promise did not hold. `kind` says which, for the counts. */
export class Violation extends TidemarkError {
  readonly code = 'E_VIOLATION';
  constructor(
    readonly kind: string,
    detail: string,
  ) {
    super(`${kind}: ${detail}`);
  }
}

interface RecordOf {
  readonly service: string;
  readonly at: number;
  readonly cpu: number;
  readonly ram: number;
  readonly disk: number;
}

interface CommittedRange {
  readonly fromByte: number;
  readonly toByte: number;
  readonly sha256: string;
}

interface PartitionTruth {
  readonly records: RecordOf[];
  /** `n` that segments say were taken, by source. */
  readonly taken: Map<string, Set<number>>;
  chain: string;
  segment: number;
  committed: number;
  stored: number;
}

export class Oracle {
  readonly partitions: PartitionTruth[];
  /** What a reading is known by (its disk value) to how often it may count and did. */
  readonly counted = new Map<number, number>();
  refused = 0;
  refusedMax = 0;
  /** After a power cut plain readings may come twice: they have no identity. */
  mayDouble = false;
  provedCut: Position;
  readyCut: Position;
  proofs = 0;
  private readonly committed = new Map<string, { readonly ranges: CommittedRange[]; bytes: Buffer }>();
  private newestManifest: Manifest | undefined;
  private readonly bruteForce = new Map<string, Rows>();
  /** Rows of manifests that were looked at, and the files they came from: what did not change is not read again. */
  private readonly batches = new WeakMap<Manifest, { rows: Rows; files: Map<string, Buffer> }>();
  private latest: { bytes: Uint8Array; batch: string } | undefined;

  constructor(
    partitions: number,
    private readonly files: SimulatedFiles,
    private readonly isPlain: (uid: number) => boolean,
  ) {
    this.partitions = Array.from({ length: partitions }, () => ({
      records: [],
      taken: new Map(),
      chain: noChain,
      segment: 0,
      committed: 0,
      stored: 0,
    }));
    this.provedCut = this.partitions.map(() => 0);
    this.readyCut = this.provedCut;
  }

  get ends(): Position {
    return this.partitions.map(({ records }) => records.length);
  }

  fail(kind: string, detail: string): never {
    throw new Violation(kind, detail);
  }

  isTaken(partition: number, subject: string, agent: string, n: number): boolean {
    return this.partitions[partition]?.taken.get(`${subject} ${agent}`)?.has(n) ?? false;
  }

  /** Every message, as a stream takes it. */
  stored(message: StoredMessage): void {
    const { subject, body } = message;
    if (subject.startsWith('segment.sealed.')) this.segment(message);
    else if (subject.startsWith('raw.stored.')) this.commit(body);
    else if (subject.startsWith('part.stored.')) this.part(body);
    else if (subject === 'batch.ready') this.ready(body);
    else if (subject === 'view.proved') this.proved(body);
  }

  private segment(message: StoredMessage): void {
    const { head, lines, records, numbers } = decodeSegment(message.body);
    const truth = this.partitions[head.partition] as PartitionTruth;
    const where = `segment ${message.sequence} of ${head.partition} [${head.from}, ${head.to})`;
    if (head.from !== truth.records.length) this.fail('offset hole or overlap', `${where} after ${truth.records.length}`);
    if (message.header(chainHeader) !== nextChain(truth.chain, message.body)) this.fail('chain broken', where);
    truth.chain = message.header(chainHeader) as string;
    truth.segment = message.sequence;
    const texts = Buffer.from(lines)
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '');
    if (texts.length !== records || numbers.length !== records * 6) this.fail('segment torn', where);
    for (const text of texts) {
      const { offset, service, timestamp, cpu, ram, disk } = JSON.parse(text) as Record<string, number> & { service: string };
      const millionths = (value: number | undefined): number => Math.round((value as number) * 1e6);
      if (offset !== truth.records.length) this.fail('offset hole or overlap', `${where}: record ${offset} at ${truth.records.length}`);
      truth.records.push({ service, at: timestamp as number, cpu: millionths(cpu), ram: millionths(ram), disk: millionths(disk) });
      this.count(millionths(disk), where);
    }
    for (const { subject, agent, ranges } of head.taken) {
      const key = `${subject} ${agent}`;
      const taken = truth.taken.get(key) ?? new Set<number>();
      truth.taken.set(key, taken);
      for (const [from, to] of ranges) for (let n = from; n < to; n++) taken.add(n);
    }
    for (const reasons of Object.values(head.refused)) for (const count of Object.values(reasons)) this.refused += count;
    if (this.refused > this.refusedMax) this.fail('refused counted twice', `${where}: ${this.refused} refused of ${this.refusedMax}`);
  }

  private count(uid: number, where: string): void {
    const count = (this.counted.get(uid) ?? 0) + 1;
    this.counted.set(uid, count);
    if (count > 1 && !(this.isPlain(uid) && this.mayDouble)) this.fail('counted twice', `${where}: reading ${uid}`);
  }

  private commit(body: Uint8Array): void {
    const { partition, from, to, files } = readRawStored(body);
    const truth = this.partitions[partition] as PartitionTruth;
    const where = `commit of ${partition} [${from}, ${to})`;
    if (from !== truth.committed) this.fail('commit gap or overlap', `${where} after ${truth.committed}`);
    if (to > truth.records.length) this.fail('commit gap or overlap', `${where}: only ${truth.records.length} sealed`);
    truth.committed = to;
    const offsets: number[] = [];
    for (const { path, fromByte, toByte, sha256 } of files) {
      const file = this.files.byPath.get(this.files.key(path));
      const bytes = file?.subarray(fromByte, toByte);
      if (file !== undefined) this.addCommitted(path, file, { fromByte, toByte, sha256 });
      if (bytes?.byteLength !== toByte - fromByte) this.fail('committed bytes missing', `${where}: ${path}`);
      if (sha256Of(bytes) !== sha256) this.fail('committed bytes wrong', `${where}: ${path}`);
      for (const line of bytes.toString('utf8').trim().split('\n')) offsets.push((JSON.parse(line) as { offset: number }).offset);
    }
    offsets.sort((a, b) => a - b);
    if (offsets.length !== to - from || offsets.some((offset, i) => offset !== from + i))
      this.fail('committed bytes wrong', `${where}: ${offsets.join(',')}`);
  }

  private addCommitted(path: string, bytes: Buffer, range: CommittedRange): void {
    const known = this.committed.get(path);
    if (known === undefined) this.committed.set(path, { ranges: [range], bytes });
    else known.ranges.push(range);
  }

  /** Once in a while: what was committed is still there, in every raw file that became another. */
  checkRaw(): void {
    for (const [path, known] of this.committed) {
      const bytes = this.files.byPath.get(this.files.key(path));
      if (bytes === known.bytes) continue;
      for (const { fromByte, toByte, sha256 } of known.ranges) {
        if (bytes === undefined || sha256Of(bytes.subarray(fromByte, toByte)) !== sha256) {
          this.fail('committed bytes gone', `${path} [${fromByte}, ${toByte})`);
        }
      }
      known.bytes = bytes as Buffer;
    }
  }

  private part(body: Uint8Array): void {
    const { partition, from, to, file } = readPartStored(body);
    const truth = this.partitions[partition] as PartitionTruth;
    const where = `part of ${partition} [${from}, ${to})`;
    if (from !== truth.stored || to > truth.records.length) this.fail('part gap or overlap', `${where} after ${truth.stored}`);
    truth.stored = to;
    if (file === undefined) return;
    const bytes = this.files.byPath.get(file.path);
    if (bytes === undefined || sha256Of(bytes) !== file.sha256) this.fail('part file missing', `${where}: ${file.path}`);
    const rows: Rows = new Map();
    for (const { service, minute, row } of decodeRows(bytes)) addTo(rows, service, minute, row);
    this.expect('part wrong', where, rows, partition, from, to);
  }

  private ready(body: Uint8Array): void {
    const { batch, cut, manifest: named } = readBatchReady(body);
    if (cut.some((offset, p) => offset < (this.readyCut[p] as number)))
      this.fail('cut goes back', `batch ${batch}: ${cut.join(',')} after ${this.readyCut.join(',')}`);
    this.readyCut = cut;
    const bytes = this.files.byPath.get(named.path);
    if (bytes === undefined || sha256Of(bytes) !== named.sha256) this.fail('manifest missing', `batch ${batch}`);
    this.expectBatch(readManifest(bytes), `batch ${batch}`);
  }

  private expectBatch(manifest: Manifest, where: string): void {
    if (!isSame(this.batchRows(manifest, where), this.countedTo(manifest.cut)))
      this.fail('batch wrong', `${where} at ${manifest.cut.join(',')}`);
  }

  /** Files that are gone are a violation, except for who may lag behind: `where` undefined. */
  private batchRows(manifest: Manifest, where: string | undefined): Rows {
    const known = this.batches.get(manifest);
    if (known !== undefined && this.areThere(known.files, where)) return known.rows;
    const rows: Rows = new Map();
    const files = new Map<string, Buffer>();
    for (const { path, sha256 } of manifest.files) {
      const there = this.files.byPath.get(path);
      if (where !== undefined && there === undefined) this.fail('batch file missing', `${where}: ${path}`);
      const bytes = there ?? this.files.ever.get(path);
      if (bytes === undefined || sha256Of(bytes) !== sha256) this.fail('batch file changed', `${where}: ${path}`);
      files.set(path, bytes);
      for (const { service, minute, row } of decodeRows(bytes)) addTo(rows, service, minute, row);
    }
    this.batches.set(manifest, { rows, files });
    return rows;
  }

  /** The same bytes are under the same names; gone is as good for who may lag behind. */
  private areThere(files: ReadonlyMap<string, Buffer>, where: string | undefined): boolean {
    for (const [path, bytes] of files) {
      const there = this.files.byPath.get(path);
      if (there !== bytes && (where !== undefined || there !== undefined)) return false;
    }
    return true;
  }

  private proved(body: Uint8Array): void {
    const { batch, cut, differences, examples, manifest } = readViewProved(body);
    if (differences > 0) this.fail('proof differs', `batch ${batch}: ${examples.join('; ')}`);
    this.proofs += 1;
    this.provedCut = cut;
    const bytes = this.files.byPath.get(manifest.path);
    if (bytes === undefined) this.fail('manifest missing', `batch ${batch}`);
    this.newestManifest = readManifest(bytes);
  }

  /** M3: the copy for others is the newest proved manifest. */
  get isLatestCopied(): boolean {
    if (this.newestManifest === undefined) return true;
    const bytes = this.files.byPath.get('views/batch/latest.json');
    if (bytes === undefined) return false;
    if (this.latest?.bytes !== bytes) this.latest = { bytes, batch: readManifest(bytes).batch };
    return this.latest.batch === this.newestManifest.batch;
  }

  /** Once in a while: the newest proved view is there, to the bit. */
  checkBatch(): void {
    if (this.newestManifest !== undefined) this.expectBatch(this.newestManifest, `proved batch ${this.newestManifest.batch}`);
  }

  /** A merger's view at its position. */
  checkView(view: View, where: string): Position {
    const position = positionOf(view);
    const rows: Rows = view.batch === null ? new Map() : copyOf(this.batchRows(view.batch.manifest, undefined));
    for (const table of realtimeTables(view)) table.each((service, minute, row) => addTo(rows, service, minute, row));
    this.expectRows(rows, position, where);
    return position;
  }

  checkAnswer(tuples: readonly RowTuple[], position: Position, where: string): void {
    const rows: Rows = new Map();
    for (const tuple of tuples) {
      const [service, minute, cpu, ram, disk, maxCpu, maxCpuAt, maxRam, maxRamAt, maxDisk, maxDiskAt, messages] = tuple as [
        string,
        ...number[],
      ];
      addTo(
        rows,
        service,
        minute as number,
        {
          cpu,
          ram,
          disk,
          maxCpu,
          maxCpuAt,
          maxRam,
          maxRamAt,
          maxDisk,
          maxDiskAt,
          messages,
        } as MinuteRow,
      );
    }
    this.expectRows(rows, position, where);
  }

  private expectRows(rows: Rows, position: Position, where: string): void {
    let messages = 0;
    for (const row of rows.values()) messages += row.messages;
    const at = `${where} at ${position.join(',')}`;
    if (messages !== sumPosition(position)) this.fail('view sum wrong', `${at}: msg_num ${messages}`);
    if (position.some((offset, p) => offset > (this.ends[p] as number))) this.fail('view beyond the log', at);
    if (!isSame(rows, this.countedTo(position))) this.fail('view wrong', at);
  }

  private countedTo(position: Position): Rows {
    const key = position.join(',');
    let rows = this.bruteForce.get(key);
    if (rows === undefined) {
      rows = new Map();
      for (const [p, to] of position.entries()) this.addRange(rows, p, 0, to);
      if (this.bruteForce.size > 200) this.bruteForce.clear();
      this.bruteForce.set(key, rows);
    }
    return rows;
  }

  private addRange(rows: Rows, partition: number, from: number, to: number): void {
    const { records } = this.partitions[partition] as PartitionTruth;
    for (let i = from; i < Math.min(to, records.length); i++) {
      const { service, at, cpu, ram, disk } = records[i] as RecordOf;
      const key = keyOf(service, minuteOf(at));
      let row = rows.get(key);
      if (row === undefined) {
        row = emptyRow();
        rows.set(key, row);
      }
      addRecord(row, at, cpu, ram, disk);
    }
  }

  private expect(kind: string, where: string, rows: Rows, partition: number, from: number, to: number): void {
    const right: Rows = new Map();
    this.addRange(right, partition, from, to);
    if (!isSame(rows, right)) this.fail(kind, where);
  }
}
