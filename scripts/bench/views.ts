/**
 * /api/v1/views of a whole system that takes readings: how long answers take over HTTP, by as many connections as there are
 * (closed loop: each asks again when it was answered), and at a rate (open loop: timed from when it was due).
 */
import type { ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { Agent, get } from 'node:http';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PromiseError } from '../../infra/errors.js';
import { askBatch } from '../ask-batch.js';
import { launchPublisher, usageOf } from './bench-system.js';
import { quantile } from './quantile.js';
import { startWholeSystem, type WholeSystem } from './whole-system.js';

export interface AnswerTimes {
  readonly answers: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly perSecond: number;
  /** Bytes of a body, in the mean. */
  readonly bytes: number;
  /** CPU of the processes meanwhile, percent of a core, by what they hold. */
  readonly cpuPercent: Readonly<Record<string, number>>;
}

export interface ViewsResult {
  /** Messages a second that were sealed meanwhile. */
  readonly messagesPerSecond: number;
  /** By hour, closed loop: every question another day. */
  readonly hours: AnswerTimes;
  /** By hour, closed loop: the same day for all. */
  readonly sameHours: AnswerTimes;
  /** By minute, open loop: every question another day. */
  readonly minutes: AnswerTimes;
}

const services = 20;
const connections = 50;
const minutesPerSecond = 5;
const minuteMs = 60_000;
const dayMs = 1_440 * minuteMs;
/** Of a day's beginnings, each a minute after the other. */
const daysMax = 120;
/** A reading of each service each 10 s of a day and those minutes. */
const historyEveryMs = 10_000;
const batchWaitMs = 120_000;

const fillHistory = async (system: WholeSystem, to: number): Promise<void> => {
  const path = join(system.data, 'history.ndjson');
  const file = createWriteStream(path);
  for (let at = to - dayMs - daysMax * minuteMs, i = 0; at < to; at += historyEveryMs) {
    for (let s = 0; s < services; s++, i++) {
      const values = `"cpu":${((i * 7919) % 10_000) / 100},"ram":${((i * 104_729) % 10_000) / 100},"disk":${i % 100}`;
      file.write(`{"service":"service-${s}","host":"host-0","timestamp":${at + s},${values}}\n`);
    }
  }
  file.end();
  await finished(file);
  await system.run('import', path);
  await askBatch(system.bus, 'batch', batchWaitMs);
};

interface Answered {
  readonly status: number | undefined;
  readonly bytes: number;
  /** Empty where nobody looks at it. */
  readonly body: Buffer;
}

/** One question. The body is counted; kept only where it is to be looked at. */
const ask = (agent: Agent, url: string, keeps: boolean): Promise<Answered> =>
  new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      const kept: Buffer[] = [];
      let bytes = 0;
      const isKept = keeps || response.statusCode !== 200;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (isKept) kept.push(piece);
      });
      response.once('end', () => resolve({ status: response.statusCode, bytes, body: Buffer.concat(kept) }));
      response.once('error', reject);
    }).once('error', reject);
  });

/** Every so many answers one is looked at as a whole. */
const lookEvery = 100;

const rowsOf = ({ body }: Answered): number => (JSON.parse(String(body)) as { rows: unknown[] }).rows.length;

class Asking {
  readonly #ms: number[] = [];
  #bytes = 0;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1_000 });

  constructor(
    readonly urlOf: (i: number) => string,
    readonly rows: (count: number) => boolean,
  ) {}

  /** @param dueAt when it was to be asked, ms of this process */
  async one(i: number, dueAt: number): Promise<void> {
    const keeps = i % lookEvery === 0;
    const answered = await ask(this.#agent, this.urlOf(i), keeps);
    const ms = performance.now() - dueAt;
    if (answered.status !== 200) throw new PromiseError(`${this.urlOf(i)}: answered with ${answered.status}, ${answered.body}`);
    if (keeps && !this.rows(rowsOf(answered))) throw new PromiseError(`${this.urlOf(i)}: ${rowsOf(answered)} rows`);
    this.#ms.push(ms);
    this.#bytes += answered.bytes;
  }

  times(seconds: number, cpuPercent: Record<string, number>): AnswerTimes {
    this.#agent.destroy();
    const { length } = this.#ms;
    return {
      answers: length,
      p50: quantile(this.#ms, 0.5),
      p99: quantile(this.#ms, 0.99),
      max: quantile(this.#ms, 1),
      perSecond: length / seconds,
      bytes: this.#bytes / length,
      cpuPercent,
    };
  }
}

/** What the processes of actors used while something ran. */
const watched = async (system: WholeSystem, run: () => Promise<void>): Promise<{ seconds: number; cpuPercent: Record<string, number> }> => {
  const status = (await (await fetch(`${system.http}/api/v1/status`)).json()) as { actors: { actor: string; pid: number }[] };
  const pids = new Map<number, string>();
  for (const { actor, pid } of status.actors) if (['buffer', 'merger', 'dashboard', 'nats-server'].includes(actor)) pids.set(pid, actor);
  const usedBy = (): number[] => [...pids.keys()].map((pid) => usageOf(pid).cpuSeconds);
  const [before, own, startedAt] = [usedBy(), process.cpuUsage(), performance.now()];
  await run();
  const [after, seconds, { user, system: kernel }] = [usedBy(), (performance.now() - startedAt) / 1_000, process.cpuUsage(own)];
  const percent = [...pids.values()].map((name, i) => [name, Math.round((((after[i] ?? 0) - (before[i] ?? 0)) / seconds) * 100)] as const);
  return { seconds, cpuPercent: { ...Object.fromEntries(percent), asking: Math.round((user + kernel) / seconds / 10_000) } };
};

const closedLoop = async (system: WholeSystem, asking: Asking, seconds: number): Promise<AnswerTimes> => {
  const used = await watched(system, async () => {
    const end = performance.now() + seconds * 1_000;
    let next = 0;
    const connection = async (): Promise<void> => {
      while (performance.now() < end) await asking.one(next++, performance.now());
    };
    await Promise.all(Array.from({ length: connections }, connection));
  });
  return asking.times(used.seconds, used.cpuPercent);
};

const openLoop = async (system: WholeSystem, asking: Asking, seconds: number): Promise<AnswerTimes> => {
  const used = await watched(system, async () => {
    const startedAt = performance.now();
    const asked: Promise<void>[] = [];
    for (let i = 0; i < seconds * minutesPerSecond; i++) {
      const dueAt = startedAt + (i * 1_000) / minutesPerSecond;
      await sleep(Math.max(0, dueAt - performance.now()));
      asked.push(asking.one(i, dueAt));
    }
    await Promise.all(asked);
  });
  return asking.times(used.seconds, used.cpuPercent);
};

/** @param seconds of each of the three */
export const benchViews = async (seconds: number, messagesPerSecond: number, tell: (line: string) => void): Promise<ViewsResult> => {
  const system = await startWholeSystem();
  let publishing: ChildProcess | undefined;
  try {
    const to = Math.ceil(Date.now() / minuteMs) * minuteMs + 10 * minuteMs; // what comes meanwhile is in the newest of these days
    await fillHistory(system, Math.floor(Date.now() / historyEveryMs) * historyEveryMs);
    const order = { nats: system.nats, messagesPerSecond, linesPerMessage: 1, services, hostsPerService: 10 };
    const { report, child } = launchPublisher({ ...order, seconds: 3 * seconds + 10 });
    publishing = child;
    await sleep(3_000); // it has begun
    const names = Array.from({ length: services }, (_, s) => `&service=service-${s}`).join('');
    const urlOf = (step: string, back: number): string =>
      `${system.http}/api/v1/views?from=${to - dayMs - back * minuteMs}&to=${to - back * minuteMs}&step=${step}${names}`;
    const another = (step: string) => (i: number) => urlOf(step, i % daysMax);
    const isHours = (rows: number): boolean => rows === services * 24 || rows === services * 25;
    const isMinutes = (rows: number): boolean => rows > services * 1_300 && rows <= services * 1_440;
    const told = (times: AnswerTimes): string => `p50 ${times.p50.toFixed(1)}, p99 ${times.p99.toFixed(1)} ms of ${times.answers} answers`;
    const hours = await closedLoop(system, new Asking(another('hour'), isHours), seconds);
    tell(`  by hour, each question another day: ${told(hours)}`);
    const sameHours = await closedLoop(system, new Asking(() => urlOf('hour', 0), isHours), seconds);
    tell(`  by hour, the same day: ${told(sameHours)}`);
    const minutes = await openLoop(system, new Asking(another('minute'), isMinutes), seconds);
    const { readings, sealedAfterMs } = await report;
    return { messagesPerSecond: Math.round((readings * 1_000) / sealedAfterMs), hours, sameHours, minutes };
  } finally {
    publishing?.kill('SIGKILL');
    await system.stop();
  }
};
