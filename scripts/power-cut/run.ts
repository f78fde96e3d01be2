/**
 * Power cuts: nats-server's store, or the whole data folder, on a disk whose power is cut again and again under load, and a
 * count of what was acknowledged.
 *
 * In some cuts only the machine of nats-server loses its power: the actors are on another and go on. In the others everything
 * is on the disk, raw data and views too, and the actors die with it. The sources are elsewhere: they keep what is not named in
 * an acknowledgement, and send it again.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { type NatsServer, startNatsServer } from '../../infra/bus/nats-server.js';
import { queryExact } from '../../infra/client/query.js';
import { messageOf, OutOfReachError } from '../../infra/errors.js';
import { freePort } from '../../infra/ports.js';
import { sumPosition } from '../../protocol/range.js';
import { type Comparison, compareView } from '../chaos/expected.js';
import { readBatchFiles } from '../chaos/files.js';
import { Load } from '../chaos/load.js';
import { Random } from '../chaos/random.js';
import { ActorVictim, flagsOf } from '../chaos/victims.js';
import { LoopDisk } from './loop-disk.js';

export type Scope = 'server' | 'everything';

export interface PowerCutOptions {
  readonly seed: number;
  readonly cuts: number;
  readonly scope: Scope;
  readonly messagesPerSecond: number;
  readonly say: (line: string) => void;
}

export interface PowerCutReport {
  readonly seed: number;
  readonly scope: Scope;
  readonly cuts: number;
  readonly readings: number;
  readonly refused: number;
  /** Sent again because no acknowledgement had named them. */
  readonly copies: number;
  /** Cuts after which METRICS ended before where it had been, and those after which a number was given to another message. */
  readonly tailsLost: number;
  readonly numbersReused: number;
  /** Acknowledgements that took something back: must be 0. */
  readonly shrunk: number;
  readonly comparison: Comparison;
  /** The same of the Parquet files that latest.json names. */
  readonly files: Comparison;
}

const diskMebibytes = 768;
const actorNames = ['buffer', 'uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger'];
const waitMsMax = 60_000;
/** Of the actors' log, when something did not become true. */
const lastLines = 40;

/** @throws OutOfReachError when it does not become true in time */
const until = async (what: string, isTrue: () => Promise<boolean> | boolean): Promise<void> => {
  const end = performance.now() + waitMsMax;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new OutOfReachError(`${what}: not within ${waitMsMax / 1_000} s`);
    await sleep(20);
  }
};

interface Place {
  readonly sequence: number;
  readonly received: number;
}

export class PowerCuts {
  readonly load: Load;
  tailsLost = 0;
  numbersReused = 0;
  private readonly random: Random;
  private server: NatsServer | undefined;
  private disk: LoopDisk | undefined;
  private actors: ActorVictim | undefined;
  private bus: Bus | undefined;
  private ports: { port: number; httpPort: number } = { port: 0, httpPort: 0 };
  /** Where METRICS was at the last cut, while it is not known whether that number was given again. */
  private before: Place | undefined;

  constructor(
    private readonly options: PowerCutOptions,
    private readonly folder: string,
  ) {
    this.random = new Random(options.seed);
    this.load = new Load(new Random(options.seed + 1), options.messagesPerSecond);
  }

  get data(): string {
    return path.join(this.folder, 'data');
  }

  get url(): string {
    return this.server?.url ?? '';
  }

  async start(): Promise<void> {
    const { scope } = this.options;
    const mountAt = scope === 'everything' ? this.data : path.join(this.data, 'nats');
    this.disk = await LoopDisk.make(path.join(this.folder, 'disk.img'), mountAt, diskMebibytes);
    this.ports = { port: await freePort(), httpPort: await freePort() };
    this.server = await startNatsServer({ data: this.data, ...this.ports });
    const flags = flagsOf({ url: this.url, data: this.data, httpPort: this.ports.httpPort });
    this.actors = new ActorVictim('actors', ['start', ...actorNames, ...flags], path.join(this.folder, 'actors.log'));
    await this.actors.start();
    await until('the first answer', () => this.isAnswering());
    await this.load.start(this.url);
  }

  private async connected(): Promise<Bus> {
    if (this.bus === undefined || this.bus.isClosed) this.bus = await openBus({ nats: this.url }, 'power cut');
    return this.bus;
  }

  private async isAnswering(): Promise<boolean> {
    try {
      await queryExact(await this.connected(), { from: 0, to: 60_000, after: [], waitMs: 1_000 });
      return true;
    } catch {
      return false;
    }
  }

  /** The last message of METRICS. */
  private async metricsEnd(): Promise<Place> {
    const bus = await this.connected();
    const { last } = await bus.extent('METRICS');
    const message = last === 0 ? undefined : await bus.at('METRICS', last);
    return { sequence: last, received: message?.received ?? 0 };
  }

  /** One cut, under load, at a moment from the seed; resolves when acknowledgements come again. */
  async cut(): Promise<string> {
    const { options, random, server, disk, actors, load } = this;
    if (server === undefined || disk === undefined || actors === undefined) throw new TypeError('it was not started');
    await sleep(random.between(100, 1_500));
    await this.lookForReuse();
    const before = await this.metricsEnd();
    if (options.scope === 'everything') actors.pause();
    process.kill(server.pid, 'SIGSTOP');
    await disk.keep();
    const sealed = load.counts.sealed;
    if (options.scope === 'everything') {
      actors.resume(); // it hears nothing of that before it dies
      await actors.kill();
    }
    process.kill(server.pid, 'SIGKILL');
    await server.ended;
    await this.bus?.close().catch(() => undefined);
    await disk.comeBack();
    this.server = await startNatsServer({ data: this.data, ...this.ports });
    const after = await this.metricsEnd().catch(() => ({ sequence: 0, received: 0 })); // it may be gone as a whole
    if (after.sequence < before.sequence) this.tailsLost += 1;
    this.before = before;
    await actors.start();
    await until('acknowledgements after a cut', () => {
      if (!actors.isRunning) throw new OutOfReachError('the actors ended: see actors.log');
      return load.counts.sealed > sealed;
    });
    return `METRICS ended at ${before.sequence}, now at ${after.sequence}; ${sealed} of ${load.counts.added} were sealed`;
  }

  private async lookForReuse(): Promise<void> {
    const { before } = this;
    if (before === undefined || before.received === 0) return;
    const there = await (await this.connected()).at('METRICS', before.sequence).catch(() => undefined);
    if (there !== undefined && there.received !== before.received) this.numbersReused += 1;
    this.before = undefined;
  }

  /** Everything arrives, and is compared with what was acknowledged. */
  async compare(): Promise<Pick<PowerCutReport, 'comparison' | 'files'>> {
    const { load } = this;
    await load.drain();
    const readings = load.accepted;
    let rows: (string | number | bigint)[][] = [];
    await until('the view of all readings', async () => {
      try {
        const answer = await queryExact(await this.connected(), { from: 0, to: 4_102_444_800_000, after: [], waitMs: 5_000 });
        rows = answer.rows as (string | number | bigint)[][];
        return sumPosition(answer.terms.position) >= readings.length;
      } catch (error) {
        if (!(error instanceof OutOfReachError)) throw error;
        return false;
      }
    });
    const comparison = compareView(rows, readings);
    const home = { storage: 'local', data: this.data, copiesBytesMax: 2 ** 30 };
    return { comparison, files: compareView(await readBatchFiles(this.url, home, readings.length), readings) };
  }

  /** When this process must go at once. */
  readonly endNow = (): void => {
    this.actors?.resume();
    void this.actors?.kill();
    if (this.server !== undefined) process.kill(this.server.pid, 'SIGKILL');
  };

  async end(): Promise<void> {
    await this.load.stop().catch(() => undefined);
    await this.bus?.close().catch(() => undefined);
    this.actors?.resume();
    await this.actors?.kill();
    if (this.server !== undefined) {
      process.kill(this.server.pid, 'SIGCONT');
      await this.server.stop();
    }
    await this.disk?.remove();
  }
}

export const runPowerCuts = async (options: PowerCutOptions): Promise<PowerCutReport> => {
  const folder = await mkdtemp(path.join(tmpdir(), 'tidemark-power-cut-'));
  const cuts = new PowerCuts(options, folder);
  const { seed, scope, say } = options;
  process.prependOnceListener('exit', cuts.endNow); // before the disk is unmounted
  try {
    await cuts.start();
    for (let done = 1; done <= options.cuts; done++) say(`${scope}, cut ${done}: ${await cuts.cut()}`);
    const { comparison, files } = await cuts.compare();
    const { load, tailsLost, numbersReused } = cuts;
    return {
      seed,
      scope,
      cuts: options.cuts,
      readings: load.accepted.length,
      refused: load.refused,
      copies: load.counts.copies,
      tailsLost,
      numbersReused,
      shrunk: load.shrunk,
      comparison,
      files,
    };
  } catch (error) {
    say(`seed ${seed}: ${messageOf(error)}`);
    const log = await readFile(path.join(folder, 'actors.log'), 'utf8').catch(() => '');
    say(log.split('\n').slice(-lastLines).join('\n'));
    throw error;
  } finally {
    await cuts.end();
    process.removeListener('exit', cuts.endNow);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
};
