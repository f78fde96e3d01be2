/** For tests of one actor: a real server with its streams, SEGMENTS with made-up segments, one life of a fold at a time. */
import { pino } from 'pino';
import type { Test } from 'tap';
import type { Env } from '../../infra/actor/env.js';
import { type FoldDefinition, type LifeEnd, runLife } from '../../infra/actor/fold.js';
import type { Bus, LogMessage } from '../../infra/bus/bus.js';
import { openBus } from '../../infra/bus/nats.js';
import { ensureStreams, segmentsStream } from '../../infra/bus/streams.js';
import { loadSettings, type Settings } from '../../infra/config.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { viewFiles } from '../../infra/sql/view-files.js';
import { type LocalStorage, openLocalStorage } from '../../infra/storage/local.js';
import { noChain, recordNumbers, type SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { recordLine } from '../../protocol/reading.js';
import { chainHeader, encodeSegment, nextChain } from '../../protocol/segment.js';
import { toMillionths } from '../../protocol/units.js';
import { startNats, type TestNats, temporaryFolder } from '../servers.js';
import type { Reading } from '../system/system.js';

export interface World {
  readonly nats: TestNats;
  readonly settings: Settings;
  readonly storage: LocalStorage;
  /** Absolute path of a file in the storage. */
  at(path: string): string;
  open(): Promise<Bus>;
  /** Adds a segment of these readings behind the last one; none: it only moves the position. */
  seal(partition: number, readings: readonly Reading[], head?: Partial<SegmentHead>): Promise<void>;
  /** Starts a life. */
  live<State>(fold: FoldDefinition<State>, partition: number, more?: Partial<Env>): Promise<Life>;
}

export interface Life {
  readonly ended: Promise<LifeEnd>;
  /** Resolves when the fold shows this place, or its life ended. */
  reached(place: number): Promise<unknown>;
  stop(): Promise<LifeEnd>;
}

export const openWorld = async (t: Test, flags: Readonly<Record<string, string>> = {}): Promise<World> => {
  const nats = await startNats(t);
  const root = temporaryFolder(t);
  const storage = await openLocalStorage(root);
  const { settings } = loadSettings({ partitions: '2', data: root, nats: nats.url, ...flags }, { env: {} });
  await ensureStreams({ ...settings, nats: nats.url });
  let engine: ReturnType<Env['engine']> | undefined;
  const openEngine = async () => {
    const sql = await openDuckdb({
      memoryMiB: 256,
      threads: 1,
      tempFolder: storage.workFolder,
      allowedFolders: [root],
    });
    return { sql, viewFiles: viewFiles(sql) };
  };
  const buses: Bus[] = [];
  const open = async (): Promise<Bus> => {
    const bus = await openBus({ ...settings, nats: nats.url }, 'test');
    buses.push(bus);
    return bus;
  };
  t.teardown(async () => {
    for (const bus of buses) await bus.close();
    (await engine)?.sql.close();
    await storage.close();
  });
  const publishing = await open();
  const ends = new Map<number, { offset: number; sequence: number; chain: string }>();
  const seal: World['seal'] = async (partition, readings, more = {}) => {
    const end = ends.get(partition) ?? { offset: 0, sequence: 0, chain: noChain };
    const services = [...new Set(readings.map(({ service }) => service))];
    const numbers: number[] = [];
    const lines = readings
      .map(({ service, host, timestamp, cpu, ram, disk }, i) => {
        const values = { cpu: toMillionths(cpu), ram: toMillionths(ram), disk: toMillionths(disk) };
        const line = `${recordLine(end.offset + i, { service, host, at: timestamp, ...values }, timestamp)}\n`;
        numbers.push(services.indexOf(service), timestamp, values.cpu, values.ram, values.disk, Buffer.byteLength(line));
        return line;
      })
      .join('');
    const head: SegmentHead = {
      partition,
      from: end.offset,
      to: end.offset + numbers.length / recordNumbers.width,
      metrics: { sequence: end.sequence + 1, received: 1, lines: -1 },
      taken: [],
      refused: {},
      missing: {},
      services,
      lineBytes: Buffer.byteLength(lines),
      ...more,
    };
    const body = encodeSegment(head, Buffer.from(lines), numbers);
    const chain = nextChain(end.chain, body);
    const sequence = await publishing.publish(`segment.sealed.${partition}`, body, {
      headers: { [chainHeader]: chain },
    });
    ends.set(partition, { offset: head.to, sequence, chain });
  };
  const live: World['live'] = async (fold, partition, more = {}) => {
    const bus = more.bus ?? (await open());
    const stop = new AbortController();
    let place = -1;
    const waiting = new Set<() => void>();
    const env = {
      settings,
      storage,
      log: pino({ level: 'silent' }),
      now: Date.now,
      instance: 'test',
      engine: () => (engine ??= openEngine()),
      ...more,
      bus,
    } as Env;
    const ended = runLife(fold, env, partition, {
      stop: stop.signal,
      lost: new AbortController().signal,
      leads: () => false,
      onLead: () => () => undefined,
      seen: (report) => {
        place = report.place;
        for (const look of waiting) look();
      },
    });
    return {
      ended,
      reached: (wanted) =>
        Promise.race([
          ended,
          new Promise<void>((resolve) => {
            const look = (): void => {
              if (place >= wanted) {
                waiting.delete(look);
                resolve();
              }
            };
            waiting.add(look);
            look();
          }),
        ]),
      stop: () => {
        stop.abort();
        return ended;
      },
    };
  };
  return { nats, settings, storage, at: (path) => `${root}/${path}`, open, seal, live };
};

/** Everything that a log holds on a filter, in order. */
export const readLog = async (bus: Bus, stream: string, filter: string): Promise<LogMessage[]> => {
  const last = await bus.last(stream, filter);
  if (last === undefined) return [];
  const reader = await bus.read(stream, { start: 'first', filter });
  const all: LogMessage[] = [];
  while ((all.at(-1)?.sequence ?? 0) < last.sequence) {
    await reader.ready();
    all.push(...reader.take(1_000));
  }
  await reader.close();
  return all;
};

export const readSegments = (bus: Bus, partition: number): Promise<LogMessage[]> =>
  readLog(bus, segmentsStream(partition), `segment.sealed.${partition}`);

/** A connection on which some calls are other ones. */
export const busWith = (bus: Bus, calls: Partial<Bus>): Bus => Object.assign(Object.create(bus) as Bus, calls);

export const storageWith = (storage: LocalStorage, calls: Partial<LocalStorage>): LocalStorage =>
  new Proxy(storage, {
    get: (target, name) => {
      const own = (calls as Record<string | symbol, unknown>)[name];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
