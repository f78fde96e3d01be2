/**
 * Metrics of one process of actors, in Prometheus' words: what each of its actors counts, who holds what, how far each is
 * behind. Labels are bounded: actors, partitions, reasons, streams; no service, no host, no agent.
 *
 * O1  A counter never goes down, though an actor's own counts begin anew with each life.
 * O2  A scrape answers in time whatever the server's state is: what could not be read is left out and counted.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { RunningActor, ShareSeen } from '../actor/host.js';
import type { Bus } from '../bus/bus.js';
import { RetryableError } from '../errors.js';
import { packageVersion } from '../package-folder.js';
import { within } from '../within.js';
import { type LaggingRole, readLag } from './lag.js';

/** An actor's own counts that only grow: metric, its meaning, and the label that sets apart those of one metric. */
const counted: Readonly<Record<string, readonly [metric: string, help: string, outcome?: string]>> = {
  'buffer.records': ['tidemark_records_sealed_total', 'Records that were sealed, on disk'],
  'buffer.segments': ['tidemark_segments_total', 'Segments that were sealed'],
  'buffer.copies': ['tidemark_copies_total', 'Copies of readings that were taken already'],
  'buffer.notTaken': ['tidemark_readings_not_taken_total', 'Readings that would have opened one range too many, and come again'],
  'buffer.startedAgain': ['tidemark_sources_started_again_total', 'Sources that began to count anew under the same agent'],
  'uploader.uploads': ['tidemark_uploads_total', 'Commits'],
  'uploader.bytes': ['tidemark_uploaded_bytes_total', 'Bytes of raw files'],
  'uploader.files': ['tidemark_raw_files_total', 'Raw files that were begun'],
  'windower.records': ['tidemark_records_windowed_total', 'Records that went into the real-time view'],
  'windower.updates': ['tidemark_realtime_updates_total', 'Updates of the open part'],
  'windower.parts': ['tidemark_parts_total', 'Parts that were stored'],
  'scheduler.batches': ['tidemark_batches_total', 'Batches that were requested'],
  'scheduler.abandoned': ['tidemark_batches_abandoned_total', 'Batches that nothing came of'],
  'merger.answers': ['tidemark_answers_total', 'Questions that were answered'],
  'merger.updates': ['tidemark_view_updates_total', 'Updates of services that were told to subscribers'],
  'merger.swaps': ['tidemark_swaps_total', 'Batch views that were taken over'],
  'merger.proofs': ['tidemark_proofs_total', 'Batch views that were compared with what they replace'],
  'merger.differences': ['tidemark_proof_differences_total', 'Rows that differed in it: each is an alarm'],
  'mapper.done': ['tidemark_tasks_total', 'Tasks of batches', 'done'],
  'mapper.failed': ['tidemark_tasks_total', 'Tasks of batches', 'failed'],
  'mapper.left': ['tidemark_tasks_total', 'Tasks of batches', 'left'],
  'reducer.done': ['tidemark_tasks_total', 'Tasks of batches', 'done'],
  'reducer.failed': ['tidemark_tasks_total', 'Tasks of batches', 'failed'],
  'reducer.left': ['tidemark_tasks_total', 'Tasks of batches', 'left'],
  'dashboard.requests': ['tidemark_http_requests_total', 'Requests that were answered'],
  'dashboard.dropped': ['tidemark_event_readers_dropped_total', 'Readers of events that did not read'],
};

/** Those that go up and down. */
const shown: Readonly<Record<string, readonly [metric: string, help: string]>> = {
  'buffer.sources': ['tidemark_sources', 'Sources whose ranges are kept'],
  'uploader.waitingBytes': ['tidemark_upload_waiting_bytes', 'Bytes that wait for the next upload'],
  'windower.openRows': ['tidemark_open_part_rows', 'Rows of the open parts'],
  'scheduler.realtimeRows': ['tidemark_realtime_rows', 'Rows of stored parts above the cut'],
  'scheduler.open': ['tidemark_batch_open', '1 while a batch is being made'],
  'merger.batch': ['tidemark_batch_number', 'Number of the batch view that is answered from'],
  'dashboard.readers': ['tidemark_event_readers', 'Readers of events that are connected'],
};

/** What actors read for a scrape (RunningActor.collect), and its meaning. */
const sampled: Readonly<Record<string, string>> = {
  tidemark_view_records: 'Records in the view: the sum of its position',
  tidemark_missing_readings: 'Readings that were numbered and have not come',
  tidemark_refused_readings: 'Readings that were refused since the data was made',
  tidemark_late_readings: 'Readings after the cut whose minute was over by then',
  tidemark_stream_bytes: 'Bytes of a stream',
  tidemark_stream_bytes_max: 'Bytes at which it is full; absent where there is no bound',
};

/** The prefix under which a buffer counts what it refused, by reason. */
export const refusedPrefix = 'refused: ';

const lagging: readonly string[] = ['buffer', 'uploader', 'windower'] satisfies LaggingRole[];
const readMsMax = 1_500;

/** Undefined when it fails or is not here in time. */
const inTime = <T>(work: Promise<T>): Promise<T | undefined> =>
  within(work, readMsMax, () => new RetryableError(`not read within ${readMsMax} ms`)).catch(() => undefined);

export class ActorMetrics {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #seen = new Map<string, { life: number; counts: Readonly<Record<string, number>> }>();
  readonly #ends = new Map<string, number>();
  readonly #storage: Histogram;
  readonly #failures: Counter;

  /** @param open a connection with the rights of an actor */
  constructor(
    readonly actors: readonly RunningActor[],
    readonly open: (actor: string) => Promise<Bus>,
  ) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: 20 });
    this.#storage = new Histogram({
      name: 'tidemark_storage_seconds',
      help: 'How long it took until bytes were on disk',
      labelNames: ['operation'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.#failures = new Counter({ name: 'tidemark_scrape_failures_total', help: 'What a scrape could not read in time', registers });
    new Gauge({ name: 'tidemark_build_info', help: 'Always 1', labelNames: ['version'], registers }).set({ version: packageVersion() }, 1);
  }

  /** Bytes are on disk. */
  readonly stored = (operation: string, seconds: number): void => this.#storage.observe({ operation }, seconds);

  /** Takes the counts in, so that those of a life that ends before the next scrape are not lost. */
  take(): void {
    for (const actor of this.actors) {
      for (const share of actor.shares?.() ?? []) this.#takeShare(actor, share);
      for (const [kind, count] of Object.entries(actor.ends?.() ?? {})) {
        const key = `${actor.instance} ${kind}`;
        const before = this.#ends.get(key) ?? 0;
        this.#ends.set(key, count);
        this.#count(
          'tidemark_lives_ended_total',
          'Lives of actors that ended: lost, fenced, history, fault',
          { actor: actor.name, kind },
          count - before,
        );
      }
    }
  }

  /** @returns the text for Prometheus */
  async scrape(): Promise<string> {
    this.take();
    for (const gauge of this.#gauges.values()) gauge.reset();
    for (const actor of this.actors) {
      const status = actor.status();
      this.#set('tidemark_actors', 'Actors of this process, by state', { actor: actor.name, state: status.state }, 1, true);
      this.#set('tidemark_leads', '1 where it leads its role', { actor: actor.name }, status.counts.leads ?? 0, true);
      for (const [partition, place] of Object.entries(status.places)) {
        this.#set('tidemark_partition_held', '1 for who works on it', { actor: actor.name, partition }, 1);
        this.#set(
          'tidemark_place',
          'How far it has got there: an offset, of mergers a sum of offsets',
          { actor: actor.name, partition },
          place,
        );
      }
      for (const [name, value] of Object.entries(status.counts)) {
        const metric = shown[`${actor.name}.${name}`];
        if (metric !== undefined) this.#set(metric[0], metric[1], {}, value, name !== 'batch');
      }
    }
    await Promise.all([
      ...this.#laggers().map(([role, partitions]) => this.#readLags(role, partitions)),
      ...this.actors.map((one) => this.#collect(one)),
    ]);
    return this.#registry.metrics();
  }

  readonly contentType = this.#registry.contentType;

  #takeShare(actor: RunningActor, share: ShareSeen): void {
    const key = `${actor.instance} ${share.partition}`;
    const seen = this.#seen.get(key);
    const before = seen?.life === share.life ? seen.counts : {};
    this.#seen.set(key, { life: share.life, counts: share.counts });
    for (const [name, value] of Object.entries(share.counts)) {
      const grown = value - (before[name] ?? 0);
      if (name.startsWith(refusedPrefix)) {
        const reason = name.slice(refusedPrefix.length);
        this.#count('tidemark_refused_total', 'Readings that were refused, by reason', { reason }, grown);
        continue;
      }
      const metric = counted[`${actor.name}.${name}`];
      if (metric === undefined) continue;
      const [metricName, help, outcome] = metric;
      this.#count(metricName, help, outcome === undefined ? {} : { actor: actor.name, outcome }, grown); // O1
    }
  }

  #count(name: string, help: string, labels: Record<string, string>, grown: number): void {
    let counter = this.#counters.get(name);
    if (counter === undefined) {
      counter = new Counter({ name, help, labelNames: Object.keys(labels), registers: [this.#registry] });
      this.#counters.set(name, counter);
    }
    counter.inc(labels, Math.max(0, grown));
  }

  #set(name: string, help: string, labels: Record<string, string>, value: number, isSum = false): void {
    let gauge = this.#gauges.get(name);
    if (gauge === undefined) {
      gauge = new Gauge({ name, help, labelNames: Object.keys(labels), registers: [this.#registry] });
      this.#gauges.set(name, gauge);
    }
    if (isSum) gauge.inc(labels, value);
    else gauge.set(labels, value);
  }

  /** Roles of this process that lag, and the partitions that they hold here. */
  #laggers(): [LaggingRole, number[]][] {
    const held = new Map<string, number[]>();
    for (const actor of this.actors) {
      if (!lagging.includes(actor.name)) continue;
      held.set(actor.name, [...(held.get(actor.name) ?? []), ...actor.status().partitions]);
    }
    return [...held] as [LaggingRole, number[]][];
  }

  async #readLags(role: LaggingRole, partitions: readonly number[]): Promise<void> {
    const lags = await inTime(this.#withBus(role, (bus) => Promise.all(partitions.map((p) => readLag(bus, role, p)))));
    if (lags === undefined) this.#failures.inc();
    lags?.forEach(({ records, seconds }, i) => {
      const labels = { actor: role, partition: String(partitions[i]) };
      this.#set('tidemark_lag_records', 'What waits for it; of buffers messages, else records', labels, records);
      this.#set('tidemark_lag_seconds', 'For how long the oldest of it has waited', labels, seconds);
    });
  }

  async #collect(actor: RunningActor): Promise<void> {
    if (actor.collect === undefined) return;
    const samples = await inTime(actor.collect());
    if (samples === undefined) this.#failures.inc();
    for (const { metric, labels, value } of samples ?? []) this.#set(metric, sampled[metric] ?? metric, { ...labels }, value);
  }

  readonly #buses = new Map<string, Promise<Bus>>();

  async #withBus<T>(role: string, use: (bus: Bus) => Promise<T>): Promise<T> {
    let bus = await this.#buses.get(role)?.catch(() => undefined);
    if (bus === undefined || bus.isClosed) {
      const opening = this.open(role);
      opening.catch(() => undefined);
      this.#buses.set(role, opening);
      bus = await opening;
    }
    return use(bus);
  }

  async close(): Promise<void> {
    for (const opening of this.#buses.values()) await (await opening.catch(() => undefined))?.close();
  }
}
