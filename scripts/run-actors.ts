/** Runs actors in this process until it is told to stop: the one place where actors meet their technology. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { buffer } from '../actors/buffer.js';
import { mapRange, tasksAtOnce } from '../actors/mapper.js';
import { merger } from '../actors/merger.js';
import { reduceServices } from '../actors/reducer.js';
import { scheduler } from '../actors/scheduler.js';
import { uploader } from '../actors/uploader.js';
import { windower } from '../actors/windower.js';
import type { Env } from '../infra/actor/env.js';
import type { FoldDefinition } from '../infra/actor/fold.js';
import { hostFold, type RunningActor, type WorldOfActors } from '../infra/actor/host.js';
import { Rates } from '../infra/actor/rates.js';
import { hostWorker, type WorkerDefinition } from '../infra/actor/worker.js';
import type { Bucket, Bus } from '../infra/bus/bus.js';
import { openBus } from '../infra/bus/nats.js';
import { ensureStreams } from '../infra/bus/streams.js';
import { credentialsFor } from '../infra/bus/users.js';
import type { Settings } from '../infra/config.js';
import { openCoordinator } from '../infra/coordination/open.js';
import { messageOf, OutOfReachError } from '../infra/errors.js';
import { ActorMetrics } from '../infra/ops/metrics.js';
import { startOpsServer } from '../infra/ops/server.js';
import { timedStorage } from '../infra/ops/timed-storage.js';
import { openStorage } from '../infra/storage/open.js';
import { slowIfWanted } from '../infra/storage/slow.js';
import { patiently, reachMsMax, within } from '../infra/within.js';
import { type ActorName, actorNames } from '../protocol/catalogue.js';
import type { ActorStatus } from '../protocol/messages/actor-status.js';
import { readBatchRequested, readRangeAssigned, readServicesAssigned } from '../protocol/messages/readers.js';
import { recount } from './verify/recount.js';

/** The actors that this can run; agents have a command of their own. */
export type RunnableActor = Exclude<ActorName, 'agent'>;

/** Those that the data goes through; the dashboard only shows it. */
export const runnableActors: readonly RunnableActor[] = ['buffer', 'uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger'];

const isOpenBatch = async (bus: Bus, { batch }: { batch: string }): Promise<boolean> => {
  const last = await bus.last('BATCH', 'batch.*');
  return last?.subject === 'batch.requested' && readBatchRequested(last.body).batch === batch;
};

const mapper: WorkerDefinition<ReturnType<typeof readRangeAssigned>> = {
  name: 'mapper',
  takes: 'range.assigned',
  produces: 'range.mapped',
  fails: 'range.failed',
  read: readRangeAssigned,
  isOpen: isOpenBatch,
  work: async (task, env) => mapRange(task, { storage: env.storage, sql: (await env.engine()).sql }),
};

const reducer: WorkerDefinition<ReturnType<typeof readServicesAssigned>> = {
  name: 'reducer',
  takes: 'services.assigned',
  produces: 'services.reduced',
  fails: 'services.failed',
  read: readServicesAssigned,
  isOpen: isOpenBatch,
  work: async (task, env) => reduceServices(task, { storage: env.storage, ...(await env.engine()) }),
};

type StartDashboard = (world: WorldOfActors, stop: AbortSignal) => RunningActor;

/** The HTTP server takes memory: no other process loads it. It takes a second too: before anybody holds a lease. */
const loadDashboard = async (): Promise<StartDashboard> => {
  const [{ hostDashboard }, { readStatus }] = await Promise.all([import('../actors/dashboard/dashboard.js'), import('./status/status.js')]);
  return (world, stop) => hostDashboard({ ...world, readStatus: (bus) => readStatus(bus, world.settings) }, stop);
};

const start = (name: Exclude<RunnableActor, 'dashboard'>, world: WorldOfActors, stop: AbortSignal): RunningActor => {
  const fold = <State>(definition: FoldDefinition<State>) => hostFold(definition, world, stop);
  switch (name) {
    case 'buffer':
      return fold(buffer);
    case 'uploader':
      return fold(uploader);
    case 'windower':
      return fold(windower);
    case 'scheduler':
      return fold(scheduler);
    case 'merger':
      return fold(merger);
    case 'mapper':
      return hostWorker(mapper, world, stop);
    case 'reducer':
      return hostWorker(reducer, world, stop);
  }
};

/** A server that comes back answers within this, or is asked again. */
const makeMsMax = 10_000;

const openWorld = async (
  names: readonly RunnableActor[],
  settings: Settings,
  log: Logger,
): Promise<{ world: WorldOfActors; onStored: Set<(operation: string, seconds: number) => void>; close: () => Promise<void> }> => {
  const nats = settings.nats ?? `nats://127.0.0.1:${settings.natsPort}`;
  const make = (): Promise<number> => ensureStreams({ ...settings, nats, natsCreds: credentialsFor(settings, 'operator') });
  const waits = ({ message }: OutOfReachError): void => log.warn({ reason: message }, 'waits for the server');
  const partitions = await patiently(make, reachMsMax, waits);
  const storage = await patiently(() => openStorage(settings), reachMsMax, waits);
  // Each actor has rights of its own; what the process does for all of its actors, it does as the first.
  const userOf = (name: string): string => actorNames.find((actor) => name.startsWith(`${actor} `)) ?? names[0] ?? 'operator';
  // A power cut may take a stream as a whole, if its messages may be lost: METRICS too. After a connection's end it is made again.
  let mayBeGone = false;
  let making: Promise<void> | undefined;
  const makeAgain = (): Promise<void> =>
    (making ??= within(make(), makeMsMax, () => new OutOfReachError(`no answer within ${makeMsMax} ms`))
      .then(
        () => {
          mayBeGone = false;
        },
        (error: unknown) => log.warn({ reason: messageOf(error) }, 'streams not looked at, will retry'),
      )
      .finally(() => {
        making = undefined;
      }));
  const openPlain = (name: string): Promise<Bus> => openBus({ ...settings, nats, natsCreds: credentialsFor(settings, userOf(name)) }, name);
  const open = async (name: string): Promise<Bus> => {
    if (mayBeGone) await makeAgain();
    const bus = await openPlain(name);
    void bus.closed.then(() => {
      mayBeGone = true; // whether the server went or a life ended: a look costs little, and all that begin share it
    });
    return bus;
  };
  let engine: ReturnType<Env['engine']> | undefined;
  const tempFolder = join(storage.workFolder, `duckdb-${process.pid}`);
  const openEngine = async () => {
    // The engine takes memory: a process of buffers never loads it.
    const [{ openDuckdb }, { viewFiles }] = await Promise.all([import('../infra/sql/duckdb.js'), import('../infra/sql/view-files.js')]);
    await mkdir(tempFolder, { recursive: true });
    const sql = await openDuckdb({
      memoryMiB: settings.memoryMiB,
      threads: settings.mapThreads,
      tempFolder,
      allowedFolders: [settings.data],
    });
    return { sql, viewFiles: viewFiles(sql) };
  };
  const coordinator = await openCoordinator(settings, () => openPlain('tidemark leases'), log);
  const onStored = new Set<(operation: string, seconds: number) => void>();
  const told = (operation: string, seconds: number): void => {
    for (const stored of onStored) stored(operation, seconds);
  };
  return {
    onStored,
    world: {
      settings: { ...settings, partitions, segmentsKeepMs: settings.segmentsKeepMs + storage.unsyncedMs },
      storage: timedStorage(slowIfWanted(storage), told),
      log,
      coordinator,
      openBus: open,
      now: Date.now,
      recount: async ({ bus, storage: files, engine: open }, manifest) =>
        recount({ bus, storage: files, viewFiles: (await open()).viewFiles }, manifest),
      engine: () => (engine ??= openEngine()),
    },
    close: async () => {
      await coordinator.close();
      if (engine) (await engine).sql.close();
      await storage.close();
    },
  };
};

interface StatusReport {
  /** When it was last told, ms since 1970. */
  readonly toldAt: () => number;
  readonly stop: () => Promise<void>;
}

/** Says once a second who works on what, until it is stopped; a connection of its own, which it replaces. */
const reportStatus = (
  actors: readonly RunningActor[],
  open: WorldOfActors['openBus'],
  log: Logger,
  more: () => Partial<ActorStatus>,
): StatusReport => {
  let bus: Bus | undefined;
  let bucket: Bucket | undefined;
  let toldAt = Date.now();
  const rates = new Rates();
  /** What it says of itself, and how much it gets done. */
  const told = (actor: RunningActor): ActorStatus => {
    const status = actor.status();
    const at = Date.now();
    const perSecond = rates.of(status, at);
    return { ...status, ...more(), ...(perSecond !== undefined && { perSecond }), at };
  };
  const keyOf = (actor: RunningActor): string => `${actor.name}.${actor.instance}`;
  const report = async (): Promise<void> => {
    try {
      if (bus === undefined || bus.isClosed) {
        bus = await open('tidemark status');
        bucket = undefined;
      }
      bucket ??= await bus.bucket('ACTORS', { ttlMs: 60_000 });
      for (const actor of actors) await bucket.put(keyOf(actor), JSON.stringify(told(actor)));
      toldAt = Date.now();
    } catch (error) {
      log.debug({ reason: messageOf(error) }, 'status not told, will retry');
    }
  };
  let reporting = report();
  const timer = setInterval(() => {
    reporting = report();
  }, 1_000);
  const stop = async (): Promise<void> => {
    clearInterval(timer);
    await reporting;
    try {
      for (const actor of actors) await bucket?.remove(keyOf(actor));
      await bus?.close();
    } catch {
      // whoever is gone without a word is shown as gone for a minute
    }
  };
  return { toldAt: () => toldAt, stop };
};

/**
 * Runs these actors, joined to `settings.nats`, until `signal` is aborted; resolves after a clean stop. `joined` is called when
 * the streams and the storage are there.
 * @throws HistoryError, PromiseError and whatever else must end the process, after the others have stopped cleanly.
 */
export const runActors = async (
  names: readonly RunnableActor[],
  settings: Settings,
  { signal, log, joined }: { signal: AbortSignal; log: Logger; joined?: () => void },
): Promise<void> => {
  const { world, onStored, close } = await openWorld(names, settings, log);
  joined?.();
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort);
  const startDashboard = names.includes('dashboard') ? await loadDashboard() : undefined;
  const actors = names.flatMap((name) => {
    if (name === 'dashboard') return startDashboard === undefined ? [] : [startDashboard(world, stop.signal)]; // one: it has a port
    const each = name === 'mapper' ? tasksAtOnce(world.storage) : 1;
    return Array.from({ length: settings.instances * each }, () => start(name, world, stop.signal));
  });
  const ops = { port: 0, close: async (): Promise<void> => undefined };
  const metrics = new ActorMetrics(actors, (actor) => world.openBus(`${actor} metrics`));
  onStored.add(metrics.stored);
  const report = reportStatus(actors, world.openBus, log, () => {
    metrics.take();
    return ops.port === 0 ? {} : { opsPort: ops.port, opsHost: settings.opsHost };
  });
  const opening = startOpsServer({ host: settings.opsHost, port: settings.opsPort }, { actors, toldAt: report.toldAt }, metrics)
    .then((server) => Object.assign(ops, server))
    .catch((error: unknown) => log.error({ err: error }, 'no health and metrics')); // actors go on without them
  const ends = actors.map((actor) =>
    actor.ended.catch((error: unknown) => {
      stop.abort(); // one that must not go on takes the process along
      throw error;
    }),
  );
  const results = await Promise.allSettled(ends);
  signal.removeEventListener('abort', abort);
  await opening;
  await ops.close();
  await report.stop();
  await close();
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
};
