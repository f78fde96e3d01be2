/**
 * Raw files as uploaders leave them, with their commits, made straight from a formula: 20 services, 200 hosts, a week
 * for ten million, 1 % late by up to a day, 20 % coarse readings (ties in the maxima), with agent and n as sources give them.
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CommittedBytes, RawStored } from '../../protocol/messages/raw-stored.js';
import { noChain } from '../../protocol/messages/segment-sealed.js';
import { minuteOf } from '../../protocol/minute-row.js';
import { recordLine } from '../../protocol/reading.js';
import { sha256Of } from '../../protocol/sha256.js';
import { dateOf } from '../../protocol/time.js';

export const partitions = 4;
const services = 20;
const hosts = 200;
const recordsPerCommit = 40_000;
const rawFileBytesMax = 64 * 1024 * 1024;
const dayMs = 86_400_000;
/** A Monday. */
const startMs = Date.UTC(2026, 10, 2);
const weekMs = 7 * dayMs;
const recordsOfWeek = 10_000_000;
/** The time that so many records are spread over: fewer make fewer days, not fewer records in a minute. */
export const spanOf = (records: number): number => Math.ceil(weekMs * Math.min(1, records / recordsOfWeek));

/** A whole number below 2^32 that looks like chance, from whole numbers. */
const mixed = (i: number, salt: number): number => {
  let hash = Math.imul(i ^ Math.imul(salt + 1, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

interface Gathered {
  readonly lines: string[];
  minuteMin: number;
  minuteMax: number;
}

/** Goes on where it was: what is added later is appended to the same files, as an uploader does. */
export class RawRecords {
  readonly #folder: string;
  readonly #offsets = new Array<number>(partitions).fill(0);
  /** By partition and date: the file that is open, and its length. */
  readonly #files = new Map<string, { path: string; bytes: number }>();
  #made = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** One offset per partition: what is there. */
  get position(): readonly number[] {
    return [...this.#offsets];
  }

  /** Adds `count` records, evenly over [from, from + ms). @returns their commits, in order */
  add(count: number, from: number, ms: number): RawStored[] {
    const commits: RawStored[] = [];
    for (let p = 0; p < partitions; p++) {
      const end = Math.floor((count * (p + 1)) / partitions);
      for (let i = Math.floor((count * p) / partitions); i < end; i += recordsPerCommit) {
        const records = Math.min(recordsPerCommit, end - i);
        const first = Math.floor((count * p) / partitions);
        commits.push(this.#commit(p, records, (j) => startMs + from + Math.floor(((i - first + j) / (end - first)) * ms)));
      }
    }
    return commits;
  }

  #commit(p: number, records: number, timeOf: (i: number) => number): RawStored {
    const from = this.#offsets[p] as number;
    const byDate = new Map<string, Gathered>();
    for (let i = 0; i < records; i++) {
      const number = this.#made++;
      const host = (mixed(number, 0) % (hosts / partitions)) * partitions + p;
      const isLate = mixed(number, 1) % 100 === 0;
      const at = Math.max(startMs, timeOf(i) - (isLate ? mixed(number, 2) % dayMs : 0));
      const isCoarse = mixed(number, 3) % 5 === 0;
      const percent = (salt: number) => (isCoarse ? (mixed(number, salt) % 11) * 10_000_000 : (mixed(number, salt) % 10_000) * 10_000);
      const [service, name] = [`service-${host % services}`, `host-${host}`];
      const reading = {
        service,
        host: name,
        at,
        cpu: percent(4),
        ram: percent(5),
        disk: percent(6),
        agent: `run-${host}`,
        n: number + 1,
      };
      const date = dateOf(at);
      let gathered = byDate.get(date);
      if (gathered === undefined) {
        gathered = { lines: [], minuteMin: Number.POSITIVE_INFINITY, minuteMax: 0 };
        byDate.set(date, gathered);
      }
      gathered.lines.push(`${recordLine(from + i, reading, at + 3, `metrics.${service}.${name}`)}\n`);
      gathered.minuteMin = Math.min(gathered.minuteMin, minuteOf(at));
      gathered.minuteMax = Math.max(gathered.minuteMax, minuteOf(at));
    }
    this.#offsets[p] = from + records;
    const files = [...byDate].map(([date, gathered]) => this.#append(p, from, date, gathered));
    return { partition: p, from, to: from + records, files, segments: { sequence: 1, chain: noChain } };
  }

  #append(p: number, from: number, date: string, { lines, minuteMin, minuteMax }: Gathered): CommittedBytes {
    const key = `${p} ${date}`;
    let file = this.#files.get(key);
    if (file === undefined || file.bytes >= rawFileBytesMax) {
      file = { path: `raw/${date}/${p}-${String(from).padStart(12, '0')}-bench.ndjson`, bytes: 0 };
      this.#files.set(key, file);
      mkdirSync(dirname(join(this.#folder, file.path)), { recursive: true });
    }
    const bytes = Buffer.from(lines.join(''));
    const handle = openSync(join(this.#folder, file.path), 'a');
    writeSync(handle, bytes);
    closeSync(handle);
    const fromByte = file.bytes;
    file.bytes += bytes.byteLength;
    return {
      path: file.path,
      fromByte,
      toByte: file.bytes,
      sha256: sha256Of(bytes),
      records: lines.length,
      minuteMin,
      minuteMax,
    };
  }
}
