/**
 * The raw messages behind a row: found through commits in the raw files, and above the last commit in SEGMENTS.
 *
 * D5  They are exactly those that the row counts: below its position, each once; `total` is the row's msg_num.
 */
import type { Bus } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { PromiseError } from '../../infra/errors.js';
import type { Storage } from '../../infra/storage/storage.js';
import { eachBlockRow } from '../../protocol/messages/row-blocks.js';
import { type RecordLine, recordNumbers } from '../../protocol/messages/segment-sealed.js';
import type { Terms } from '../../protocol/messages/view.js';
import { copyRow, type MinuteRow, minuteMs, toViewRow, type ViewRow } from '../../protocol/minute-row.js';
import type { Position } from '../../protocol/range.js';
import { decodeSegment } from '../../protocol/segment.js';
import { formatInstant } from '../../protocol/time.js';
import { toMillionths } from '../../protocol/units.js';
import type { CommitFinder, CommittedRange } from './commits.js';
import { ParameterError } from './parameters.js';
import type { ViewReader } from './view-reader.js';

type PeakName = 'cpu' | 'ram' | 'disk';

export interface ExplainedMessage {
  readonly partition: number;
  readonly offset: number;
  readonly received: string;
  /** The record as it is kept: one JSON object. */
  readonly line: string;
  readonly timestamp: string;
  readonly cpu: number;
  readonly ram: number;
  readonly disk: number;
  readonly agent?: string;
  readonly n?: number;
  /** Which peaks of the row it set. */
  readonly peaks: readonly PeakName[];
}

export interface Explanation {
  readonly row: ViewRow | null;
  readonly messages: readonly ExplainedMessage[];
  readonly total: number;
  readonly truncated: boolean;
  readonly terms: Terms;
}

export interface ExplainQuestion {
  readonly service: string;
  /** ms */
  readonly minute: number;
  readonly limit: number;
  readonly after: Position;
}

const waitMs = 10_000;
/** What one explanation reads at most; a minute of 10,000 messages a second is a fifth of it. */
const bytesMax = 512 * 1024 * 1024;
const lf = 0x0a;

/** The first messages in the order in which they are shown, without keeping all. */
class Found {
  total = 0;
  #kept: ExplainedMessage[] = [];

  constructor(
    readonly question: ExplainQuestion,
    readonly row: MinuteRow,
    readonly position: Position,
  ) {}

  add(partition: number, line: string): void {
    const { service, minute, limit } = this.question;
    const record = JSON.parse(line) as RecordLine;
    if (record.service !== service || record.timestamp < minute || record.timestamp >= minute + minuteMs) return;
    if (record.offset >= (this.position[partition] ?? 0)) return; // D5
    this.total += 1;
    this.#kept.push(toMessage(partition, line, record, this.row));
    if (this.#kept.length >= limit * 4 + 1_000) this.#cut();
  }

  messages(): readonly ExplainedMessage[] {
    this.#cut();
    return this.#kept;
  }

  #cut(): void {
    this.#kept.sort(
      (a, b) =>
        Number(b.peaks.length > 0) - Number(a.peaks.length > 0) ||
        (a.timestamp < b.timestamp ? -1 : a.timestamp > b.timestamp ? 1 : a.partition - b.partition || a.offset - b.offset),
    );
    this.#kept.length = Math.min(this.#kept.length, this.question.limit);
  }
}

const toMessage = (partition: number, line: string, record: RecordLine, row: MinuteRow): ExplainedMessage => {
  const { offset, received, timestamp, cpu, ram, disk, agent, n } = record;
  const peaks: PeakName[] = [];
  if (timestamp === row.maxCpuAt && toMillionths(cpu) === row.maxCpu) peaks.push('cpu');
  if (timestamp === row.maxRamAt && toMillionths(ram) === row.maxRam) peaks.push('ram');
  if (timestamp === row.maxDiskAt && toMillionths(disk) === row.maxDisk) peaks.push('disk');
  return {
    partition,
    offset,
    received: formatInstant(received),
    line,
    timestamp: formatInstant(timestamp),
    cpu,
    ram,
    disk,
    ...(agent === undefined ? {} : { agent }),
    ...(n === undefined ? {} : { n }),
    peaks,
  };
};

/** Times of the minute begin with one of these, so that most other lines are passed over without being parsed. */
const timesOf = (minute: number): string[] => {
  const hundredSeconds = 100_000;
  const starts = [minute, minute + minuteMs - 1].map((at) => Math.floor(at / hundredSeconds));
  return [...new Set(starts)].map((start) => `"timestamp":${start}`);
};

export class Explainer {
  constructor(
    readonly reader: ViewReader,
    readonly storage: Storage,
    readonly commits: CommitFinder,
  ) {}

  /** @throws ParameterError when it would take too much reading; RetryableError; what the reader throws */
  async explain(question: ExplainQuestion): Promise<Explanation> {
    const { service, minute } = question;
    let row: MinuteRow | undefined;
    const terms = await this.reader.ask(
      { from: minute, to: minute + minuteMs, services: [service], step: 'minute', zone: 'UTC', after: question.after, waitMs },
      (chunk) =>
        eachBlockRow(chunk, (_, __, one) => {
          row = copyRow(one);
        }).terms,
    );
    if (row === undefined) return { row: null, messages: [], total: 0, truncated: false, terms };
    const found = new Found(question, row, terms.position);
    const bus = await this.reader.connection.get();
    const { ranges, ends } = await this.commits.find(bus, minute);
    const bytes = ranges.reduce((sum, { fromByte, toByte }) => sum + toByte - fromByte, 0);
    if (bytes > bytesMax) {
      throw new ParameterError(
        'minute',
        `its messages lie among ${bytes} bytes of raw files, more than one answer reads: use tidemark verify`,
      );
    }
    for (const range of ranges) await this.#readRange(range, minute, found);
    for (const [partition, end] of ends.entries()) {
      if (end.offset < (terms.position[partition] ?? 0)) await readSegments(bus, partition, end, found);
    }
    if (found.total !== row.messages) {
      throw new PromiseError(`the row counts ${row.messages} messages, raw files and log hold ${found.total}: run tidemark verify`);
    }
    const messages = found.messages();
    return { row: toViewRow(service, minute, row), messages, total: found.total, truncated: messages.length < found.total, terms };
  }

  async #readRange({ path, partition, fromByte, toByte }: CommittedRange, minute: number, found: Found): Promise<void> {
    const times = timesOf(minute);
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of this.storage.stream(path, fromByte, toByte)) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const end = bytes.lastIndexOf(lf) + 1;
      const text = bytes.toString('utf8', 0, end);
      for (let at = 0; at < text.length; ) {
        const to = text.indexOf('\n', at);
        const line = text.slice(at, to);
        if (times.some((time) => line.includes(time))) found.add(partition, line);
        at = to + 1;
      }
      rest = bytes.subarray(end);
      await new Promise(setImmediate); // others get a turn
    }
  }
}

/** Records behind the last commit. */
const readSegments = async (bus: Bus, partition: number, end: { sequence: number; offset: number }, found: Found): Promise<void> => {
  const stream = segmentsStream(partition);
  const { last } = await bus.extent(stream);
  if (last <= end.sequence) return;
  const { service, minute } = found.question;
  for await (const { body } of readLog(bus, stream, { start: { sequence: end.sequence + 1 }, to: last, held: 64 })) {
    const { head, lines, numbers, records } = decodeSegment(body);
    if (head.from >= (found.position[partition] ?? 0)) return;
    const index = head.services.indexOf(service);
    if (index < 0) continue;
    let at = 0;
    for (let i = 0; i < records; i++) {
      const of = i * recordNumbers.width;
      const lineBytes = numbers[of + recordNumbers.bytes] as number;
      const time = numbers[of + recordNumbers.at] as number;
      if (numbers[of + recordNumbers.service] === index && time >= minute && time < minute + minuteMs && head.from + i >= end.offset) {
        found.add(partition, Buffer.from(lines.buffer, lines.byteOffset + at, lineBytes - 1).toString('utf8'));
      }
      at += lineBytes;
    }
  }
};
