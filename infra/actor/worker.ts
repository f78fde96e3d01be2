/**
 * A worker: an actor that takes tasks from a queue that any number of workers share. A task is acknowledged when its output
 * is there and said; its output depends on the task alone, so doing it twice is harmless.
 */
import type { ActorName, MessageName } from '../../protocol/catalogue.js';
import type { Bus, Task } from '../bus/bus.js';
import { crashPoint } from '../crash-point.js';
import { FileMissingError, messageOf, PromiseError, RetryableError } from '../errors.js';
import type { Env } from './env.js';
import { aborted, baseStatus, newInstance, type RunningActor, type WorldOfActors } from './host.js';
import { Trouble } from './trouble.js';

export interface WorkerDefinition<T extends { batch: string; task: number }> {
  readonly name: ActorName;
  readonly takes: MessageName;
  readonly produces: MessageName;
  readonly fails: MessageName;
  readonly read: (body: Uint8Array) => T;
  /** A task of a batch that is not open any more is left out. */
  readonly isOpen: (bus: Bus, task: T) => Promise<boolean>;
  readonly work: (task: T, env: Env) => Promise<unknown>;
}

/** The disk for files that are being made is full: there may be room later. */
const isNoRoom = (error: unknown): boolean => (error as { code?: unknown }).code === 'ENOSPC';

/** Starts a worker on this instance; see hostFold. */
export const hostWorker = <T extends { batch: string; task: number }>(
  worker: WorkerDefinition<T>,
  world: WorldOfActors,
  stop: AbortSignal,
): RunningActor => {
  const instance = newInstance();
  const log = world.log.child({ actor: worker.name, instance });
  const ackWaitMs = world.settings.taskAgainMs;
  const counts = { done: 0, failed: 0, left: 0 };
  let state = 'standby';
  let isAlive = false;
  let trouble: string | undefined;
  const retried = new Trouble();

  const run = async (): Promise<void> => {
    let pauseMs = 50;
    while (!stop.aborted) {
      let bus: Bus | undefined;
      try {
        bus = await world.openBus(`${worker.name} ${instance}`);
        const tasks = await bus.tasks('BATCH', worker.name, worker.takes, { ackWaitMs });
        isAlive = true;
        trouble = undefined;
        const closing = aborted(stop).then(() => tasks.close());
        closing.catch(() => undefined);
        for await (const task of tasks) {
          await handle(task, { ...world, bus, log, instance });
          pauseMs = 50;
          if (stop.aborted) break;
        }
      } catch (error) {
        trouble = messageOf(error);
        log.warn({ reason: trouble }, 'queue lost, joins again');
      } finally {
        isAlive = false;
        await bus?.close();
      }
      if (!stop.aborted) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      pauseMs = Math.min(2_000, pauseMs * 2);
    }
    state = 'stopping';
  };

  const handle = async (task: Task, env: Env): Promise<void> => {
    const assigned = worker.read(task.message.body);
    const { batch, task: number } = assigned;
    if (!(await worker.isOpen(env.bus, assigned))) {
      counts.left += 1;
      await task.done();
      return;
    }
    const still = setInterval(() => task.working(), ackWaitMs / 5);
    state = 'working';
    try {
      crashPoint(`${worker.name}.${worker.takes}.before`);
      const done = await worker.work(assigned, env);
      crashPoint(`${worker.name}.${worker.produces}.before`);
      await env.bus.publish(worker.produces, JSON.stringify(done), { id: `${worker.produces}-${batch}-${number}` });
      crashPoint(`${worker.name}.${worker.produces}.after`);
      await task.done();
      counts.done += 1;
      log.info({ batch, task: number }, worker.produces);
    } catch (error) {
      if (error instanceof RetryableError || isNoRoom(error)) {
        log.warn({ batch, task: number, reason: messageOf(error) }, 'task will be retried');
        retried.note(error);
        task.release(1_000);
        return;
      }
      counts.failed += 1;
      const known = error instanceof PromiseError || error instanceof FileMissingError;
      log.error({ batch, task: number, reason: messageOf(error), ...(known ? {} : { stack: (error as Error).stack }) }, worker.fails);
      await env.bus.publish(worker.fails, JSON.stringify({ batch, task: number, reason: messageOf(error) }));
      await task.done();
    } finally {
      clearInterval(still);
      state = 'standby';
    }
  };

  const ended = run();
  return {
    name: worker.name,
    instance,
    ended,
    status: () => ({ ...baseStatus(worker.name, instance, state), counts: { ...counts }, ...retried.shown }),
    shares: () => [{ partition: 0, life: 0, counts, isAlive, trouble }],
  };
};
