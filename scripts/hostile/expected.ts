/** The independent count: what the view has to be after the messages that it was given, in the order of each source. */
import { verdictOf } from './verdict.js';

export interface Message {
  readonly subject: string;
  readonly header?: { readonly agent: string; readonly n: number } | undefined;
  /** The lowest n that the source still has. */
  readonly oldest?: number;
  readonly body: Uint8Array;
}

interface Row {
  cpu: bigint;
  ram: bigint;
  disk: bigint;
  /** cpu, ram, disk: highest reading, millionths. */
  readonly highest: [number, number, number];
  /** Its earliest time, ms. */
  readonly earliest: [number, number, number];
  count: number;
}

/** service, minute (ms), three sums in millionths, then highest and its time of each, then the count: all whole. */
export type ExpectedRow = readonly (string | number | bigint)[];

/** Up to here a bit says whether an n was used. */
const bitsMax = 2 ** 24;

/** Which n a source has used up. */
class Used {
  /** How many. */
  count = 0;
  #highest = 0;
  #bits = new Uint8Array(8);
  readonly #far = new Set<number>();

  /** @returns false for a copy. */
  use(n: number): boolean {
    if (n >= bitsMax ? this.#far.has(n) : this.#has(n)) return false;
    if (n >= bitsMax) this.#far.add(n);
    else this.#bits[n >> 3] = (this.#bits[n >> 3] as number) | (1 << (n & 7));
    this.count += 1;
    this.#highest = Math.max(this.#highest, n);
    return true;
  }

  #has(n: number): boolean {
    if (n >> 3 >= this.#bits.length) {
      const bits = new Uint8Array(Math.max(this.#bits.length * 2, (n >> 3) + 1));
      bits.set(this.#bits);
      this.#bits = bits;
    }
    return ((this.#bits[n >> 3] as number) & (1 << (n & 7))) !== 0;
  }

  /** Gives up what is below. */
  close(oldest: number): void {
    for (let n = 1; n < oldest; n++) this.use(n);
  }

  get missing(): number {
    return this.#highest - this.count;
  }
}

const minuteMs = 60_000;

/** Split on LF, a CR before it stripped; a final line break makes no line. */
export const linesOf = (body: Uint8Array): Uint8Array[] => {
  const lines: Uint8Array[] = [];
  for (let from = 0; from < body.length; ) {
    const feed = body.indexOf(10, from);
    const end = feed === -1 ? body.length : feed;
    lines.push(body.subarray(from, feed !== -1 && end > from && body[end - 1] === 13 ? end - 1 : end));
    from = end + 1;
  }
  return lines;
};

export class Expected {
  accepted = 0;
  refused = 0;
  copies = 0;
  empty = 0;
  readonly #rows = new Map<string, Map<number, Row>>();
  readonly #refused = new Map<string, Map<string, number>>();
  readonly #sources = new Map<string, Used>();

  /** @param received ms: about when METRICS receives it */
  add({ subject, header, oldest, body }: Message, received: number): void {
    if (header !== undefined && oldest !== undefined) this.#source(subject, header.agent).close(oldest);
    for (const [i, line] of linesOf(body).entries()) {
      const n = header === undefined ? Number.NaN : header.n + i;
      this.addLine(line, subject, header !== undefined && Number.isSafeInteger(n) ? { agent: header.agent, n } : undefined, received);
    }
  }

  addLine(line: Uint8Array, subject: string, header: { agent: string; n: number } | undefined, received: number): void {
    const verdict = verdictOf(line, { subject, header, received });
    if (verdict.kind === 'empty') {
      this.empty += 1;
      if (header !== undefined) this.#use(subject, header);
      return;
    }
    const { identity } = verdict;
    const isCopy = identity !== undefined && !this.#use(subject, identity);
    if (header !== undefined && identity !== header) this.#use(subject, header);
    if (isCopy) {
      this.copies += 1;
    } else if (verdict.kind === 'refused') {
      this.refused += 1;
      const reasons = this.#refused.get(verdict.service) ?? new Map<string, number>();
      this.#refused.set(verdict.service, reasons);
      reasons.set(verdict.reason, (reasons.get(verdict.reason) ?? 0) + 1);
    } else {
      this.accepted += 1;
      this.#addReading(verdict.service, verdict.at, verdict.values);
    }
  }

  #use(subject: string, { agent, n }: { agent: string; n: number }): boolean {
    return this.#source(subject, agent).use(n);
  }

  #source(subject: string, agent: string): Used {
    const key = `${subject} ${agent}`;
    const used = this.#sources.get(key) ?? new Used();
    this.#sources.set(key, used);
    return used;
  }

  /** `<subject> <agent>` and how many of its n are used up, by records or not. */
  *used(): Generator<readonly [source: string, count: number]> {
    for (const [source, { count }] of this.#sources) yield [source, count];
  }

  #addReading(service: string, at: number, values: readonly [number, number, number]): void {
    const minute = at - (((at % minuteMs) + minuteMs) % minuteMs);
    const rows = this.#rows.get(service) ?? new Map<number, Row>();
    this.#rows.set(service, rows);
    let row = rows.get(minute);
    if (row === undefined) {
      row = { cpu: 0n, ram: 0n, disk: 0n, highest: [-1, -1, -1], earliest: [0, 0, 0], count: 0 };
      rows.set(minute, row);
    }
    row.cpu += BigInt(values[0]);
    row.ram += BigInt(values[1]);
    row.disk += BigInt(values[2]);
    row.count += 1;
    for (const i of [0, 1, 2] as const) {
      const isHigher = values[i] > row.highest[i];
      if (isHigher || (values[i] === row.highest[i] && at < row.earliest[i])) {
        row.highest[i] = values[i];
        row.earliest[i] = at;
      }
    }
  }

  /** Service to reason to how many. */
  get refusedCounts(): ReadonlyMap<string, ReadonlyMap<string, number>> {
    return this.#refused;
  }

  /** How many n lie below the highest of their source and never came. */
  get missing(): number {
    return [...this.#sources.values()].reduce((sum, used) => sum + used.missing, 0);
  }

  get rowCount(): number {
    return [...this.#rows.values()].reduce((sum, rows) => sum + rows.size, 0);
  }

  row(service: string, minute: number): ExpectedRow | undefined {
    const row = this.#rows.get(service)?.get(minute);
    if (row === undefined) return undefined;
    const { highest, earliest } = row;
    return [service, minute, row.cpu, row.ram, row.disk, ...([0, 1, 2] as const).flatMap((i) => [highest[i], earliest[i]]), row.count];
  }

  *keys(): Generator<readonly [service: string, minute: number]> {
    for (const [service, rows] of this.#rows) for (const minute of rows.keys()) yield [service, minute];
  }
}

const examplesMax = 10;

/**
 * What differs between rows (service, minute, sums, peaks, count; sums may be texts) and the count: how many rows, and the
 * first ones for people.
 */
export const differencesOf = (
  rows: Iterable<readonly (string | number | bigint)[]>,
  expected: Expected,
): { rows: number; records: number; differences: number; examples: string[] } => {
  const seen = new Set<string>();
  const examples: string[] = [];
  let [count, records, differences] = [0, 0, 0];
  const differ = (text: string): void => {
    differences += 1;
    if (examples.length < examplesMax) examples.push(text);
  };
  for (const row of rows) {
    count += 1;
    records += Number(row[11]);
    const [service, minute] = [String(row[0]), Number(row[1])];
    const key = `${minute} ${service}`;
    const wanted = expected.row(service, minute);
    if (seen.has(key)) differ(`${JSON.stringify(service)} ${minute}: twice`);
    else if (wanted === undefined || wanted.join(' ') !== row.join(' '))
      differ(`${JSON.stringify(service)} ${minute}: ${row.slice(2).join(' ')}, counted ${wanted?.slice(2).join(' ') ?? 'nothing'}`);
    seen.add(key);
  }
  for (const [service, minute] of expected.keys()) {
    if (!seen.has(`${minute} ${service}`)) differ(`${JSON.stringify(service)} ${minute}: no row`);
  }
  return { rows: count, records, differences, examples };
};
