/**
 * Raw files, by their commits: every byte range has its length and sha256 and holds exactly its records.
 *
 * Commits are taken many at a time and their ranges read file by file, so a file that was appended to a thousand times is
 * opened once for that; what is held is bounded by `rangesMax` and one chunk of a file.
 */
import { createHash } from 'node:crypto';
import { FileMissingError } from '../../infra/errors.js';
import { groupBy } from '../../protocol/group-by.js';
import type { CommittedBytes, RawStored } from '../../protocol/messages/raw-stored.js';
import type { Position } from '../../protocol/range.js';
import { dateOf, formatMinute } from '../../protocol/time.js';
import type { Counting, VerifyWorld } from './counting.js';

const rangesMax = 20_000;
const lf = 0x0a;
const minuteMs = 60_000;

/** What commits that end at or below a cut say of a raw file. */
export interface RawTotals {
  bytes: number;
  records: number;
}

export interface RawCounted {
  commits: number;
  bytes: number;
  readonly files: Map<string, RawTotals>;
}

interface Range extends CommittedBytes {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

export const countRawFiles = async (
  world: VerifyWorld,
  commits: AsyncIterable<RawStored>,
  cut: Position,
  counting: Counting,
  seen: (commit: RawStored) => void,
): Promise<RawCounted> => {
  const counted: RawCounted = { commits: 0, bytes: 0, files: new Map() };
  let ranges: Range[] = [];
  const countGathered = async (): Promise<void> => {
    for (const [path, ofFile] of groupBy(ranges, (range) => range.path)) await countFile(world, path, ofFile, counting);
    ranges = [];
  };
  for await (const commit of commits) {
    const { partition, from, to, files } = commit;
    seen(commit);
    counted.commits += 1;
    const where = `commit [${from}, ${to}) of partition ${partition}`;
    counting.findings.expect(
      'commits',
      where,
      'the sum of its records',
      files.reduce((sum, { records }) => sum + records, 0),
      to - from,
    );
    for (const file of files) {
      counted.bytes += file.toByte - file.fromByte;
      const totals = counted.files.get(file.path) ?? { bytes: 0, records: 0 };
      counted.files.set(file.path, totals);
      if (to <= (cut[partition] ?? 0)) {
        totals.bytes = Math.max(totals.bytes, file.toByte);
        totals.records += file.records;
      }
      ranges.push({ ...file, partition, from, to });
    }
    if (ranges.length >= rangesMax) await countGathered();
  }
  await countGathered();
  return counted;
};

/** The ranges of one file, those that lie next to each other in one go. */
const countFile = async (world: VerifyWorld, path: string, ranges: Range[], counting: Counting): Promise<void> => {
  ranges.sort((a, b) => a.fromByte - b.fromByte);
  let run: Range[] = [];
  for (const range of ranges) {
    if (run.length > 0 && run.at(-1)?.toByte !== range.fromByte) {
      await countRun(world, path, run, counting);
      run = [];
    }
    run.push(range);
  }
  await countRun(world, path, run, counting);
};

const countRun = async ({ storage }: VerifyWorld, path: string, run: readonly Range[], counting: Counting): Promise<void> => {
  const checks = run.map((range) => new RangeCount(range, counting));
  const [first, last] = [run[0] as Range, run.at(-1) as Range];
  let next = 0;
  let at = first.fromByte;
  try {
    for await (const chunk of storage.stream(path, first.fromByte, last.toByte)) {
      for (let done = 0; done < chunk.length; ) {
        const range = run[next] as Range;
        const bytes = Math.min(chunk.length - done, range.toByte - at);
        checks[next]?.add(chunk.subarray(done, done + bytes));
        done += bytes;
        at += bytes;
        if (at === range.toByte) next += 1;
      }
    }
  } catch (error) {
    if (!(error instanceof FileMissingError)) throw error;
    counting.findings.add('bytes', path, `the file is not there, ${run.length} byte ranges of commits are in it`);
    return;
  }
  for (const check of checks) check.end();
};

class RangeCount {
  readonly #hash = createHash('sha256');
  readonly #date: string | undefined;
  #bytes = 0;
  #lines = 0;
  #carry: Buffer = Buffer.alloc(0);
  #minuteMin = Number.POSITIVE_INFINITY;
  #minuteMax = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly range: Range,
    private readonly counting: Counting,
  ) {
    this.#date = /^raw\/(\d{4}-\d{2}-\d{2})\//.exec(range.path)?.[1];
  }

  add(bytes: Buffer): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    const end = bytes.lastIndexOf(lf) + 1;
    if (end === 0) {
      this.#carry = Buffer.concat([this.#carry, bytes]);
      return;
    }
    const whole = bytes.subarray(0, end - 1);
    const text = this.#carry.length === 0 ? whole.toString('utf8') : Buffer.concat([this.#carry, whole]).toString('utf8');
    this.#carry = Buffer.from(bytes.subarray(end)); // a copy: the chunk is not kept for it
    for (const line of text.split('\n')) this.#addLine(line);
  }

  end(): void {
    const {
      range,
      counting: { findings },
    } = this;
    const where = this.#where();
    if (this.#carry.length > 0) findings.add('lines', where, `${this.#carry.length} bytes at its end are no whole line`);
    findings.expect('bytes', where, 'its length', this.#bytes, range.toByte - range.fromByte);
    findings.expect('bytes', where, 'its sha256', this.#hash.digest('hex'), range.sha256);
    findings.expect('lines', where, 'its number of lines', this.#lines, range.records);
    if (this.#lines === 0) return;
    findings.expect('lines', where, 'its lowest minute', formatMinute(this.#minuteMin), formatMinute(range.minuteMin));
    findings.expect('lines', where, 'its highest minute', formatMinute(this.#minuteMax), formatMinute(range.minuteMax));
  }

  #addLine(line: string): void {
    const { partition, from, to } = this.range;
    this.#lines += 1;
    const record = this.counting.addLine(line, partition, from, to, () => this.#where());
    if (record === undefined) return;
    const minute = Math.floor(record.at / minuteMs) * minuteMs;
    if (minute < this.#minuteMin) this.#minuteMin = minute;
    if (minute > this.#minuteMax) this.#minuteMax = minute;
    if (dateOf(record.at) !== this.#date)
      this.counting.findings.add('lines', this.#where(), `offset ${record.offset} is of ${dateOf(record.at)}`);
  }

  #where(): string {
    const { path, fromByte, toByte, from, to, partition } = this.range;
    return `${path} bytes [${fromByte}, ${toByte}), commit [${from}, ${to}) of partition ${partition}`;
  }
}
