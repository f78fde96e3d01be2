/** What is wrong, in words that say what to look at. Pure. */
import type { ActorShown, Status } from './status.js';

/** These refuse when full: sources are told, and keep their readings. */
const refusingStreams = /^(METRICS|SEGMENTS-\d+|STORED|BATCH)$/;
const fillMax = 0.8;
const lagSecondsMax = 10;
/** Parts are closed and batches run far apart; what an uploader has waits for a second at most. */
const lagging = new Set(['buffer', 'uploader', 'windower', 'merger']);
const perPartition = ['buffer', 'uploader', 'windower'];
const others = ['scheduler', 'mapper', 'reducer', 'merger'];

const name = ({ actor, instance, pid }: ActorShown): string => `${actor} ${instance} (pid ${pid})`;

/** 0-2, 5 */
export const formatNumbers = (numbers: readonly number[]): string => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const groups: [number, number][] = [];
  for (const number of sorted) {
    const last = groups.at(-1);
    if (last !== undefined && last[1] + 1 === number) last[1] = number;
    else groups.push([number, number]);
  }
  return groups.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(', ');
};

/** @param partitions how many there are; 0: not known */
export const findProblems = (status: Omit<Status, 'problems'>, partitions: number): string[] => {
  const problems: string[] = [];
  if (status.streams === null) problems.push('the NATS server does not answer: nothing is taken, and nobody can ask');
  for (const actor of status.actors) {
    if (actor.state === 'failed') problems.push(`${name(actor)} stopped: ${actor.error ?? 'it does not say why'}`);
    if (actor.trouble !== undefined) {
      problems.push(
        actor.actor === 'nats-server'
          ? `nats-server (pid ${actor.pid}) is not well: ${actor.trouble}. If its disk is full: make room, then start it again`
          : `${name(actor)} tries again: ${actor.trouble}`,
      );
    }
    if (actor.state === 'gone') {
      const silent = actor.silentSeconds > 0 ? `, silent for ${Math.round(actor.silentSeconds)} s` : '';
      problems.push(`${name(actor)} is gone${silent}`);
    }
  }
  problems.push(...unowned(status.actors, partitions));
  const { proved } = status;
  if (proved !== null && proved.differences > 0 && !proved.repaired) {
    problems.push(`batch ${proved.batch} differs in ${proved.differences} rows from what it should replace: run \`tidemark rebuild\``);
  }
  for (const { name: stream, bytes, bytesMax } of status.streams ?? []) {
    if (bytesMax > 0 && bytes > bytesMax * fillMax && refusingStreams.test(stream)) {
      problems.push(`${stream} is ${Math.round((100 * bytes) / bytesMax)} % full: when it is full it refuses what is new`);
    }
  }
  for (const actor of status.actors) {
    const seconds = actor.lag?.seconds ?? 0;
    if (lagging.has(actor.actor) && seconds > lagSecondsMax) problems.push(`${name(actor)} is ${Math.round(seconds)} s behind`);
  }
  const missing = Object.entries(status.missing ?? {});
  if (missing.length > 0) {
    const readings = missing.reduce((sum, [, count]) => sum + count, 0);
    problems.push(
      `${readings} readings of ${missing.length === 1 ? JSON.stringify(missing[0]?.[0]) : `${missing.length} services`} are missing: ` +
        'later ones of the same source came',
    );
  }
  return [...problems, ...status.unread.map((what) => `could not be read: ${what}`)];
};

/** Partitions and roles on which nobody works. */
const unowned = (actors: readonly ActorShown[], partitions: number): string[] => {
  if (partitions === 0) return [];
  const working = actors.filter(({ state }) => state === 'working' || state === 'starting');
  const all = Array.from({ length: partitions }, (_, p) => p);
  const found: string[] = [];
  for (const role of perPartition) {
    const owned = new Set(working.filter(({ actor }) => actor === role).flatMap((one) => one.partitions));
    const free = all.filter((p) => !owned.has(p));
    if (free.length === partitions) found.push(`no ${role} works`);
    else if (free.length > 0) found.push(`no ${role} works on partition ${formatNumbers(free)}`);
  }
  for (const role of others) {
    if (!actors.some(({ actor, state }) => actor === role && ['working', 'starting', 'standby'].includes(state)))
      found.push(`no ${role} works`);
  }
  if (actors.some(({ actor }) => actor === 'scheduler') && !working.some(({ actor }) => actor === 'scheduler')) {
    if (!found.includes('no scheduler works')) found.push('no scheduler leads');
  }
  return found;
};
