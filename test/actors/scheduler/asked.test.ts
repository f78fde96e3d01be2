/** How long a batch that somebody asked for waits, and whom it answers. The clock is the test's. */
import t from 'tap';
import { noteProgress, onAsked, startAsked } from '../../../actors/scheduler/asked.js';
import { emptyBase, noteCommit, notePart, type SchedulerState } from '../../../actors/scheduler/state.js';
import type { Env } from '../../../infra/actor/env.js';
import type { Output, Step } from '../../../infra/actor/output.js';
import type { PlainMessage } from '../../../infra/bus/bus.js';
import { noChain } from '../../../protocol/messages/segment-sealed.js';

const sha256 = 'a'.repeat(64);

const openState = (): SchedulerState => ({
  partitions: 2,
  taskBytesMax: 1e6,
  base: emptyBase(2),
  files: new Map(),
  commits: [[], []],
  parts: [[], []],
  committed: [0, 0],
  lastCommit: [0, 0],
  lastPart: [0, 0],
  requestedSequence: 0,
  isSwept: true,
  recomputeAt: 0,
  open: undefined,
  unproved: undefined,
  differing: undefined,
  orphan: undefined,
  lastBatch: null,
  dueAt: 0,
  asked: [],
  counts: { batches: 0, proved: 0, abandoned: 0, differences: 0 },
});

const play = () => {
  const state = openState();
  const answers: Record<string, unknown> = {};
  const done = async (outputs: readonly Output[]): Promise<void> => {
    for (const output of outputs) if (output.do === 'work' && /answer/.test(output.what)) await output.run({} as Env);
  };
  return {
    state,
    answers,
    /** Somebody asks when the segments end at `target`. */
    ask: async (name: string, target: readonly number[], now: number, question: object = { kind: 'batch' }): Promise<void> => {
      const respond = (body: string): void => {
        answers[name] = JSON.parse(body);
      };
      const [, outputs] = onAsked(state, { body: Buffer.from(JSON.stringify(question)), respond } as unknown as PlainMessage, now);
      await done(outputs);
      const asked = state.asked.at(-1);
      if (asked !== undefined) asked.target ??= [...target];
    },
    /** Everything of a partition up to `to` is committed and in parts. */
    store: (partition: number, from: number, to: number): void => {
      const path = `raw/2026-11-23/${partition}-000000000000-w.ndjson`;
      const bytes = { path, fromByte: from, toByte: to, sha256, records: to - from, minuteMin: 0, minuteMax: 0 };
      const segments = { sequence: to, chain: noChain };
      noteCommit(state, { partition, from, to, files: [bytes], segments, sequence: to });
      const file = { path: `views/realtime/${partition}/${from}-${to}`, bytes: 1, sha256 };
      notePart(state, { partition, from, to, file, rows: 1, refused: {}, missing: {}, segments, sequence: to });
    },
    check: async (now: number): Promise<readonly Output[]> => {
      noteProgress(state, now);
      const step: Step<SchedulerState> | undefined = state.open === undefined ? startAsked(state, now) : undefined;
      await done(step?.[1] ?? []);
      return step?.[1] ?? [];
    },
    /** What was open is over. */
    close: (): void => {
      state.open = undefined;
    },
  };
};

t.test('a batch waits as long as what it waits for comes nearer, and starts without the rest when nothing has come for 15 s', async (t) => {
  const { state, answers, ask, store, check } = play();
  await ask('A', [110, 50], 0);
  store(0, 0, 10);
  for (let now = 0; now < 100_000; now += 10_000) {
    store(0, now / 1_000 + 10, now / 1_000 + 20);
    const outputs = await check(now);
    t.match(outputs, [{ do: 'tell', subject: 'part.asked' }], `parts are asked for after ${now / 1_000} s`);
  }
  t.same(answers, {});
  await check(104_000);
  t.same(answers, {});
  await check(105_000);
  t.same(answers, { A: { batch: '000001' } });
  t.same(state.open?.requested.cut, [110, 0], 'partition 1 stored nothing');
});

t.test('a batch starts as soon as all is there', async (t) => {
  const { answers, ask, store, check } = play();
  await ask('A', [10, 5], 0);
  store(0, 0, 10);
  await check(250);
  t.same(answers, {});
  store(1, 0, 7);
  await check(500);
  t.same(answers, { A: { batch: '000001' } });
});

t.test('whoever asked later, for more than is there, is answered by the next batch', async (t) => {
  const { state, answers, ask, store, check, close } = play();
  await ask('A', [10, 0], 0);
  await ask('B', [10, 0], 5);
  await ask('C', [20, 0], 10);
  store(0, 0, 10);
  await check(250);
  t.same(answers, { A: { batch: '000001' }, B: { batch: '000001' } });
  t.same(state.open?.requested.cut, [10, 0]);
  store(0, 10, 20);
  await check(500);
  t.notOk('C' in answers, 'one is open');
  close();
  await check(750);
  t.same(answers.C, { batch: '000002' });
});

t.test('a batch that was open for long does not count as silence', async (t) => {
  const { state, answers, ask, store, check, close } = play();
  store(0, 0, 10);
  await ask('A', [10, 0], 0);
  await check(250);
  t.same(answers, { A: { batch: '000001' } });
  await ask('B', [30, 0], 300);
  store(0, 10, 20);
  await check(14_000);
  close();
  await check(20_000);
  t.notOk('B' in answers, 'something came 6 s ago');
  store(0, 20, 30);
  await check(20_250);
  t.same(answers.B, { batch: '000002' });
  t.same(state.open?.requested.cut, [30, 0]);
});

t.test('when nothing of what is new is stored, the answer names the partitions; it does not say that nothing is new', async (t) => {
  const { answers, ask, store, check } = play();
  store(0, 0, 10);
  await ask('A', [10, 5], 0);
  await check(0);
  await check(15_000);
  t.same(answers.A, { batch: '000001' });
  const other = play();
  await other.ask('B', [3, 5], 0);
  await other.check(14_999);
  t.same(other.answers, {});
  await other.check(15_000);
  t.match(other.answers.B, { batch: null, error: /what is new in partitions 0, 1 was not stored within 15 s: `tidemark status`/ });
  await other.ask('C', [0, 0], 20_000);
  await other.check(20_000);
  t.same(other.answers.C, { batch: null }, 'here it is true');
});

t.test('a question that is put again keeps its target and is answered once, where it was put last', async (t) => {
  const { state, answers, ask, store, check } = play();
  const question = { kind: 'batch', id: 'q1' };
  await ask('first', [10, 0], 0, question);
  await ask('again', [20, 0], 20_000, question);
  t.equal(state.asked.length, 1);
  store(0, 0, 10);
  await check(20_000);
  t.same(answers, { again: { batch: '000001' } });
});

t.test('a question that is none is told so', async (t) => {
  const { state, answers, ask } = play();
  await ask('A', [], 0, { kind: 'all' });
  t.match(answers.A, { batch: null, error: /batch\.asked/ });
  t.same(state.asked, []);
});
