/** Compares what the system says, and what its files hold, with the independent count. */
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Bus } from '../../infra/bus/bus.js';
import { type ExactAnswer, queryExact } from '../../infra/client/query.js';
import { OutOfReachError } from '../../infra/errors.js';
import type { Sql } from '../../infra/sql/sql.js';
import type { Position } from '../../protocol/range.js';
import { differencesOf, type Expected } from './expected.js';
import { FileRows, partFiles, readLatest } from './view-files.js';

export interface Checked {
  readonly what: string;
  readonly rows: number;
  readonly records: number;
  readonly differences: number;
  readonly examples: readonly string[];
}

/** 2100-01-01. */
const farAway = 4_102_444_800_000;

const sum = (position: Position): number => position.reduce((total, offset) => total + offset, 0);

const ask = (bus: Bus, to = farAway): Promise<ExactAnswer> => queryExact(bus, { from: 0, to, waitMs: 300_000 });

/** Waits until the view has as many records as were accepted, and has refused as many. @returns its position */
export const whenCounted = async (bus: Bus, expected: Expected, patienceMs: number): Promise<Position> => {
  let [stillSince, last, seen] = [Date.now(), -1, ''];
  for (;;) {
    try {
      const { terms } = await ask(bus, 1); // no row lies there: the terms alone
      const progress = sum(terms.position) + terms.refused;
      seen = `${sum(terms.position)} records of ${expected.accepted}, ${terms.refused} refused of ${expected.refused}`;
      if (sum(terms.position) === expected.accepted && terms.refused === expected.refused) return terms.position;
      if (progress !== last) [stillSince, last] = [Date.now(), progress];
    } catch (error) {
      if (!(error instanceof OutOfReachError)) throw error;
    }
    if (Date.now() - stillSince > patienceMs) throw new OutOfReachError(`the view does not get on: ${seen}`);
    await setTimeout(50);
  }
};

/** Every row of the merged answer, and its terms. */
export const checkAnswer = async (bus: Bus, expected: Expected, what: string): Promise<Checked> => {
  const { rows, terms } = await ask(bus);
  const found = differencesOf(rows, expected);
  const more: string[] = [];
  if (found.records !== sum(terms.position)) more.push(`msg_num sums to ${found.records}, the position to ${sum(terms.position)}`);
  if (found.records !== expected.accepted) more.push(`msg_num sums to ${found.records}, accepted were ${expected.accepted}`);
  if (terms.refused !== expected.refused) more.push(`${terms.refused} refused, counted ${expected.refused}`);
  if (terms.missing !== expected.missing) more.push(`${terms.missing} missing, counted ${expected.missing}`);
  return { ...found, what, differences: found.differences + more.length, examples: [...more, ...found.examples] };
};

/** The files of the batch view, and with `withParts` those of the parts beyond it, read by SQL. */
export const checkFiles = async (
  { sql, bus, folder }: { sql: Sql; bus: Bus; folder: string },
  batch: string | null,
  expected: Expected,
  withParts: boolean,
): Promise<Checked> => {
  const latest = batch === null ? undefined : await readLatest(folder, batch);
  const rows = new FileRows(sql);
  if (latest !== undefined) {
    const paths = latest.files.map(({ path, service }) => [join(folder, path), service] as const);
    await rows.add(
      paths.map(([path]) => path),
      new Map(paths),
    );
  }
  if (withParts) {
    const cut = latest?.cut ?? new Array<number>((await ask(bus, 1)).terms.position.length).fill(0);
    const { files } = await whenStored(bus, folder, cut, expected.accepted);
    await rows.add(files);
  }
  const what = `Parquet of ${[...(latest ? [`batch ${batch}`] : []), ...(withParts ? ['the parts'] : [])].join(' and ')}`;
  return { what, ...differencesOf(rows.rows(), expected) };
};

/** Parts are closed by time: waits until they hold everything. */
const whenStored = async (bus: Bus, folder: string, cut: readonly number[], records: number, tries = 300): Promise<{ files: string[] }> => {
  for (;;) {
    const parts = await partFiles(bus, folder, cut);
    if (sum(parts.position) >= records || --tries === 0) return parts;
    await setTimeout(100);
  }
};

/** The manifest's counts of refused readings, by service and reason, against the independent ones. */
export const checkRefused = async (folder: string, batch: string, expected: Expected): Promise<string[]> => {
  const { refused } = await readLatest(folder, batch);
  const wrong: string[] = [];
  const services = new Set([...Object.keys(refused), ...expected.refusedCounts.keys()]);
  for (const service of services) {
    const found = Object.hasOwn(refused, service) ? (refused[service] as Record<string, number>) : {};
    const counted = expected.refusedCounts.get(service) ?? new Map<string, number>();
    for (const reason of new Set([...Object.keys(found), ...counted.keys()])) {
      if (found[reason] !== counted.get(reason))
        wrong.push(`${JSON.stringify(service)}: ${reason}: ${found[reason] ?? 0}, counted ${counted.get(reason) ?? 0}`);
    }
  }
  return wrong;
};
