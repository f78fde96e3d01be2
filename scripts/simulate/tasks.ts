/** The queue of tasks, and workers that take from it: a task may be handed out twice, also after it was done. */
import { FileMissingError, messageOf, PromiseError } from '../../infra/errors.js';
import { readBatchRequested, readRangeAssigned, readServicesAssigned } from '../../protocol/messages/readers.js';
import type { Connection } from './connection.js';
import type { StoredMessage } from './log.js';
import { Violation } from './oracle.js';
import type { SimulatedServer } from './server.js';
import type { Simulation } from './simulation.js';
import { mapRange, reduceServices } from './workers.js';

/** Handed out again after so long without an answer. */
const ackWaitMs = 2_000;

export class TaskQueue {
  private readonly done = new Set<number>();
  private readonly handed = new Map<number, number>();
  private readonly open: Record<'range' | 'services', StoredMessage[]> = { range: [], services: [] };
  private seen = 0;

  constructor(private readonly server: SimulatedServer) {}

  waiting(kind: string): StoredMessage[] {
    const { time } = this.server;
    const open = this.openOf(kind);
    return open.length === 0
      ? open
      : open.filter(({ sequence }) => (this.handed.get(sequence) ?? Number.NEGATIVE_INFINITY) < time - ackWaitMs);
  }

  /** Assigned, not done and not purged: the log is read only from where it was read before. */
  private openOf(kind: string): StoredMessage[] {
    const { messages, last } = this.server.log('BATCH');
    if (last > this.seen) {
      for (const message of messages) {
        if (message.sequence <= this.seen) continue;
        if (message.subject === 'range.assigned') this.open.range.push(message);
        if (message.subject === 'services.assigned') this.open.services.push(message);
      }
      this.seen = last;
    }
    const open = this.open[kind as 'range' | 'services'];
    if (open.length === 0) return open;
    const still = open.filter((message) => !this.done.has(message.sequence) && messages.includes(message));
    this.open[kind as 'range' | 'services'] = still;
    return still;
  }

  all(kind: string): StoredMessage[] {
    return this.server.log('BATCH').messages.filter(({ subject }) => subject === `${kind}.assigned`);
  }

  hand({ sequence }: StoredMessage): void {
    this.handed.set(sequence, this.server.time);
  }

  finish({ sequence }: StoredMessage): void {
    this.done.add(sequence);
  }
}

export class Worker {
  connection: Connection;
  pausedUntil = 0;
  isBusy = false;
  private lives = 0;

  constructor(
    private readonly simulation: Simulation,
    private readonly kind: 'range' | 'services',
    private readonly index: number,
  ) {
    this.connection = this.open();
  }

  private open(): Connection {
    this.lives += 1;
    return this.simulation.openWorkshop(`${this.kind} worker ${this.index}.${this.lives}`);
  }

  candidates(found: (() => void)[]): void {
    const { simulation, connection, kind } = this;
    if (this.pausedUntil > simulation.step) return;
    if (connection.isClosed) this.again();
    simulation.candidatesOf(this.connection, found);
    if (this.isBusy) return;
    const { queue, random } = simulation;
    const waiting = queue.waiting(kind);
    const all = simulation.isFaulty && random.next() < simulation.shape.again ? queue.all(kind) : [];
    const tasks = all.length > 0 ? all : waiting;
    if (tasks.length > 0) found.push(() => this.take(random.pick(tasks)));
  }

  /** The process is another one from now on. */
  again(): void {
    this.connection.isDead = true;
    this.connection = this.open();
    this.isBusy = false;
  }

  private take(message: StoredMessage): void {
    const { simulation, connection } = this;
    simulation.queue.hand(message);
    simulation.say(`${connection.name} takes ${message.subject} ${message.sequence}`);
    this.isBusy = true;
    this.work(message, connection)
      .catch((error: unknown) => {
        simulation.say(`${connection.name}: ${messageOf(error)}`);
      })
      .finally(() => {
        if (this.connection === connection) this.isBusy = false;
      });
  }

  private async work(message: StoredMessage, connection: Connection): Promise<void> {
    const { simulation, kind } = this;
    const { bus } = connection;
    const task = kind === 'range' ? readRangeAssigned(message.body) : readServicesAssigned(message.body);
    const last = await bus.last('BATCH', 'batch.*');
    const isOpen = last?.subject === 'batch.requested' && readBatchRequested(last.body).batch === task.batch;
    if (!isOpen && !simulation.without('S3')) {
      simulation.queue.finish(message);
      return;
    }
    const workshop = {
      storage: simulation.files.storageOf(connection),
      files: simulation.files,
      newName: () => simulation.newName(),
      without: (rule: string) => simulation.options.without === rule,
    };
    const named = { batch: task.batch, task: task.task };
    try {
      const done = 'buckets' in task ? await reduceServices(task, workshop) : await mapRange(task, workshop);
      const said = kind === 'range' ? 'range.mapped' : 'services.reduced';
      await bus.publish(said, JSON.stringify(done), { id: `${said}-${task.batch}-${task.task}` });
    } catch (error) {
      if (error instanceof Violation) throw error;
      if (!(error instanceof PromiseError || error instanceof FileMissingError)) throw error; // handed out again
      await bus.publish(`${kind}.failed`, JSON.stringify({ ...named, reason: messageOf(error) }));
    }
    simulation.queue.finish(message);
  }
}
