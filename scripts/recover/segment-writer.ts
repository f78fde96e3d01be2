/**
 * Writes the records of one partition into its new log, as the buffer would have: segments, their chain, snapshots of the table
 * of sources. What a buffer takes from METRICS, this takes from raw files.
 *
 * K3  A reading that has an identity counts once, also where two histories gave it two offsets.
 * K4  The log never holds more than it may: what the layers behind have done with goes while it is written.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { purgeSegments, storeTable } from '../../actors/buffer/begin.js';
import {
  addReading,
  headOf,
  isFull,
  nextSegment,
  noteTaken,
  openSegment,
  type Place,
  recordsIn,
} from '../../actors/buffer/open-segment.js';
import { emptyTable, entryOf, lookUp, take, takeMissingChanges } from '../../actors/buffer/source-table.js';
import type { Env } from '../../infra/actor/env.js';
import type { Output } from '../../infra/actor/output.js';
import { RetryableError } from '../../infra/errors.js';
import { noChain } from '../../protocol/messages/segment-sealed.js';
import { chainHeader, encodeSegment, nextChain } from '../../protocol/segment.js';
import type { RawRecord } from './raw-line.js';

const recordsPerSegment = 250;
const fullPauseMs = 100;

export interface WriterOptions {
  readonly env: Env;
  readonly partition: number;
  /** A snapshot after so many records. */
  readonly snapshotRecords: number;
  /** And after so many bytes of segments. */
  readonly snapshotBytes: number;
  /** When this is done, ms: sources that are silent for long are forgotten from then on. */
  readonly now: number;
}

export class SegmentWriter {
  readonly table = emptyTable();
  /** Readings that an earlier record had already. */
  copies = 0;

  #open = openSegment(0);
  #chain = noChain;
  #sequence = 0;
  #tableSequence = 0;
  #snapshotAt = 0;
  #snapshotSequence = 0;
  #bytesSince = 0;
  /** METRICS is a new one, so no place in it: a buffer begins with its first message. */
  #place: Place = { sequence: 0, received: 0, lines: -1 };
  readonly #writer = randomBytes(4).toString('hex');

  constructor(private readonly options: WriterOptions) {}

  /** Where the log will end. */
  get to(): number {
    return this.#open.from + recordsIn(this.#open);
  }

  /** @returns whether it counts (K3). */
  async add({ reading, received, subject }: RawRecord): Promise<boolean> {
    const { n, agent } = reading;
    if (subject !== undefined && agent !== undefined && n !== undefined) {
      const entry = entryOf(this.table, subject, agent, this.options.now);
      if (lookUp(entry, n, Number.POSITIVE_INFINITY) === 'copy') {
        this.copies += 1;
        return false;
      }
      take(this.table, entry, n, n + 1);
      addReading(this.#open, reading, received, subject);
      noteTaken(this.#open, entry, n, n + 1);
    } else {
      addReading(this.#open, reading, received, undefined);
    }
    const heard = Math.min(received, this.options.now); // a clock that was wrong must not make sources look silent
    if (heard > this.#place.received) this.#place = { ...this.#place, received: heard };
    if (recordsIn(this.#open) >= recordsPerSegment || isFull(this.#open)) await this.#seal();
    return true;
  }

  /** Seals what is held, and stores the table. */
  async end(): Promise<void> {
    if (recordsIn(this.#open) > 0) await this.#seal();
    if (this.#sequence > 0) await this.#snapshot();
  }

  async #seal(): Promise<void> {
    const { partition, snapshotRecords, snapshotBytes } = this.options;
    const head = headOf(this.#open, partition, this.#place, takeMissingChanges(this.table));
    const body = encodeSegment(head, this.#open.lines, this.#open.numbers);
    const chain = nextChain(this.#chain, body);
    this.#sequence = await this.#publish(body, chain);
    this.#chain = chain;
    this.#bytesSince += body.byteLength;
    this.#open = nextSegment(this.#open, head.to);
    if (head.to - this.#snapshotAt >= snapshotRecords || this.#bytesSince >= snapshotBytes) {
      await this.#snapshot();
      await this.#purge();
    }
  }

  async #publish(body: Uint8Array, chain: string): Promise<number> {
    const {
      partition,
      env: { bus },
    } = this.options;
    for (;;) {
      try {
        return await bus.publish(`segment.sealed.${partition}`, body, { headers: { [chainHeader]: chain }, expectedLast: this.#sequence });
      } catch (error) {
        const isFullLog = error instanceof RetryableError && error.code === 'E_REFUSED';
        if (!isFullLog || this.#sequence === 0) throw error;
        await this.#snapshot(); // K4: refused, so it is not there, and is published again when there is room
        bus.tell('part.asked', '');
        await sleep(fullPauseMs);
        await this.#purge();
      }
    }
  }

  /** Stored once for each place in the log. */
  async #snapshot(): Promise<void> {
    if (this.#sequence === this.#snapshotSequence) return;
    this.#snapshotSequence = this.#sequence;
    this.#snapshotAt = this.#open.from;
    this.#bytesSince = 0;
    const state = {
      partition: this.options.partition,
      writer: this.#writer,
      open: this.#open,
      table: this.table,
      chain: this.#chain,
      segmentSequence: this.#sequence,
      sealedPlace: this.#place,
    };
    await this.#perform([storeTable(state)]);
  }

  #purge(): Promise<void> {
    return this.#perform([purgeSegments(this.options.partition, this.#sequence)]);
  }

  async #perform(outputs: readonly Output[]): Promise<void> {
    for (const output of outputs) {
      if (output.do === 'work') await this.#perform((await output.run(this.options.env)) ?? []);
      else if (output.do === 'publish')
        this.#tableSequence = await this.options.env.bus.publish(output.subject, output.body, { expectedLast: this.#tableSequence });
    }
  }
}
