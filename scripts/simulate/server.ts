/** The server of the simulated world: its streams, what they take and refuse, and the rules that may be switched off in it. */
import type { LogOptions, PublishOptions } from '../../infra/bus/bus.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { decodeHead } from '../../protocol/segment.js';
import type { Random } from '../chaos/random.js';
import type { Connection, Server } from './connection.js';
import { matches, SimulatedLog, StoredMessage } from './log.js';
import type { Rule } from './rules.js';

export interface Plain {
  readonly subject: string;
  readonly body: Uint8Array;
}

const unbounded = Number.POSITIVE_INFINITY;
const partitionOfSegments = (stream: string): number => Number(stream.split('-')[1]);

export class SimulatedServer implements Server {
  readonly logs = new Map<string, SimulatedLog>();
  /** Told, and not heard yet. */
  readonly told: Plain[] = [];
  /** Receipt times that segments note of METRICS' messages, by partition and sequence. */
  private readonly noted = new Map<string, number>();
  time: number;

  constructor(
    private readonly partitions: number,
    start: number,
    metricsMax: number,
    private readonly rule: Rule | undefined,
    private readonly stored: (message: StoredMessage) => void,
    private readonly random: Random,
  ) {
    this.time = start;
    this.add('METRICS', 'metrics.>', true, metricsMax);
    for (let p = 0; p < partitions; p++) this.add(segmentsStream(p), `segment.sealed.${p}`);
    for (const kind of ['raw', 'part', 'place', 'table']) this.add('STORED', `${kind}.stored.*`);
    for (const subject of ['batch.*', 'range.*', 'services.*', 'view.proved']) this.add('BATCH', subject);
    this.add('REJECTED', 'reading.rejected.*', true);
    this.add('REALTIME', 'realtime.updated.*', true);
    this.add('VIEWS', 'view.updated.*', true);
  }

  readonly now = (): number => this.time;

  get triesAgain(): boolean {
    return this.rule === 'F2';
  }

  private add(name: string, subject: string, isAsync = false, messagesMax = unbounded): void {
    if (!this.logs.has(name)) this.logs.set(name, new SimulatedLog(name, subject, isAsync, messagesMax, (message) => this.took(message)));
    this.subjects.push([subject, this.logs.get(name) as SimulatedLog]);
  }

  private readonly subjects: [string, SimulatedLog][] = [];

  private took(message: StoredMessage): void {
    this.stored(message);
    if (!message.subject.startsWith('segment.sealed.')) return;
    const { partition, metrics } = decodeHead(message.body);
    this.noted.set(`${partition} ${metrics.sequence}`, metrics.received);
    this.noted.set(`${partition} last`, metrics.sequence);
  }

  log(stream: string): SimulatedLog {
    const log = this.logs.get(stream);
    if (log === undefined) throw new TypeError(`there is no stream ${stream}`);
    return log;
  }

  logOf(subject: string): SimulatedLog {
    const found = this.subjects.find(([filter]) => matches(filter, subject));
    if (found === undefined) throw new TypeError(`no stream takes ${subject}`);
    return found[1];
  }

  put(subject: string, body: Uint8Array, options: PublishOptions = {}): number {
    this.time += this.random.between(0, 2); // receipt times are whole milliseconds: several messages may have the same
    return this.logOf(subject).put({ subject, body, received: this.time, ...options });
  }

  /** What a life that begins now would know, for S1 and F4. */
  remember(connection: Connection): void {
    if (this.rule === 'F4')
      connection.frozen = this.log(segmentsStream(connection.partition)).lastOn(`segment.sealed.${connection.partition}`);
    for (const subject of ['batch.requested', 'batch.ready', 'batch.abandoned']) {
      connection.known.set(subject, this.log('BATCH').lastOn(subject)?.sequence ?? 0);
    }
  }

  sent(connection: Connection, subject: string, options: PublishOptions): PublishOptions {
    if (options.expectedLast === undefined) return options;
    const { expectedLast: _, expectedFilter: filter, ...unfenced } = options;
    switch (this.rule) {
      case 'F3':
        return unfenced;
      case 'F1':
        return { ...options, expectedLast: this.logOf(subject).lastOn(filter ?? subject)?.sequence ?? 0 };
      case 'S1':
        return filter === undefined ? options : { ...unfenced, expectedLast: connection.known.get(subject) ?? 0 };
      default:
        return options;
    }
  }

  publish(connection: Connection, subject: string, body: Uint8Array, options: PublishOptions): number {
    const sequence = this.put(subject, body, options);
    connection.known.set(subject, sequence);
    return sequence;
  }

  purge(stream: string, filter: string, below: number): void {
    this.log(stream).purge(filter, this.bentPurge(stream, below));
  }

  private bentPurge(stream: string, below: number): number {
    if (stream === 'METRICS') {
      if (this.rule === 'B11 through') return below + 1;
      if (this.rule === 'B11 least')
        return Math.min(...Array.from({ length: this.partitions }, (_, p) => this.noted.get(`${p} last`) ?? 0));
    }
    if (stream.startsWith('SEGMENTS-')) {
      if (this.rule === 'W3') return below + 1;
      if (this.rule === 'B5') {
        const p = partitionOfSegments(stream);
        const place = (kind: string): number => {
          const last = this.log('STORED').lastOn(`${kind}.stored.${p}`);
          return last === undefined
            ? 0
            : (JSON.parse(Buffer.from(last.body).toString('utf8')) as { segments: { sequence: number } }).segments.sequence;
        };
        return Math.max(below, Math.min(place('raw'), place('part')));
      }
    }
    return below;
  }

  seen(
    connection: Connection,
    stream: string,
    message: StoredMessage | undefined,
    asked: 'at' | 'last',
    key: string | number,
  ): StoredMessage | undefined {
    if (stream === 'METRICS' && asked === 'at') {
      const bends = (this.rule === 'B10 sequence' && connection.isBeginning) || (this.rule === 'B11 guard' && !connection.isBeginning);
      const received = this.noted.get(`${connection.partition} ${key}`);
      if (bends && received !== undefined)
        return new StoredMessage(
          `metrics.${connection.partition}.any.any`,
          key as number,
          received,
          new Uint8Array(),
          undefined,
          undefined,
        );
    }
    if (this.rule === 'F4' && connection.isBeginning) return this.frozen(connection, stream, message, asked);
    return message;
  }

  private frozen(
    connection: Connection,
    stream: string,
    message: StoredMessage | undefined,
    asked: 'at' | 'last',
  ): StoredMessage | undefined {
    if (!stream.startsWith('SEGMENTS-')) return message;
    if (asked === 'last') return connection.frozen;
    return message !== undefined && message.sequence <= (connection.frozen?.sequence ?? 0) ? message : undefined;
  }

  startOf(stream: string, options: LogOptions): number {
    if (stream === 'METRICS' && this.rule === 'B10 all') return 1;
    return this.log(stream).startOf(options.start);
  }

  tell(subject: string, body: Uint8Array): void {
    this.told.push({ subject, body });
  }
}
