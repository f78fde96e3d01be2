/**
 * A first look at the raw files: where in them lie runs of rising offsets, and what is no record. A file is one run, unless
 * somebody wrote behind his time: then his lines begin anew, and are a run of their own.
 */
import type { Storage } from '../../infra/storage/storage.js';
import { partitionOf } from '../../protocol/name-code.js';
import { readRawLine } from './raw-line.js';

/** Consecutive bytes of one file whose offsets rise. */
export interface RawRun {
  readonly path: string;
  readonly partition: number;
  /** The offset in the file's name: of two files that hold an offset, the newer one is what an owner went on with. */
  readonly begun: number;
  readonly fromByte: number;
  toByte: number;
  readonly first: number;
  last: number;
}

export interface RawScan {
  readonly runs: RawRun[];
  files: number;
  bytes: number;
  /** Whole records, doubles included. */
  records: number;
  /** Last lines without an end: an append that was cut off. */
  torn: number;
  /** Other lines that are no records. */
  unreadable: number;
  /** The first of them. */
  readonly examples: string[];
  /** Every number of partitions that puts each source where it is. */
  partitionsPossible: number[];
  partitionMax: number;
}

const partitionsMax = 64;
const examplesMax = 5;
const lf = 0x0a;
const subjectsKeptMax = 16_384;

const rawName = /^raw\/\d{4,6}-\d{2}-\d{2}\/(\d{1,5})-(\d{1,16})-[0-9A-Za-z]+\.ndjson$/;

/** A file of raw lines. */
export type RawFile = Pick<RawRun, 'path' | 'partition' | 'begun'>;

/** The raw files that are there. What has another name is none of ours. */
export const listRawFiles = async (storage: Pick<Storage, 'list'>): Promise<RawFile[]> =>
  (await storage.list('raw')).flatMap((path) => {
    const match = rawName.exec(path);
    return match === null ? [] : [{ path, partition: Number(match[1]), begun: Number(match[2]) }];
  });

export const scanRawFiles = async (
  storage: Pick<Storage, 'stream'>,
  files: readonly RawFile[],
  progress: (bytes: number) => void = () => undefined,
): Promise<RawScan> => {
  const scan: RawScan = {
    runs: [],
    files: 0,
    bytes: 0,
    records: 0,
    torn: 0,
    unreadable: 0,
    examples: [],
    partitionsPossible: Array.from({ length: partitionsMax }, (_, i) => i + 1),
    partitionMax: -1,
  };
  const subjects = new Set<string>();
  const noteSubject = (subject: string, partition: number): void => {
    if (subjects.has(subject)) return;
    if (subjects.size >= subjectsKeptMax) subjects.clear();
    subjects.add(subject);
    scan.partitionsPossible = scan.partitionsPossible.filter((partitions) => partitionOf(subject, partitions) === partition);
  };
  for (const file of files) {
    scan.files += 1;
    scan.partitionMax = Math.max(scan.partitionMax, file.partition);
    await scanFile(storage, file, scan, noteSubject, progress);
  }
  scan.partitionsPossible = scan.partitionsPossible.filter((partitions) => partitions > scan.partitionMax);
  return scan;
};

const scanFile = async (
  storage: Pick<Storage, 'stream'>,
  file: RawFile,
  scan: RawScan,
  noteSubject: (subject: string, partition: number) => void,
  progress: (bytes: number) => void,
): Promise<void> => {
  let run: RawRun | undefined;
  let at = 0;
  let carry: Buffer = Buffer.alloc(0);
  const addLine = (line: Buffer, end: number, isWhole: boolean): void => {
    const record = readRawLine(line.toString('utf8'));
    if (record === undefined) {
      if (isWhole) noteUnreadable(scan, file.path, at, line);
      else scan.torn += 1;
      return;
    }
    scan.records += 1;
    if (record.subject !== undefined) noteSubject(record.subject, file.partition);
    const { offset } = record;
    if (run === undefined || offset < run.last) {
      run = { ...file, fromByte: at, toByte: end, first: offset, last: offset };
      scan.runs.push(run);
    } else {
      run.last = offset;
      run.toByte = end;
    }
  };
  for await (const chunk of storage.stream(file.path)) {
    scan.bytes += chunk.length;
    let from = 0;
    for (let to = chunk.indexOf(lf); to >= 0; to = chunk.indexOf(lf, from)) {
      const piece = chunk.subarray(from, to);
      const line = carry.length === 0 ? piece : Buffer.concat([carry, piece]);
      if (carry.length > 0) carry = Buffer.alloc(0);
      const end = at + line.length + 1;
      if (line.length > 0) addLine(line, end, true);
      at = end;
      from = to + 1;
    }
    if (from < chunk.length) carry = Buffer.concat([carry, chunk.subarray(from)]);
    progress(scan.bytes);
  }
  if (carry.length > 0) addLine(carry, at + carry.length, false);
};

const noteUnreadable = (scan: RawScan, path: string, at: number, line: Buffer): void => {
  scan.unreadable += 1;
  if (scan.examples.length < examplesMax) scan.examples.push(`${path} at byte ${at}: ${line.toString('utf8', 0, 60)}`);
};
