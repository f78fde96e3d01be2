/** Publishes recorded lines through the lanes of their file, and ends when all of them are sealed. */
import type { NatsConnection } from '@nats-io/transport-node';
import { passedOnRangesMax } from '../../actors/buffer/source-table.js';
import { openSource, type Source } from '../../infra/client/source.js';
import { OutOfReachError } from '../../infra/errors.js';
import type { ReadingSealed } from '../../protocol/messages/reading-sealed.js';
import { parseSubject } from '../../protocol/name-code.js';
import { addRange, hasNumber, type Ranges } from '../../protocol/range.js';
import { isEmptyLine, isRefusal, readLine } from '../../protocol/reading.js';
import { type Identity, identityIn, laneAgent, laneCount, laneOfAgent, laneSubjects } from './lanes.js';
import { countRefusals, type RefusalCount } from './refusal-count.js';

export interface ImportCounts {
  /** Records that this run added. */
  taken: number;
  /** By reason, of those that this run sent. */
  refused: Record<string, number>;
  /** Sealed before this run, or copies of a reading with an identity of its own in the same file. */
  known: number;
  /** All lines of the file: an import ends when they are. */
  sealed: number;
}

export interface ImportOptions {
  /** Without their line breaks; bytes, for a line that is no UTF-8 is to be refused as what it is. */
  lines: AsyncIterable<Buffer>;
  /** sha256 of the file, in hex. */
  content: string;
  connection: NatsConnection;
  /** Ends with an error when nothing was acknowledged for this long while it waited. */
  patienceMs: number;
  /** Of the sources. */
  resendAfterMs?: number;
  onProgress: (progress: { bytes: number; lines: number; sealed: number }) => void;
  /** When all is sealed: the offsets below which it is, by partition. */
  onSealed?: (position: number[]) => void;
}

/** An acknowledgement tells 100 reasons, so a message has no more lines than that. */
const messageLinesMax = 50;
const messageBytesMax = 64 * 1024;
/** Kept by each of the lanes. */
const keptReadingsMax = 10_000;
const keptBytesMax = 4 * 1024 * 1024;
/** What NATS' headers and ours may take of the largest message. */
const headerBytes = 4096;
const refusedToldMax = 100;
const tooLong = 'longer than a message';
/** The n of the empty line with which each lane begins: its acknowledgement names all that was ever sealed (B2, B8). */
const greetingN = 1;

interface RecordedLine {
  readonly bytes: Buffer;
  readonly identity: Identity | undefined;
  readonly isLong: boolean;
}

interface Lane {
  readonly source: Source;
  readonly refusals: RefusalCount;
  /** Waits for the first acknowledgement, which says what was sealed before this run. */
  greeted: Promise<unknown> | undefined;
  before: Ranges;
  /** The n of the first line that is pending. */
  nextN: number;
  pending: RecordedLine[];
  pendingBytes: number;
  lastRefusedTold: number;
}

const noLine = Buffer.alloc(0);

export const importLines = async (options: ImportOptions): Promise<ImportCounts> => new Import(options).run();

class Import {
  private readonly lanes: (Lane | undefined)[] = new Array<Lane | undefined>(laneCount).fill(undefined);
  private readonly lineBytesMax: number;
  /** Refused here: they did not go by the import's own n, or did not go at all. */
  private readonly refusedHere = new Map<string, number>();
  private readonly foreign = new Map<string, Ranges>();
  private copies = 0;
  private lines = 0;
  private bytes = 0;
  private turn = 0;
  private heardAtMs = Date.now();
  /** How to end what waits now with an error. */
  private readonly waiting = new Set<(error: Error) => void>();
  private readonly watch: NodeJS.Timeout;

  constructor(private readonly options: ImportOptions) {
    this.lineBytesMax = (options.connection.info?.max_payload ?? 1024 * 1024) - headerBytes;
    this.watch = setInterval(() => {
      if (this.waiting.size === 0 || Date.now() - this.heardAtMs <= options.patienceMs) return;
      for (const fail of this.waiting) fail(this.nobodyAnswers());
    }, 250);
  }

  async run(): Promise<ImportCounts> {
    try {
      for await (const line of this.options.lines) {
        if (!isEmptyLine(line)) await this.add(line);
      }
      for (const lane of this.openLanes()) await this.flush(lane);
      for (const lane of this.openLanes()) await this.finish(lane);
      this.options.onSealed?.(this.position());
      return this.counts();
    } finally {
      clearInterval(this.watch);
      for (const lane of this.openLanes()) lane.source.close();
    }
  }

  private position(): number[] {
    const position: number[] = [];
    for (const { source } of this.openLanes()) {
      if (source.reached === undefined) continue;
      const { partition, offset } = source.reached;
      while (position.length <= partition) position.push(0);
      position[partition] = Math.max(position[partition] ?? 0, offset);
    }
    return position;
  }

  private openLanes(): Lane[] {
    return this.lanes.filter((lane) => lane !== undefined);
  }

  private async add(line: Buffer): Promise<void> {
    this.lines++;
    const lineBytes = line.length;
    this.bytes += lineBytes + 1;
    const identity = identityIn(line);
    const lane = this.laneAt(identity === undefined ? this.turn++ % laneCount : laneOfAgent(identity.agent));
    if (lane.pending.length >= messageLinesMax || lane.pendingBytes + lineBytes > messageBytesMax) await this.flush(lane);
    const isLong = lineBytes > this.lineBytesMax;
    lane.pending.push({ bytes: isLong ? noLine : line, identity, isLong }); // an empty line's n is taken all the same
    lane.pendingBytes += isLong ? 1 : lineBytes + 1;
    if (this.lines % 1024 === 0) this.progress();
  }

  private laneAt(index: number): Lane {
    const lane = this.lanes[index] ?? this.openLane(index);
    this.lanes[index] = lane;
    return lane;
  }

  private openLane(index: number): Lane {
    const subject = laneSubjects()[index] as string;
    const agent = laneAgent(this.options.content, index);
    const refusals = countRefusals(subject, agent);
    const source = openSource({
      connection: this.options.connection,
      subject,
      agent,
      keptReadingsMax,
      keptBytesMax,
      firstN: greetingN,
      ...(this.options.resendAfterMs === undefined ? {} : { resendAfterMs: this.options.resendAfterMs }),
      onAcknowledged: (acknowledgement, named) => {
        this.heardAtMs = Date.now();
        if (lane.greeted !== undefined) this.greetedBy(lane, acknowledgement);
        lane.lastRefusedTold = acknowledgement.refused.length;
        refusals.heard(acknowledgement, named, (n) => source.holds(n));
      },
    });
    const lane: Lane = {
      source,
      refusals,
      greeted: source.acknowledged(),
      before: [],
      nextN: greetingN + 1,
      pending: [],
      pendingBytes: 0,
      lastRefusedTold: 0,
    };
    source.add('');
    return lane;
  }

  private greetedBy(lane: Lane, { sealed }: ReadingSealed): void {
    lane.greeted = undefined;
    lane.before = sealed;
    lane.refusals.leaveOut(sealed);
  }

  private async flush(lane: Lane): Promise<void> {
    if (lane.greeted !== undefined) await this.patiently(lane.greeted);
    if (lane.pending.length === 0) return;
    if (!lane.source.hasRoom) await this.patiently(lane.source.room());
    for (const line of lane.pending) this.judge(lane, lane.nextN++, line);
    lane.source.add(lane.pending.map(({ bytes }) => bytes));
    lane.pending = [];
    lane.pendingBytes = 0;
  }

  private async finish(lane: Lane): Promise<void> {
    this.progress();
    await this.patiently(lane.source.drained());
    // More reasons may be right behind a full acknowledgement; the answer to a copy comes after them and has none.
    while (lane.lastRefusedTold >= refusedToldMax) {
      const answered = lane.source.acknowledged();
      lane.source.ask(greetingN, '');
      await this.patiently(answered);
    }
    this.progress();
  }

  /** What no acknowledgement will say: a line that does not go, and one with an identity of its own, which answers for it. */
  private judge(lane: Lane, n: number, { bytes, identity, isLong }: RecordedLine): void {
    const isNew = !hasNumber(lane.before, n);
    if (isLong && isNew) this.refuseHere(tooLong);
    if (isLong || identity === undefined) return;
    const seen = this.foreign.get(identity.agent) ?? [];
    // Copies are recognised in so many ranges of n; the buffer takes no more either (B6).
    if (seen.length < passedOnRangesMax) this.foreign.set(identity.agent, addRange(seen, identity.n, identity.n + 1));
    if (!isNew) return;
    if (hasNumber(seen, identity.n)) {
      this.copies++;
      return;
    }
    const read = readLine(bytes, { subject: parseSubject(lane.source.subject), received: Date.now() });
    if (isRefusal(read)) this.refuseHere(read.reason);
  }

  private refuseHere(reason: string): void {
    this.refusedHere.set(reason, (this.refusedHere.get(reason) ?? 0) + 1);
  }

  private patiently<T>(promise: Promise<T>): Promise<T> {
    if (this.waiting.size === 0) this.heardAtMs = Date.now();
    return new Promise<T>((resolve, reject) => {
      this.waiting.add(reject);
      promise.then(resolve, reject).finally(() => this.waiting.delete(reject));
    });
  }

  private nobodyAnswers(): OutOfReachError {
    const turnedAway = this.openLanes().some(({ source }) => source.counts.turnedAway > 0);
    return new OutOfReachError(
      `nothing was acknowledged for ${this.options.patienceMs / 1000} s, ${this.sealed()} of ${this.lines} readings are sealed: ${
        turnedAway ? 'METRICS is full, or not there' : 'is a buffer running?'
      } Run the same import again later: it goes on from here`,
    );
  }

  private sealed(): number {
    return this.openLanes().reduce((sum, { source }) => sum + source.counts.sealed - (hasNumber(source.sealed, greetingN) ? 1 : 0), 0);
  }

  private progress(): void {
    this.options.onProgress({ bytes: this.bytes, lines: this.lines, sealed: this.sealed() });
  }

  private counts(): ImportCounts {
    const refused: Record<string, number> = Object.create(null) as Record<string, number>;
    let refusedAll = 0;
    for (const byReason of [this.refusedHere, ...this.openLanes().map(({ refusals }) => refusals.byReason)]) {
      for (const [reason, count] of byReason) {
        refused[reason] = (refused[reason] ?? 0) + count;
        refusedAll += count;
      }
    }
    const known = this.openLanes().reduce((sum, { source }) => sum + source.counts.known, this.copies);
    return { taken: this.lines - known - refusedAll, refused, known, sealed: this.lines };
  }
}
