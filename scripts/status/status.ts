/**
 * Status: who works on what, how far everybody has got, and what is wrong.
 *
 * It answers within two seconds whatever state the actors and the server are in: everything is read at once, each with a
 * bound of its own, and what could not be read is said.
 */
import { hostname } from 'node:os';
import type { Bus } from '../../infra/bus/bus.js';
import type { NatsSettings } from '../../infra/bus/nats.js';
import { openBus } from '../../infra/bus/nats.js';
import { serverTrouble } from '../../infra/bus/nats-server.js';
import { messageOf } from '../../infra/errors.js';
import type { ActorStatus } from '../../protocol/messages/actor-status.js';
import { readActorStatus } from '../../protocol/messages/readers.js';
import type { Position } from '../../protocol/range.js';
import { type Home, loadManifest, newestProofs, oldestProof, readCounts } from './counts.js';
import { inTime, Readings } from './in-time.js';
import { isNatsServer, type Memory, readMemory, readNatsPid, readSupervisorPid } from './memory.js';
import { addLags, type Lag, lagBehind, type PartitionPlaces, readPlaces, readTerms } from './places.js';
import { findProblems } from './problems.js';

export interface ActorShown {
  readonly actor: string;
  readonly instance: string;
  readonly pid: number;
  readonly host: string;
  /** starting, working, standby, stopping, failed; gone: silent for 3 s. */
  readonly state: string;
  readonly partitions: readonly number[];
  /** Absent where an actor has none, or it could not be read. */
  readonly lag?: Lag;
  /** Records a second, lately. */
  readonly perSecond?: number;
  /** Since it was last heard. */
  readonly silentSeconds: number;
  /** Port of its health and metrics. */
  readonly opsPort?: number;
  /** Of its pages. */
  readonly address?: string;
  readonly error?: string;
  /** What it tried in vain in the last minute, and will try again. */
  readonly trouble?: string;
}

export interface StreamShown {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  readonly bytesMax: number;
}

/** null: it could not be read, and `unread` says why. */
export interface Status {
  /** What is wrong, in words; nothing is when it is empty. */
  readonly problems: readonly string[];
  readonly actors: readonly ActorShown[];
  readonly position: Position | null;
  readonly sealed: Position | null;
  readonly committed: Position | null;
  /** Of the newest proved batch; all 0 before the first. */
  readonly cut: Position | null;
  readonly batch: string | null;
  /** The last proof, whatever it found; null before the first. */
  readonly proved: {
    readonly batch: string;
    readonly differences: number;
    /** The differences were mended by a rebuild that was counted twice. */
    readonly repaired: boolean;
    readonly at: number;
    readonly oldest: string | null;
  } | null;
  /** By reason. */
  readonly refused: Readonly<Record<string, number>> | null;
  /** By service. */
  readonly missing: Readonly<Record<string, number>> | null;
  readonly streams: readonly StreamShown[] | null;
  readonly memory: Memory;
  readonly unread: readonly string[];
  readonly at: number;
}

const connectMsMax = 700;
const readMsMax = 800;
/** Actors say once a second that they are there. */
export const goneAfterMs = 3_000;

/** Opens a connection in time. @throws RetryableError, OutOfReachError */
export const openInTime = async (settings: NatsSettings): Promise<Bus> => {
  const opening = openBus(settings, 'tidemark status');
  try {
    return await inTime(opening, connectMsMax);
  } catch (error) {
    void opening.then(
      (bus) => bus.close(),
      () => undefined,
    );
    throw error;
  }
};

/** @param bus undefined, or why there is none */
export const readStatus = async (bus: Bus | Error, home: Home): Promise<Status> => {
  const { data } = home;
  const readings = new Readings(Date.now() + readMsMax);
  const natsTrouble = serverTrouble(data);
  const seen = bus instanceof Error ? undefined : await readAll(bus, home, readings);
  if (bus instanceof Error) readings.unread.push(`NATS: ${messageOf(bus)}`);
  const natsPid = readNatsPid(data);
  const natsServer = natsPid === undefined ? [] : [natsShown(natsPid, !(bus instanceof Error), await natsTrouble)];
  const actors = [...natsServer, ...(seen?.actors ?? [])];
  const pids = actors.filter(({ host }) => host === hostname()).map(({ pid }) => pid);
  const supervisor = readSupervisorPid(data);
  const status: Omit<Status, 'problems'> = {
    actors,
    position: seen?.position ?? null,
    sealed: seen?.places?.map(({ sealed }) => sealed) ?? null,
    committed: seen?.places?.map(({ committed }) => committed) ?? null,
    cut: seen?.cut ?? null,
    batch: seen?.batch ?? null,
    proved: seen?.proved ?? null,
    refused: seen?.refused ?? null,
    missing: seen?.missing ?? null,
    streams: seen?.streams ?? null,
    memory: readMemory(supervisor === undefined ? pids : [supervisor, ...pids]),
    unread: readings.unread,
    at: Date.now(),
  };
  return { problems: findProblems(status, seen?.partitions ?? 0), ...status };
};

const natsShown = (pid: number, answers: boolean, trouble: string | undefined): ActorShown => ({
  actor: 'nats-server',
  instance: String(pid),
  pid,
  host: hostname(),
  state: isNatsServer(pid) ? (answers ? 'working' : 'silent') : 'gone',
  partitions: [],
  silentSeconds: 0,
  ...(trouble !== undefined && { trouble }),
});

const readAll = async (bus: Bus, home: Home, readings: Readings) => {
  const streamsRead = readings.read('streams', () => bus.logs());
  const proofsRead = readings.read('proofs', () => newestProofs(bus));
  const statusesRead = readings.read('actors', () => readStatuses(bus));
  const termsRead = readings.read('the view', () => readTerms(bus));
  const streams = await streamsRead;
  const partitions = streams?.filter(({ name }) => /^SEGMENTS-\d+$/.test(name)).length ?? 0;
  const placesRead = readings.read('places', () => Promise.all(Array.from({ length: partitions }, (_, p) => readPlaces(bus, p))));
  const proofs = await proofsRead;
  const newest = proofs?.newest;
  const manifest = newest && (await readings.read('the manifest', () => loadManifest(home, newest)));
  const places = await placesRead;
  const isCountable = places !== undefined && proofs !== undefined && (newest === undefined || manifest !== undefined);
  const counts = isCountable ? await readings.read('counts', () => readCounts(bus, manifest, places)) : undefined;
  const position = (await termsRead)?.position;
  const mergerLag = position && places && (await readings.read("the merger's lag", () => mergerBehind(bus, position, places)));
  const last = proofs?.last;
  return {
    partitions,
    streams,
    position,
    places,
    actors: ((await statusesRead) ?? []).map((status) => shownOf(status, places, mergerLag)),
    batch: newest?.batch,
    cut: newest?.cut ?? (proofs && Array.from({ length: partitions }, () => 0)),
    proved: last &&
      proofs && {
        batch: last.batch,
        differences: last.differences,
        repaired: last.repaired === true,
        at: last.requestedAt,
        oldest: oldestProof(manifest) ?? null,
      },
    refused: counts && Object.fromEntries(counts.refused),
    missing: counts && Object.fromEntries(counts.missing),
  };
};

const mergerBehind = async (bus: Bus, position: Position, places: readonly PartitionPlaces[]): Promise<Lag> =>
  addLags(await Promise.all(places.map(({ sealed }, p) => lagBehind(bus, p, position[p] ?? 0, sealed))));

/** In the order of the flow, then by instance. */
const flow = ['agent', 'buffer', 'uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger', 'dashboard'];

const readStatuses = async (bus: Bus): Promise<ActorStatus[]> => {
  const bucket = await bus.bucket('ACTORS', { ttlMs: 60_000 });
  const statuses = [...(await bucket.all()).values()].map(({ value }) => readActorStatus(value));
  return statuses.sort((a, b) => flow.indexOf(a.actor) - flow.indexOf(b.actor) || (a.instance < b.instance ? -1 : 1));
};

const shownOf = (status: ActorStatus, places: readonly PartitionPlaces[] | undefined, mergerLag: Lag | undefined): ActorShown => {
  const { actor, instance, pid, host, partitions, perSecond, opsPort, address, error, trouble } = status;
  const silentMs = Date.now() - status.at;
  const isGone = silentMs > goneAfterMs;
  const lag = isGone ? undefined : lagOf(actor, partitions, places, mergerLag);
  return {
    actor,
    instance,
    pid,
    host,
    partitions,
    state: isGone ? 'gone' : status.state,
    silentSeconds: Math.max(0, Math.round(silentMs / 100) / 10),
    ...(lag && { lag }),
    ...(perSecond !== undefined && !isGone && { perSecond }),
    ...(opsPort !== undefined && { opsPort }),
    ...(address !== undefined && { address }),
    ...(error !== undefined && { error }),
    ...(trouble !== undefined && !isGone && { trouble }),
  };
};

const lagOf = (
  actor: string,
  partitions: readonly number[],
  places: readonly PartitionPlaces[] | undefined,
  mergerLag: Lag | undefined,
): Lag | undefined => {
  if (actor === 'merger') return mergerLag;
  if (places === undefined || (actor !== 'buffer' && actor !== 'uploader' && actor !== 'windower')) return undefined;
  return addLags(partitions.flatMap((p) => places[p]?.lag[actor] ?? []));
};
