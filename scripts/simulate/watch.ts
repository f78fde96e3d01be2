/** What is asked and looked at while a simulation runs: every answer and every view against the oracle. */
import { realtimeTables } from '../../actors/merger/snapshot.js';
import type { MergerState } from '../../actors/merger/state.js';
import { positionOf, type View } from '../../actors/merger/view.js';
import { chunkHeader, parseChunk } from '../../protocol/messages/chunks.js';
import type { RowTuple } from '../../protocol/messages/row-tuple.js';
import type { Terms } from '../../protocol/messages/view.js';
import type { Life } from './life.js';
import { Violation } from './oracle.js';
import type { Simulation } from './simulation.js';
import { sweepWrongly } from './wrong-sweeps.js';

export class Watch {
  private readonly positions = new Map<Life, readonly number[]>();
  /** What was counted last of a merger's view: what did not change since then is not counted again. */
  private readonly looked = new WeakMap<Life, string>();

  private readonly simulation: Simulation;

  constructor(simulation: Simulation) {
    this.simulation = simulation;
  }

  /** Its life has ended. */
  forget(life: Life): void {
    this.positions.delete(life);
  }

  /** Asks a merger, as people do. */
  ask(life: Life): void {
    const { simulation } = this;
    const hearer = life.connection.hearers.find(({ subject }) => subject === 'view.asked');
    if (hearer === undefined) return;
    const chunks: { rows: RowTuple[]; terms: Terms }[] = [];
    const body = Buffer.from(JSON.stringify({ from: '2000-01-01', to: '2100-01-01', shape: 'tuples' }));
    hearer.heard({
      subject: 'view.asked',
      body,
      header: () => undefined,
      respond: (answer, headers) => {
        const chunk = JSON.parse(typeof answer === 'string' ? answer : Buffer.from(answer).toString('utf8')) as {
          rows: RowTuple[];
          terms: Terms;
          error?: string;
          code?: string;
        };
        if (chunk.error !== undefined) {
          if (chunk.code === 'E_PROMISE') simulation.failure ??= new Violation('not answered', `${life.name}: ${chunk.error}`);
          return;
        }
        chunks.push(chunk);
        if (chunks.length < (parseChunk(headers?.[chunkHeader] ?? '1/1')?.total ?? 1)) return;
        simulation.guarded(() => this.answered(life, chunks));
      },
    });
  }

  private answered(life: Life, chunks: readonly { rows: RowTuple[]; terms: Terms }[]): void {
    const { oracle, counts } = this.simulation;
    const { position } = (chunks[0] as { terms: Terms }).terms;
    counts.answers += 1;
    oracle.checkAnswer(
      chunks.flatMap(({ rows }) => rows),
      position,
      `answer of ${life.name}`,
    );
  }

  /** M1: the view of one merger never goes back; every tenth step it is counted by brute force. */
  check(): void {
    const { simulation } = this;
    const { oracle, slots, step } = simulation;
    const isThorough = step % 10 === 0;
    for (const { role, life } of slots) {
      if (role !== 'merger' || life?.state === undefined) continue;
      const { view, broken } = life.state as MergerState;
      if (broken !== undefined) oracle.fail('merger broken', `${life.name}: ${broken.reason}`);
      const position = positionOf(view);
      const key = simulation.without('M1 poll') ? undefined : life;
      const before = key === undefined ? [...this.positions.values()][0] : this.positions.get(key);
      if (before?.some((offset, p) => (position[p] as number) < offset)) {
        oracle.fail('view goes back', `${life.name}: ${position.join(',')} after ${before.join(',')}`);
      }
      if (key === undefined) this.positions.clear();
      this.positions.set(life, position);
      if (isThorough) this.look(view, life);
    }
    if (step % 100 === 0) oracle.checkBatch();
    if (step % 20 === 0) oracle.checkRaw();
    if (simulation.isFaulty) sweepWrongly(simulation);
  }

  private look(view: View, life: Life): void {
    const messages = realtimeTables(view).map((table) => table.messages);
    const seen = `${view.batch?.batch} ${positionOf(view).join(',')} ${messages.join(',')}`;
    if (seen === this.looked.get(life)) return;
    this.looked.set(life, seen);
    this.simulation.oracle.checkView(view, life.name);
  }

  /** In the end every view is counted, whatever was looked at before. */
  checkAll(): void {
    const { oracle, slots } = this.simulation;
    this.check();
    for (const { role, life } of slots) {
      if (role === 'merger' && life?.state !== undefined) oracle.checkView((life.state as MergerState).view, life.name);
    }
    oracle.checkBatch();
    oracle.checkRaw();
  }
}
