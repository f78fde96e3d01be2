/** The streams, as the catalogue names them: made at a start if they are not there, checked if they are. */

import {
  DiscardPolicy,
  type JetStreamManager,
  jetstreamManager,
  PersistMode,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import { messageOf, OutOfReachError, SettingsError, TidemarkError } from '../errors.js';
import { connectionOptions, type NatsSettings } from './nats.js';

export interface StreamSettings extends NatsSettings {
  partitions: number;
  metricsBytesMax: number;
  segmentsBytesMax: number;
}

const MiB = 1024 * 1024;

/** JetStream cannot take messages of 1 MiB; only a segment may pass 512 KiB. */
export const segmentBytesMax = 1_000_000;

type Wanted = Partial<StreamConfig> & { name: string; subjects: string[] };

const kept = {
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  max_age: 0,
  duplicate_window: nanos(120_000),
  allow_direct: true,
};
/** Refuses what does not fit, and never drops what is there. */
const refuses = { ...kept, discard: DiscardPolicy.New };
/** May forget its oldest: it is only for people, or can be made again. Costs no fsync. */
const forgets = { ...kept, discard: DiscardPolicy.Old, persist_mode: PersistMode.Async };

export const segmentsStream = (partition: number): string => `SEGMENTS-${partition}`;

const wantedStreams = (settings: StreamSettings): Wanted[] => [
  {
    ...refuses,
    name: 'METRICS',
    subjects: ['metrics.>'],
    max_bytes: settings.metricsBytesMax,
    persist_mode: PersistMode.Async,
    subject_transform: { src: 'metrics.>', dest: `metrics.{{partition(${settings.partitions})}}.>` },
  },
  ...Array.from(
    { length: settings.partitions },
    (_, p): Wanted => ({ ...refuses, name: segmentsStream(p), subjects: [`segment.sealed.${p}`], max_bytes: settings.segmentsBytesMax }),
  ),
  { ...refuses, name: 'STORED', subjects: ['raw.stored.*', 'part.stored.*', 'place.stored.*', 'table.stored.*'], max_bytes: 256 * MiB },
  {
    ...refuses,
    name: 'BATCH',
    max_bytes: 256 * MiB,
    subjects: ['batch.requested', 'batch.ready', 'batch.abandoned', 'range.*', 'services.*', 'view.proved'],
  },
  { ...forgets, name: 'REJECTED', subjects: ['reading.rejected.*'], max_bytes: 64 * MiB },
  { ...forgets, name: 'REALTIME', subjects: ['realtime.updated.*'], max_bytes: 256 * MiB },
  { ...forgets, name: 'VIEWS', subjects: ['view.updated.*'], max_bytes: 256 * MiB, max_age: nanos(3_600_000) },
];

/** P of data that is there already: it is fixed when the data is made. */
export const partitionsOf = (metrics: StreamConfig): number | undefined => {
  const match = /partition\((\d+)\)/.exec(metrics.subject_transform?.dest ?? '');
  return match ? Number(match[1]) : undefined;
};

/** @throws OutOfReachError */
const connectOnce = (settings: NatsSettings): Promise<NatsConnection> =>
  connect({ ...connectionOptions(settings, 'tidemark streams'), reconnect: false }).catch((cause: unknown) => {
    throw new OutOfReachError(`no NATS server at ${settings.nats} (${messageOf(cause)}): start one, or name another by --nats`, { cause });
  });

/**
 * Makes what is not there yet; leaves what is. @returns the number of partitions.
 * @throws SettingsError if the data has another number of partitions; OutOfReachError if a stream cannot be made.
 */
export const ensureStreams = async (settings: StreamSettings): Promise<number> => {
  const connection = await connectOnce(settings);
  try {
    const manager = await jetstreamManager(connection);
    const there = await manager.streams.info('METRICS').then(
      (info) => partitionsOf(info.config),
      () => undefined,
    );
    if (there !== undefined && there !== settings.partitions) {
      throw new SettingsError(
        `this data has ${there} partitions, and --partitions says ${settings.partitions}: ` +
          `start with --partitions ${there}; the number is fixed when the data is made`,
      );
    }
    for (const wanted of wantedStreams(settings)) await ensureStream(manager, wanted);
    return settings.partitions;
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause;
    throw new OutOfReachError(`the NATS server at ${settings.nats} went away (${messageOf(cause)})`, { cause });
  } finally {
    await connection.close().catch(() => undefined); // it went away
  }
};

const ensureStream = async (manager: JetStreamManager, wanted: Wanted): Promise<void> => {
  try {
    await manager.streams.info(wanted.name);
  } catch {
    try {
      await manager.streams.add(wanted);
    } catch (cause) {
      const there = await manager.streams.info(wanted.name).catch(() => undefined); // another start made it meanwhile
      if (there === undefined) {
        throw new OutOfReachError(
          `the stream ${wanted.name} cannot be made (${messageOf(cause)}): ` +
            'JetStream must be on, and have room for max_bytes of all streams',
          { cause },
        );
      }
    }
  }
};

/** What a stream must have for what Tidemark promises; sizes and ages are the operator's. */
const promised = ['subjects', 'subject_transform', 'retention', 'discard', 'storage', 'persist_mode'] as const;

const plain = (value: unknown): string => JSON.stringify(value ?? null);

/**
 * How the streams that are there differ from what they have to be, a line each; none is made or changed.
 * @throws OutOfReachError
 */
export const streamDifferences = async (settings: StreamSettings): Promise<string[]> => {
  const connection = await connectOnce(settings);
  try {
    const manager = await jetstreamManager(connection, { checkAPI: false });
    const differences: string[] = [];
    for (const wanted of wantedStreams(settings)) {
      const there = await manager.streams.info(wanted.name).catch(() => undefined);
      if (there === undefined) {
        differences.push(`${wanted.name} is not there`);
        continue;
      }
      for (const key of promised) {
        const [has, needs] = [there.config[key], wanted[key]];
        if (needs !== undefined && plain(has) !== plain(needs)) {
          differences.push(`${wanted.name} has ${key} ${plain(has)} and needs ${plain(needs)}`);
        }
      }
    }
    return differences;
  } finally {
    await connection.close();
  }
};
