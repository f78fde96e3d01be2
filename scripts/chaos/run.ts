/** One chaos run: load, faults from a seed, then everything drained and compared. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Tidemark } from '../../infra/client/index.js';
import { messageOf } from '../../infra/errors.js';
import type { Position } from '../../protocol/range.js';
import { sumPosition } from '../../protocol/range.js';
import { type Comparison, compareView } from './expected.js';
import { readBatchFiles } from './files.js';
import { Load } from './load.js';
import { Random } from './random.js';
import { Recovery, type RecoveryTimes } from './recovery.js';
import { type ChaosStack, startChaosStack } from './stack.js';
import { makeVictims, type Victim } from './victims.js';

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly instances: number;
  readonly messagesPerSecond: number;
  /** As the setting. */
  readonly leaseTtl?: string;
  readonly port: number;
  readonly httpPort: number;
  readonly say: (line: string) => void;
  /** Keep the folder, for a look at what was found. */
  readonly keep: boolean;
  /** Files in a real HDFS and leases in a real ZooKeeper, whose servers are struck too. */
  readonly stack?: boolean;
}

export interface ChaosReport {
  readonly seed: number;
  readonly faults: Record<string, number>;
  /** Exit codes of actors' processes that ended though nobody struck them, and how often: they are started again. */
  readonly endedBy: Record<string, number>;
  readonly readings: number;
  readonly refused: number;
  readonly copies: number;
  readonly comparison: Comparison;
  /** The same of the Parquet files that latest.json names, read directly. */
  readonly files: Comparison;
  /** How often a reader that passes its last position saw the number of messages fall: must be 0. */
  readonly wentBack: number;
  readonly reads: number;
  /** Acknowledgements that took something back: must be 0. */
  readonly shrunk: number;
  /** From the end of the faults until all was sealed and in the view, ms. */
  readonly drainedMs: number;
  /** From the kill of an owner to the next output of each of its partitions. */
  readonly recovery: Record<string, RecoveryTimes>;
  readonly batch: string | null;
  readonly data: string;
}

/** Exit codes with which no process may end by itself: only a server that is away too long (4) is no fault of its own. */
const isWrongEnd = (code: string): boolean => code !== '4';

export const isClean = ({ comparison, files, wentBack, shrunk, endedBy }: ChaosReport): boolean =>
  comparison.missing + comparison.extra + files.missing + files.extra + wentBack + shrunk === 0 && !Object.keys(endedBy).some(isWrongEnd);

/** Past that the run goes on, and what still waits counts as disturbed. */
const settledMsMax = 15_000;

interface Scene {
  readonly random: Random;
  readonly victims: readonly Victim[];
  readonly server: Victim;
  readonly recovery: Recovery;
  readonly stack: ChaosStack | undefined;
  /** Whom it strikes, for who reads along. */
  readonly strikes: (names: string) => void;
}

type Fault = (scene: Scene) => Promise<string>;

const pickOne = ({ random, victims, strikes }: Scene): Victim => {
  const victim = random.pick(victims);
  strikes(victim.name);
  return victim;
};

const killThem = async (victims: readonly Victim[], { random, recovery, strikes }: Scene, downMsMax: number): Promise<void> => {
  strikes(victims.map(({ name }) => name).join(', '));
  const workedOn = await Promise.all(victims.map(({ pid }) => recovery.worksOn(pid)));
  await Promise.all(victims.map((victim) => victim.kill()));
  recovery.killed(workedOn.flat(), victims.length > 1);
  await sleep(random.between(0, downMsMax));
  await Promise.all(victims.map((victim) => victim.start()));
};
/** Every other time while all work, and with nothing else until others have taken over: how long that takes is measured. */
const killOne: Fault = async (scene) => {
  const { random, recovery } = scene;
  const isAlone = random.next() < 0.5;
  if (isAlone) await recovery.allWork(settledMsMax);
  await killThem([pickOne(scene)], scene, 2_000);
  if (isAlone) await recovery.settled(settledMsMax);
  return 'kill';
};
const pauseOne: Fault = async (scene) => {
  const victim = pickOne(scene);
  victim.pause();
  await sleep(scene.random.between(200, 5_000));
  victim.resume();
  return 'pause';
};
const stopOne: Fault = async (scene) => {
  const victim = pickOne(scene);
  await victim.stop();
  await victim.start();
  return 'stop';
};
const killSeveral: Fault = async (scene) => {
  await killThem(
    scene.victims.filter(() => scene.random.next() < 0.4),
    scene,
    1_000,
  );
  return 'kill several';
};
const killServer: Fault = async ({ random, server }) => {
  await server.kill();
  await sleep(random.between(0, 1_500));
  await server.start();
  return 'kill nats-server';
};
const pauseServer: Fault = async ({ random, server }) => {
  server.pause();
  await sleep(random.between(100, 2_000));
  server.resume();
  return 'pause nats-server';
};

const strikeStack: Fault = async ({ random, stack, strikes }) => (await stack?.strike(random, strikes)) ?? '';

const faults: readonly Fault[] = [killOne, killOne, killOne, pauseOne, pauseOne, stopOne, killSeveral, killServer, pauseServer];

const stackFaults: readonly Fault[] = [strikeStack, strikeStack, strikeStack, strikeStack];

export const runChaos = async (options: ChaosOptions): Promise<ChaosReport> => {
  const { seed, seconds, instances, port, httpPort, say } = options;
  const random = new Random(seed);
  const data = await mkdtemp(path.join(tmpdir(), 'tidemark-chaos-'));
  const stack = options.stack === true ? await startChaosStack(path.join(data, 'stack'), say) : undefined;
  if (stack !== undefined) process.once('exit', stack.endNow);
  const logFile = path.join(data, 'actors.log');
  const flags = [...(stack?.flags ?? []), '--lease-ttl', options.leaseTtl ?? '1.5s'];
  const { server, actors, endNow } = await makeVictims({ data, port, httpPort, instances, logFile, flags });
  process.once('exit', endNow);
  const load = new Load(new Random(seed + 1), options.messagesPerSecond);
  const tally: Record<string, number> = {};
  const endedBy: Record<string, number> = {};
  const watcher = new Watcher(server.url);
  const recovery = new Recovery(server.url);
  try {
    await Promise.all(actors.map((actor) => actor.start()));
    await untilStreams(server.url);
    await load.start(server.url);
    watcher.start();
    await recovery.start();
    const every = stack === undefined ? faults : [...faults, ...stackFaults];
    const startedAt = performance.now();
    const until = startedAt + seconds * 1_000;
    while (performance.now() < until) {
      await sleep(random.between(200, 2_500));
      recovery.disturbed();
      let struck = '';
      const strikes = (names: string): void => {
        struck = ` ${names}`;
      };
      const name = await random.pick(every)({ random, victims: actors, server, recovery, stack, strikes });
      tally[name] = (tally[name] ?? 0) + 1;
      for (const actor of actors) {
        if (actor.isRunning) continue;
        endedBy[actor.exitCode] = (endedBy[actor.exitCode] ?? 0) + 1;
        say(`${actor.name} ended by itself: ${actor.exitCode}`);
        await actor.start();
      }
      say(
        `${Math.round(performance.now() - startedAt)} ms ${name}${struck}; ${load.counts.sealed} of ${load.counts.added} sealed, ${watcher.reads} reads, position ${watcher.position.join(',')}`,
      );
    }
    const drainFrom = performance.now();
    for (const actor of actors) {
      actor.resume();
      await actor.start();
    }
    await load.drain();
    say(`all sealed: ${load.counts.sealed}; waiting for the view`);
    const readings = load.accepted;
    await watcher.until(readings.length);
    const drainedMs = Math.round(performance.now() - drainFrom);
    const { rows, terms } = await watcher.whole();
    const home = { storage: stack?.storage ?? 'local', data, copiesBytesMax: 2 ** 30 };
    const files = compareView(await readBatchFiles(server.url, home, readings.length), readings);
    return {
      seed,
      faults: tally,
      endedBy,
      readings: readings.length,
      refused: load.refused,
      copies: load.counts.copies,
      comparison: compareView(rows, readings),
      files,
      wentBack: watcher.wentBack,
      reads: watcher.reads,
      shrunk: load.shrunk,
      drainedMs,
      recovery: recovery.times,
      batch: terms.batch,
      data,
    };
  } finally {
    await recovery.stop();
    await watcher.stop();
    await load.stop();
    for (const actor of actors) {
      actor.resume();
      await actor.kill();
    }
    server.resume();
    await server.stop();
    process.removeListener('exit', endNow);
    if (stack !== undefined) {
      await stack.stop();
      process.removeListener('exit', stack.endNow);
    }
    if (!options.keep) await rm(data, { recursive: true, force: true, maxRetries: 5 });
  }
};

/** Until some actor has made them, a publish has nowhere to go; the load's sources would only wait longer. */
const untilStreams = async (nats: string): Promise<void> => {
  for (;;) {
    const client = await connect({ nats }).catch(() => undefined);
    const isThere = await client?.query({ from: 0, to: 1, waitMs: 1_000 }).then(
      () => true,
      () => false,
    );
    await client?.close();
    if (isThere) return;
    await sleep(100);
  }
};

/** A reader that passes its last position: the number of messages that it sees must only grow. */
class Watcher {
  position: Position = [];
  reads = 0;
  wentBack = 0;
  private seen = 0;
  private client: Tidemark | undefined;
  private isRunning = false;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly nats: string) {}

  start(): void {
    this.isRunning = true;
    this.running = this.watch();
  }

  async stop(): Promise<void> {
    this.isRunning = false;
    await this.running;
    await this.client?.close().catch(() => undefined);
  }

  async until(records: number): Promise<void> {
    while (sumPosition(this.position) < records) await sleep(50);
  }

  async whole() {
    for (;;) {
      try {
        return await (await this.connected()).queryExact({ from: 0, to: 4_102_444_800_000, after: this.position });
      } catch (error) {
        await this.lost(error);
      }
    }
  }

  private async watch(): Promise<void> {
    while (this.isRunning) {
      try {
        const client = await this.connected();
        const { rows, terms } = await client.query({ from: 0, to: 4_102_444_800_000, step: 'range', after: this.position, waitMs: 5_000 });
        const messages = rows.reduce((sum, row) => sum + row.msg_num, 0);
        if (messages < this.seen || messages !== sumPosition(terms.position)) this.wentBack += 1;
        this.seen = Math.max(this.seen, messages);
        this.position = terms.position;
        this.reads += 1;
      } catch (error) {
        await this.lost(error);
      }
      await sleep(30);
    }
  }

  private async connected(): Promise<Tidemark> {
    this.client ??= await connect({ nats: this.nats });
    return this.client;
  }

  private async lost(error: unknown): Promise<void> {
    if (!/closed|connection|refused|disconnect/i.test(messageOf(error))) {
      await sleep(50);
      return;
    }
    const { client } = this;
    this.client = undefined;
    await client?.close().catch(() => undefined);
    await sleep(200);
  }
}
