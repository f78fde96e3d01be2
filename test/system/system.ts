/** A whole system for a test: a real nats-server, the real actors in this process, sources that publish to them. */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import type { Bus } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { connectSource } from '../../infra/client/connect.js';
import { type ExactAnswer, queryExact } from '../../infra/client/query.js';
import { openSource } from '../../infra/client/source.js';
import { loadSettings, type Settings } from '../../infra/config.js';
import { OutOfReachError } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { encodeName } from '../../protocol/name-code.js';
import type { Position } from '../../protocol/range.js';
import { askBatch, type BatchKind } from '../../scripts/ask-batch.js';
import { type RunnableActor, runActors, runnableActors } from '../../scripts/run-actors.js';
import { startNats, type TestNats } from '../servers.js';

/** One reading, as a source publishes it. */
export interface Reading {
  readonly service: string;
  readonly host: string;
  /** ms since 1970. */
  readonly timestamp: number;
  /** Percent. */
  readonly cpu: number;
  readonly ram: number;
  readonly disk: number;
}

export interface System {
  readonly nats: TestNats;
  readonly data: string;
  readonly settings: Settings;
  /** A connection of the test's own. */
  readonly bus: Bus;
  /** Rejects when an actor must not go on; resolves after `stop`. */
  readonly ended: Promise<void>;
  /** Every row of all time, once the view has got as far as `after`. */
  rows(after?: Position): Promise<ExactAnswer>;
  /** Makes a batch now, and waits for its proof; null: nothing was new. */
  batch(kind?: BatchKind): Promise<ViewProved | null>;
  /** Stops the actors cleanly; the server goes on. */
  stop(): Promise<void>;
  /** Starts the actors again, after `stop`. */
  start(names?: readonly RunnableActor[]): void;
}

/**
 * Short times, and no batch but those that are asked for (the first one comes by itself after a minute). What the test counts in this
 * process blocks the actors beside it now and then, on a busy machine for long: leases outlast that.
 */
const quick = { partEvery: '500ms', uploadEvery: '100ms', batchEvery: '1h', leaseTtl: '5s', logLevel: 'silent' };

/**
 * Starts a server and all actors; both end at the test's teardown.
 * @param flags settings as the command line gives them (`{ partEvery: '2s' }`), above short defaults
 */
export const startSystem = async (
  t: Test,
  flags: Readonly<Record<string, string>> = {},
  names: readonly RunnableActor[] = runnableActors,
): Promise<System> => {
  const nats = await startNats(t);
  const { settings } = loadSettings({ ...quick, data: nats.data, nats: nats.url, ...flags }, { env: {} });
  const log = createLog(settings);
  let stopping = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const start = (which: readonly RunnableActor[] = names): void => {
    stopping = new AbortController();
    running = runActors([...which], settings, { signal: stopping.signal, log });
    running.catch(() => undefined); // whoever waits for `ended` hears it
  };
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  start();
  const bus = await openBus({ ...settings, nats: nats.url }, 'test');
  t.teardown(async () => {
    await bus.close();
    await stop().catch(() => undefined);
  });
  return {
    nats,
    data: nats.data,
    settings,
    bus,
    stop,
    start,
    get ended() {
      return running;
    },
    rows: (after = []) => answered(() => queryExact(bus, { from: 0, to: farAway, after, waitMs: 30_000 })),
    batch: (kind = 'batch') => askBatch(bus, kind, 60_000),
  };
};

/** 2100-01-01. */
const farAway = 4_102_444_800_000;

/** Puts a question again while nobody listens yet. */
export const answered = async <T>(ask: () => Promise<T>, tries = 100): Promise<T> => {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof OutOfReachError) || --tries === 0) throw error;
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
    }
  }
};

const linesPerMessage = 40;

/**
 * Publishes readings, each service and host by a source of its own, and resolves when all of them are sealed.
 * @returns the position that holds them all, for `--after`
 */
export const publishAll = async (
  { settings }: Pick<System, 'settings'>,
  readings: readonly Reading[],
  { agent = randomBytes(4).toString('hex') } = {},
): Promise<Position> => {
  const connection = await answered(() => connectSource({ ...settings, nats: settings.nats as string }, 'test source')); // it may be down for a moment
  const position = new Array<number>(settings.partitions).fill(0);
  const bySubject = new Map<string, string[]>();
  for (const reading of readings) {
    const subject = `metrics.${encodeName(reading.service)}.${encodeName(reading.host)}`;
    const lines = bySubject.get(subject) ?? [];
    bySubject.set(subject, lines);
    lines.push(JSON.stringify(reading));
  }
  try {
    await Promise.all(
      [...bySubject].map(async ([subject, lines]) => {
        const source = openSource({
          connection,
          subject,
          agent,
          onAcknowledged: ({ partition, offset }) => {
            position[partition] = Math.max(position[partition] ?? 0, offset);
          },
        });
        for (let from = 0; from < lines.length; from += linesPerMessage) {
          await source.room();
          source.add(lines.slice(from, from + linesPerMessage));
        }
        await source.drained();
        source.close();
      }),
    );
  } finally {
    await connection.close();
  }
  return position;
};
