/** What was refused and what is missing, since the data was made: the newest proved manifest, the parts behind it, the open part. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { newestProved, readProofs } from '../../actors/scheduler/begin.js';
import type { Bus } from '../../infra/bus/bus.js';
import { readLog } from '../../infra/bus/read-log.js';
import { openStorage } from '../../infra/storage/open.js';
import type { Manifest, ViewProved } from '../../protocol/messages/batch.js';
import type { Missing, Refused } from '../../protocol/messages/fields.js';
import { readManifest, readPartStored } from '../../protocol/messages/readers.js';
import { formatInstant } from '../../protocol/time.js';
import type { PartitionPlaces } from './places.js';

export interface Proofs {
  /** The newest that all answer from: without a difference, or rebuilt and counted twice. */
  readonly newest: ViewProved | undefined;
  /** The last one, whatever it found. */
  readonly last: ViewProved | undefined;
}

export const newestProofs = async (bus: Bus): Promise<Proofs> => {
  const proofs = await readProofs(bus);
  return { newest: newestProved(proofs), last: proofs.at(-1) };
};

/** Where the system's files are. */
export interface Home {
  readonly data: string;
  /** As `--storage` takes it; local without it. */
  readonly storage?: string;
}

/** The newest one that was read: it never changes, and who shows the status each second reads it once. */
let remembered: { readonly sha256: string; readonly manifest: Manifest } | undefined;

const readOnce = async ({ data, storage = 'local' }: Home, file: string): Promise<Buffer> => {
  if (storage === 'local') return await readFile(path.join(data, file));
  const files = await openStorage({ storage, data, copiesBytesMax: 0 });
  try {
    return await files.read(file);
  } finally {
    await files.close();
  }
};

export const loadManifest = async (home: Home, { manifest: file }: ViewProved): Promise<Manifest> => {
  if (remembered?.sha256 !== file.sha256) remembered = { sha256: file.sha256, manifest: readManifest(await readOnce(home, file.path)) };
  return remembered.manifest;
};

/** When the date was made from all of its raw data for which that is longest ago; undefined before the first batch. */
export const oldestProof = (manifest: Manifest | undefined): string | undefined => {
  const times = Object.values(manifest?.recomputed ?? {}).map(({ at }) => at);
  return times.length === 0 ? undefined : formatInstant(Math.min(...times));
};

export interface CountsSoFar {
  readonly refused: Map<string, number>;
  readonly missing: Map<string, number>;
}

export const readCounts = async (bus: Bus, manifest: Manifest | undefined, places: readonly PartitionPlaces[]): Promise<CountsSoFar> => {
  const refused = new Map<string, number>();
  const missing = places.map((_, p) => new Map(Object.entries(manifest?.missing[p] ?? {})));
  const add = (counts: { refused: Refused; missing: Missing }, partition: number): void => {
    for (const reasons of Object.values(counts.refused)) {
      for (const [reason, count] of Object.entries(reasons)) refused.set(reason, (refused.get(reason) ?? 0) + count);
    }
    for (const [service, count] of Object.entries(counts.missing)) missing[partition]?.set(service, count); // absolute
  };
  if (manifest !== undefined) add({ refused: manifest.refused, missing: {} }, 0);
  const { last } = await bus.extent('STORED');
  for await (const { body } of readLog(bus, 'STORED', { filter: 'part.stored.*', to: last })) {
    const part = readPartStored(body);
    if (part.to > (manifest?.cut[part.partition] ?? 0)) add(part, part.partition);
  }
  places.forEach(({ lastUpdate, stored }, p) => {
    if (lastUpdate !== undefined && lastUpdate.from >= stored) add(lastUpdate, p); // of the part that is open now
  });
  const sum = new Map<string, number>();
  for (const ofPartition of missing) {
    for (const [service, count] of ofPartition) if (count > 0) sum.set(service, (sum.get(service) ?? 0) + count);
  }
  return { refused, missing: sum };
};
