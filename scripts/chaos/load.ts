/** The load of a chaos run: sources that keep their readings until they are acknowledged, and a list of what was acknowledged. */
import { connectSource } from '../../infra/client/connect.js';
import { openSource, type Source } from '../../infra/client/source.js';
import type { Random } from './random.js';

export interface PublishedReading {
  readonly service: string;
  readonly timestamp: number;
  readonly cpu: number;
  readonly ram: number;
  readonly disk: number;
}

interface Lane {
  source: Source;
  readonly service: string;
  readonly readings: (PublishedReading | null)[];
}

const services = ['web', 'db', 'Ticketing Service', '__proto__', '../up', 'naïve'];
const hosts = ['h1', 'h2', 'h3'];
const dayMs = 86_400_000;

export class Load {
  private readonly lanes: Lane[] = [];
  private isRunning = true;
  private publishing: Promise<void> = Promise.resolve();
  private close: (() => Promise<void>) | undefined;
  /** What `sealed` of a source lost: must stay 0. */
  shrunk = 0;

  constructor(
    private readonly random: Random,
    private readonly messagesPerSecond: number,
    private readonly refusedShare = 0.01,
  ) {}

  async start(nats: string): Promise<void> {
    const connection = await connectSource({ nats }, 'chaos load');
    this.close = async () => {
      await connection.close();
    };
    for (const service of services) {
      for (const host of hosts) {
        const code = encodeURIComponent(service).replace(/[!'()*.~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
        const source = openSource({
          connection,
          subject: `metrics.${code}.${host}`,
          agent: `chaos-${service}-${host}`,
          resendAfterMs: 2_000,
          onShrunk: () => {
            this.shrunk += 1;
          },
        });
        this.lanes.push({ source, service, readings: [] });
      }
    }
    this.publishing = this.publish();
  }

  /** Resolves when everything is sealed. */
  async drain(): Promise<void> {
    this.isRunning = false;
    await this.publishing;
    await Promise.all(this.lanes.map(({ source }) => source.drained()));
  }

  async stop(): Promise<void> {
    for (const { source } of this.lanes) source.close();
    await this.close?.();
  }

  /** By n from 1: the reading, or null where a line was made to be refused. All of them were acknowledged after `drain`. */
  get accepted(): PublishedReading[] {
    return this.lanes.flatMap(({ readings }) => readings.filter((reading) => reading !== null));
  }

  get refused(): number {
    return this.lanes.reduce((sum, { readings }) => sum + readings.filter((reading) => reading === null).length, 0);
  }

  get counts(): { added: number; sealed: number; copies: number; givenUp: number } {
    const sum = (of: (source: Source) => number): number => this.lanes.reduce((total, { source }) => total + of(source), 0);
    return {
      added: sum(({ counts }) => counts.added),
      sealed: sum(({ counts }) => counts.sealed),
      copies: sum(({ counts }) => counts.copies),
      givenUp: sum(({ counts }) => counts.givenUp),
    };
  }

  private async publish(): Promise<void> {
    const startedAt = performance.now();
    for (let messages = 0; this.isRunning; ) {
      const allowed = (this.messagesPerSecond * (performance.now() - startedAt)) / 1_000;
      for (; messages < allowed && this.isRunning; messages++) {
        const lane = this.random.pick(this.lanes);
        if (!lane.source.hasRoom) break;
        lane.source.add(Array.from({ length: this.random.between(1, 6) }, () => this.line(lane)));
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  private line(lane: Lane): string {
    const { random } = this;
    if (random.next() < this.refusedShare) {
      lane.readings.push(null);
      return random.next() < 0.5
        ? '{"service":'
        : JSON.stringify({ service: lane.service, timestamp: Date.now(), cpu: -1, ram: 1, disk: 1 });
    }
    const late = random.next() < 0.05 ? random.between(0, 40) * dayMs + random.between(0, dayMs) : random.between(0, 90_000);
    const reading: PublishedReading = {
      service: lane.service,
      timestamp: Date.now() - late,
      cpu: random.between(0, 21) * 5, // coarse, so that peaks tie
      ram: random.between(0, 100_000_000) / 1e6,
      disk: random.between(0, 1_000_000_000) / 1e5,
    };
    lane.readings.push(reading);
    return JSON.stringify(reading);
  }
}
