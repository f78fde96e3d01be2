/** Runs one seed: a while with faults, then without until everything has drained. */
import type { MergerState } from '../../actors/merger/state.js';
import { positionOf } from '../../actors/merger/view.js';
import { segmentsStream } from '../../infra/bus/streams.js';
import { messageOf } from '../../infra/errors.js';
import { samePosition } from '../../protocol/range.js';
import { seedChance } from './chance.js';
import type { Act } from './connection.js';
import { Violation } from './oracle.js';
import { partitions } from './settings.js';
import { Simulation, type SimulationOptions } from './simulation.js';

export interface Outcome {
  readonly seed: number;
  readonly steps: number;
  readonly failure: { readonly kind: string; readonly message: string } | undefined;
  readonly counts: Readonly<Record<string, number>>;
}

/** Everything that can go on without another act goes on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const drainStepsMax = 12_000;

/** Some of what was under way lands all the same: in order, as it was sent. */
const landSome = (simulation: Simulation, sent: readonly Act[]): void => {
  simulation.late.push(...sent.slice(0, simulation.random.between(0, sent.length + 1)));
};

/** Each role as often as the others, however many of it there are. */
const victim = ({ random, lives, shape }: Simulation): Simulation['lives'][number] => {
  const role = random.pick(shape.struck);
  const ofRole = lives.filter(({ slot }) => slot.role === role);
  return random.pick(ofRole.length > 0 ? ofRole : lives);
};

const crash = (simulation: Simulation): void => {
  const { random } = simulation;
  if (random.next() < 0.15) {
    const worker = random.pick(simulation.workers);
    landSome(simulation, worker.connection.die().sent);
    worker.again();
    return;
  }
  if (simulation.lives.length > 0) crashLife(simulation, victim(simulation));
};

const crashLife = (simulation: Simulation, { slot, life }: Simulation['lives'][number]): void => {
  const { random } = simulation;
  const { sent, files } = life.connection.die();
  simulation.counts.crashes += 1;
  simulation.say(`CRASH ${life.name}`);
  landSome(simulation, sent);
  for (const act of files) {
    if (random.next() < 0.3) act.tear?.();
    else if (random.next() < 0.5) simulation.late.push(act);
  }
  slot.life = undefined;
  slot.restartAt = simulation.server.time + random.between(0, 2_000);
  const key = `${slot.role} ${slot.share}`;
  if (simulation.leases.get(key)?.slot === slot && random.next() < 0.5) simulation.leases.delete(key);
};

const powerCut = (simulation: Simulation): void => {
  const { random, server } = simulation;
  simulation.say('POWER CUT');
  simulation.counts.powerCuts += 1;
  simulation.oracle.mayDouble = true;
  const goesOn = simulation.without('F5');
  for (const { slot, life } of simulation.lives) {
    if (goesOn && slot.role === 'buffer') continue;
    landSome(simulation, life.connection.lose('power cut'));
  }
  // What was on its way ends with the server: no publish and no purge outlives it.
  const files = simulation.late.filter(({ what }) => !/^(publish|purge|tell|last|at|read [A-Z]|extent)/.test(what));
  simulation.late.splice(0, simulation.late.length, ...files);
  for (const log of server.logs.values()) {
    if (!log.isAsync) continue;
    for (const { body, subject } of log.loseTail(random.between(0, 7))) {
      if (!subject.startsWith('metrics.')) continue;
      for (const [, percent] of body.toString().matchAll(/"disk":([\d.e-]+)/g)) simulation.owed.delete(Math.round(Number(percent) * 1e6));
    }
  }
  server.time += random.between(1_000, 3_000);
  // Whoever could not publish meanwhile does it now: the numbers that were lost are given again.
  for (let left = random.pick([0, 3, 8]); left > 0; left--) publishSomething(simulation);
};

const fault = (simulation: Simulation): void => {
  const { random, shape, lives, sources } = simulation;
  if (lives.length === 0) return;
  for (const one of lives) if (simulation.doomed.delete(one.life.connection)) crashLife(simulation, one);
  if (random.next() < shape.powerCut) powerCut(simulation);
  if (random.next() < shape.fault) crash(simulation);
  if (random.next() < shape.fault && simulation.lives.length > 0) {
    const { life } = victim(simulation);
    simulation.counts.pauses += 1;
    life.pausedUntil = simulation.step + random.between(20, 600);
    simulation.say(`PAUSE ${life.name}`);
  }
  if (random.next() < shape.fault) {
    const busy = simulation.workers.filter(({ isBusy }) => isBusy);
    if (busy.length > 0) random.pick(busy).pausedUntil = simulation.step + random.between(20, 600);
  }
  if (random.next() < shape.fault / 2 && simulation.lives.length > 0) {
    const { slot, life } = victim(simulation);
    if (!(simulation.without('F5') && slot.role === 'buffer')) {
      simulation.counts.losses += 1;
      simulation.say(`CONNECTION LOST ${life.name}`);
      landSome(simulation, life.connection.lose('connection lost'));
    }
  }
  if (random.next() < shape.fault / 3 && simulation.lives.length > 0) victim(simulation).life.stop.abort();
  if (random.next() < shape.fault / 6) random.pick(sources).restart();
};

/** @returns whether anything was published */
const publishSomething = (simulation: Simulation): boolean => {
  const { random, sources, plain, isFaulty } = simulation;
  const waiting = plain.filter(({ isDone }) => !isDone);
  if (waiting.length > 0 && random.next() < 0.4) {
    const published = random.pick(waiting).next();
    simulation.publish(published, published.uids);
    return true;
  }
  // In the end only those that still wait, so that it comes soon.
  const source = random.pick(isFaulty ? sources : sources.filter(({ isDone }) => !isDone));
  let isPublished = false;
  for (let left = source?.isGappy ? 6 : 1; left > 0; left--) {
    const published = source?.next();
    if (published === undefined) break;
    simulation.publish(published);
    isPublished = true;
  }
  return isPublished;
};

const advance = (simulation: Simulation, ms: number): void => {
  simulation.server.time += ms;
  for (const { life } of simulation.lives) if (life.pausedUntil <= simulation.step) life.advance(simulation.server.time);
  simulation.tend();
};

const pass = (simulation: Simulation): void =>
  advance(simulation, simulation.random.pick(simulation.isFaulty ? [1, 5, 20, 50, 50, 150, 400] : [50, 150, 400]));

/** One of what could happen, or time passes. */
const act = (simulation: Simulation): void => {
  const candidates = simulation.candidates();
  if (candidates.length > 0) simulation.random.pick(candidates)();
  else pass(simulation);
};

const isWaiting = ({ sources, plain }: Simulation): boolean => [...sources, ...plain].some(({ isDone }) => !isDone);

const one = (simulation: Simulation): void => {
  const { random, shape, isFaulty } = simulation;
  if (isFaulty) fault(simulation);
  const chance = random.next();
  const publish = isFaulty ? shape.publish : isWaiting(simulation) ? 0.3 : 0;
  if (chance < publish && publishSomething(simulation)) return;
  if (chance < publish) act(simulation);
  else if (chance < publish + 0.01) {
    const mergers = simulation.lives.filter(({ slot, life }) => slot.role === 'merger' && life.pausedUntil <= simulation.step);
    if (mergers.length > 0) simulation.watch.ask(random.pick(mergers).life);
  } else if (chance < publish + 0.013) simulation.server.tell('batch.asked', Buffer.from('{"kind":"batch"}'));
  else if (chance < publish + (isFaulty ? 0.1 : 0.02)) pass(simulation);
  else act(simulation);
};

/** What is not where it should be; empty when everything has drained. */
const undrained = (simulation: Simulation): string[] => {
  const { oracle, sources, plain, owed, server, slots } = simulation;
  const { ends } = oracle;
  const left: string[] = [];
  if (!sources.every(({ isDone }) => isDone)) left.push('kept');
  if (!plain.every(({ isDone }) => isDone) || [...owed].some((uid) => !oracle.counted.has(uid))) left.push('plain');
  if (oracle.partitions.some(({ committed, records }) => committed !== records.length)) left.push('commits');
  if (oracle.partitions.some(({ stored, records }) => stored !== records.length)) left.push('parts');
  if (!samePosition(oracle.provedCut, ends)) left.push('batch');
  if (!oracle.isLatestCopied) left.push('latest.json');
  const mergers = slots.filter(({ role }) => role === 'merger');
  const isBehind = mergers.some(
    ({ life }) => life?.state === undefined || !samePosition(positionOf((life.state as MergerState).view), ends),
  );
  if (isBehind) left.push('mergers');
  if (Array.from({ length: partitions }, (_, p) => server.log(segmentsStream(p)).last).every((last) => last === 0))
    left.push('nothing sealed');
  return left;
};

const stateOf = (simulation: Simulation): string =>
  simulation.sources
    .filter(({ isDone }) => !isDone)
    .map(({ state }) => state)
    .join('; ');

const drainFaults = (simulation: Simulation): void => {
  simulation.say('NO MORE FAULTS');
  simulation.isFaulty = false;
  for (const { life } of simulation.lives) life.pausedUntil = 0;
  for (const worker of simulation.workers) worker.pausedUntil = 0;
};

export const runSeed = async (options: SimulationOptions): Promise<Outcome> => {
  const simulation = new Simulation(options);
  const back = seedChance(simulation.random);
  let failure: Violation | undefined;
  try {
    simulation.tend();
    const { faultySteps } = simulation.shape;
    for (; simulation.step < faultySteps + drainStepsMax; simulation.step++) {
      if (simulation.step === faultySteps) drainFaults(simulation);
      one(simulation);
      await turn();
      if (simulation.failure) throw simulation.failure;
      simulation.watch.check();
      if (simulation.step > faultySteps && simulation.step % 20 === 0 && undrained(simulation).length === 0) break;
    }
    const left = undrained(simulation);
    if (left.length > 0) throw new Violation(`not drained: ${left.join(', ')}`, stateOf(simulation));
    simulation.watch.checkAll();
  } catch (error) {
    failure = error instanceof Violation ? error : new Violation('simulation', `${messageOf(error)} ${(error as Error).stack}`);
  } finally {
    back();
    for (const { life } of simulation.lives) life.connection.die();
  }
  const { counts, step, oracle } = simulation;
  counts.batches = oracle.proofs;
  counts.records = oracle.counted.size;
  return { seed: options.seed, steps: step, failure: failure && { kind: failure.kind, message: failure.message }, counts };
};
