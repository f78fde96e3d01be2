/**
 * The sources of an import. A file's lines go to `laneCount` sources in turn, so that all partitions are used.
 *
 * Their subjects are the same for every file and every number of partitions, and their agents are named by the file's
 * content and the lane: so an import that is run again, be it on data that has another number of partitions by now, is
 * the same sources again.
 */

import { isUtf8 } from 'node:buffer';
import { partitionOf } from '../../protocol/name-code.js';
import { isAgent, isReadingNumber } from '../../protocol/reading.js';

export const laneCount = 16;

/**
 * Lane i has a subject whose hash leaves i when divided by 5040; then it leaves i mod P for each P that divides 5040,
 * which all from 1 to 10 do, and 12, 14, 15 and 16: lane i lies in partition i mod P.
 */
const hashModulus = 5040;

const findSubject = (lane: number): string => {
  for (let k = 0; ; k++) {
    const subject = `metrics.import-${lane}-${k}`;
    if (partitionOf(subject, hashModulus) === lane) return subject;
  }
};

let subjects: readonly string[] | undefined;

export const laneSubjects = (): readonly string[] => {
  subjects ??= Array.from({ length: laneCount }, (_, lane) => findSubject(lane));
  return subjects;
};

/** @param content sha256 of the file, in hex. */
export const laneAgent = (content: string, lane: number): string => `import-${content.slice(0, 32)}-${lane}`;

export interface Identity {
  agent: string;
  n: number;
}

/** The identity that a line brings itself; it goes before the import's. */
export const identityIn = (line: Buffer): Identity | undefined => {
  if (!line.includes('agent') && !line.includes('\\u')) return undefined; // the usual line costs no parsing
  try {
    if (!isUtf8(line)) return undefined; // it will be refused
    const fields = JSON.parse(line.toString('utf8')) as Partial<Identity> | null;
    return isAgent(fields?.agent) && isReadingNumber(fields?.n) ? { agent: fields.agent, n: fields.n } : undefined;
  } catch {
    return undefined;
  }
};

/** Lines of one source of its own stay together: a source is a subject and an agent, so its copies must meet there. */
export const laneOfAgent = (agent: string): number => partitionOf(agent, laneCount);
