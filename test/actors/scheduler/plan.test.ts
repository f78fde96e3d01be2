import fc from 'fast-check';
import t from 'tap';
import {
  addCommit,
  chooseBuckets,
  chooseCut,
  chooseInputs,
  type Dates,
  dateOfRawPath,
  isCountable,
  nextBatchId,
  type RawFile,
  splitTasks,
} from '../../../actors/scheduler/plan.js';
import type { RawInput } from '../../../protocol/messages/batch.js';
import type { RawStored } from '../../../protocol/messages/raw-stored.js';
import { type Position, sumPosition } from '../../../protocol/range.js';

t.test('S2: the cut is the newest end of a stored part at or below the committed offset', (t) => {
  const cases: [from: Position, partEnds: number[][], committed: Position, cut: Position][] = [
    [[0], [], [0], [0]],
    [[0], [[10, 20, 30]], [30], [30]],
    [[0], [[10, 20, 30]], [29], [20]],
    [[0], [[10, 20, 30]], [9], [0]],
    [[0], [[10, 20, 30]], [100], [30]],
    [[20], [[10, 20]], [100], [20]],
    [[20], [[30]], [25], [20]],
    [[20], [[10]], [10], [20]],
    [
      [0, 5],
      [[10], [6, 7]],
      [10, 6],
      [10, 6],
    ],
    [[0, 5], [[10]], [10, 6], [10, 5]],
  ];
  for (const [from, partEnds, committed, cut] of cases)
    t.same(chooseCut(from, partEnds, committed), cut, JSON.stringify({ from, partEnds, committed }));
  t.end();
});

/** A made-up log: each record's date; where commits, parts and cuts end; when a writer began anew. */
interface Log {
  readonly dates: readonly string[];
  readonly commits: readonly RawStored[];
  /** Path to the offsets in it, each with its bytes. */
  readonly files: ReadonlyMap<string, { offset: number; fromByte: number; toByte: number }[]>;
}

const days = ['2026-11-21', '2026-11-22', '2026-11-23'];
const lineBytes = 10;

const makeLog = (partition: number, dates: readonly string[], commitEnds: readonly number[], newWriterAt: ReadonlySet<number>): Log => {
  const files = new Map<string, { offset: number; fromByte: number; toByte: number }[]>();
  const open = new Map<string, string>();
  const commits: RawStored[] = [];
  let from = 0;
  for (const [i, to] of commitEnds.entries()) {
    if (newWriterAt.has(i)) open.clear();
    const inCommit = new Map<string, number[]>();
    for (let offset = from; offset < to; offset++) {
      const date = dates[offset] as string;
      inCommit.set(date, [...(inCommit.get(date) ?? []), offset]);
    }
    commits.push({
      partition,
      from,
      to,
      segments: { sequence: i + 1, chain: '' },
      files: [...inCommit].map(([date, offsets]) => {
        const path = open.get(date) ?? `raw/${date}/${partition}-${offsets[0]}-${i}.ndjson`;
        open.set(date, path);
        const lines = files.get(path) ?? [];
        files.set(path, lines);
        const fromByte = lines.length * lineBytes;
        for (const offset of offsets) lines.push({ offset, fromByte: lines.length * lineBytes, toByte: (lines.length + 1) * lineBytes });
        return {
          path,
          fromByte,
          toByte: lines.length * lineBytes,
          sha256: '',
          records: offsets.length,
          minuteMin: 0,
          minuteMax: 0,
        };
      }),
    });
    from = to;
  }
  return { dates, commits, files };
};

const log = (partition: number) =>
  fc
    .record({
      dates: fc.array(fc.constantFrom(...days), { minLength: 1, maxLength: 60 }),
      ends: fc.array(fc.nat({ max: 1_000 }), { minLength: 1, maxLength: 8 }),
      newWriterAt: fc.array(fc.nat({ max: 8 }), { maxLength: 3 }),
    })
    .map(({ dates, ends, newWriterAt }) => {
      const commitEnds = [...new Set([...ends.map((end) => 1 + (end % dates.length)), dates.length])].sort((a, b) => a - b);
      return makeLog(partition, dates, commitEnds, new Set(newWriterAt));
    });

/** The records that the inputs name: whose bytes are in a range, and whose offset is in its bounds. A record twice is two. */
const named = (inputs: readonly RawInput[], logs: readonly Log[]): string[] =>
  inputs
    .flatMap((input) =>
      (logs[input.partition]?.files.get(input.path) ?? [])
        .filter(
          ({ offset, fromByte, toByte }) =>
            fromByte >= input.fromByte && toByte <= input.toByte && offset >= input.from && offset < input.to,
        )
        .map(({ offset }) => `${input.partition}/${offset}`),
    )
    .sort();

/** The same when the whole file is read in place, as the mapper may: only the offsets bound it. */
const namedInPlace = (inputs: readonly RawInput[], logs: readonly Log[]): string[] => {
  const whole = inputs.map((input) => ({ ...input, fromByte: 0, toByte: input.fileBytes }));
  return named(whole, logs);
};

/** What a batch over [from, cut) has to read, by brute force. */
const wanted = (logs: readonly Log[], from: Position, cut: Position, dates: Dates): string[] =>
  logs
    .flatMap(({ dates: of }, p) =>
      of.flatMap((date, offset) => {
        const isNew = offset >= (from[p] as number) && offset < (cut[p] as number);
        const isAgain = offset < (cut[p] as number) && (dates === 'all' || dates.includes(date));
        return isNew || isAgain ? [`${p}/${offset}`] : [];
      }),
    )
    .sort();

/** What the scheduler knows at a base: files below it by whole commits, the other commits. */
const knownAt = (logs: readonly Log[], from: Position) => {
  const files = new Map<string, RawFile>();
  const commits: RawStored[] = [];
  for (const commit of logs.flatMap((one) => one.commits)) {
    if (commit.to <= (from[commit.partition] as number)) addCommit(files, commit, 'index');
    else commits.push(commit);
  }
  return { files, commits };
};

const given = fc
  .record({
    logs: fc.tuple(log(0), log(1)),
    cuts: fc.array(fc.tuple(fc.nat({ max: 1_000 }), fc.nat({ max: 1_000 })), { minLength: 1, maxLength: 5 }),
  })
  .map(({ logs, cuts }) => {
    const ends = [0, 1].map((p) => cuts.map((cut) => (cut[p] as number) % ((logs[p] as Log).dates.length + 1)).sort((a, b) => a - b));
    return { logs, cuts: cuts.map((_, i): Position => [ends[0]?.[i] as number, ends[1]?.[i] as number]) };
  });

t.test('S2: batches one after another name each record once, wherever commits and cuts lie', (t) => {
  let straddled = 0;
  fc.assert(
    fc.property(given, ({ logs, cuts }) => {
      let from: Position = [0, 0];
      const all: string[] = [];
      for (const cut of cuts) {
        const { files, commits } = knownAt(logs, from);
        const groups = chooseInputs(from, cut, [], files, commits);
        const inputs = splitTasks(groups).flat();
        t.same(named(inputs, logs), wanted(logs, from, cut, []));
        t.same(namedInPlace(inputs, logs), wanted(logs, from, cut, []), 'a file read in place');
        t.equal(
          inputs.reduce((sum, { records }) => sum + records, 0),
          sumPosition(cut) - sumPosition(from),
          'what the commits promise',
        );
        straddled += commits.filter((commit) => commit.from < (from[commit.partition] as number)).length;
        all.push(...named(inputs, logs));
        from = cut;
      }
      return new Set(all).size === all.length && all.length === sumPosition(from);
    }),
    { numRuns: 300 },
  );
  t.ok(straddled > 50, `commits with a cut in them: ${straddled}`);
  t.end();
});

t.test('S2: what is recomputed names every record of its dates once, and the new ones of others', (t) => {
  const dates = fc.oneof(fc.constant('all' as const), fc.subarray(days, { minLength: 1 }));
  let countable = 0;
  fc.assert(
    fc.property(given, dates, ({ logs, cuts }, chosen) => {
      const from = cuts[0] as Position;
      const cut = cuts.at(-1) as Position;
      const { files, commits } = knownAt(logs, from);
      if (!isCountable(from, chosen, commits)) return chosen !== 'all';
      countable += 1;
      const inputs = splitTasks(chooseInputs(from, cut, chosen, files, commits)).flat();
      const expected = wanted(logs, from, cut, chosen);
      t.same(named(inputs, logs), expected);
      t.same(namedInPlace(inputs, logs), expected, 'a file read in place');
      t.equal(
        inputs.reduce((sum, { records }) => sum + records, 0),
        expected.length,
        'what the commits promise',
      );
      return true;
    }),
    { numRuns: 400 },
  );
  t.ok(countable > 100, `${countable} could be counted`);
  t.end();
});

t.test("isCountable: not where the base's cut lies within a commit of which some dates, not all, are recomputed", (t) => {
  const commit = (from: number, to: number, ...dates: string[]): RawStored => ({
    partition: 0,
    from,
    to,
    segments: { sequence: 1, chain: '' },
    files: dates.map((date) => ({
      path: `raw/${date}/x`,
      fromByte: 0,
      toByte: 1,
      sha256: '',
      records: 1,
      minuteMin: 0,
      minuteMax: 0,
    })),
  });
  const [a, b] = days as [string, string];
  t.ok(isCountable([5], [a], [commit(0, 10, a)]));
  t.notOk(isCountable([5], [a], [commit(0, 10, a, b)]));
  t.ok(isCountable([5], [a, b], [commit(0, 10, a, b)]));
  t.ok(isCountable([5], [], [commit(0, 10, a, b)]));
  t.ok(isCountable([5], 'all', [commit(0, 10, a, b)]));
  t.ok(isCountable([10], [a], [commit(0, 10, a, b), commit(10, 20, a, b)]), 'the cut lies between two');
  t.end();
});

t.test('tasks are of bounded size, and a group stays together', (t) => {
  const MiB = 2 ** 20;
  const input = (bytes: number): RawInput => ({
    path: 'raw/2026-11-21/x',
    partition: 0,
    fromByte: 0,
    toByte: bytes,
    fileBytes: bytes,
    from: 0,
    to: 1,
    records: 1,
  });
  const sizes = (groups: RawInput[][]) => splitTasks(groups).map((task) => task.map(({ toByte }) => toByte / MiB));
  t.same(sizes([]), []);
  t.same(sizes([[input(100 * MiB)], [input(156 * MiB)], [input(MiB)]]), [[100, 156], [1]]);
  t.same(sizes([[input(100 * MiB)], [input(100 * MiB), input(100 * MiB)], [input(MiB)]]), [[100], [100, 100, 1]]);
  t.same(sizes([[input(MiB)], [input(300 * MiB)], [input(MiB)]]), [[1], [300], [1]]);
  t.same(
    splitTasks(Array.from({ length: 2_500 }, () => [input(1)])).map((task) => task.length),
    [1_000, 1_000, 500],
  );
  t.equal(chooseBuckets([]), 1);
  t.equal(chooseBuckets([[input(256 * MiB)]]), 1);
  t.equal(chooseBuckets([[input(257 * MiB)]]), 2);
  t.equal(chooseBuckets([[input(1e6 * MiB)]]), 16);
  t.same(splitTasks([[input(2)], [input(1)], [input(3)]], 3).length, 2, 'of another size');
  t.equal(chooseBuckets([[input(7)]], 3), 3);
  t.end();
});

t.test('names', (t) => {
  t.equal(dateOfRawPath('raw/2026-11-21/0-000000000001-ab.ndjson'), '2026-11-21');
  t.same([null, '000001', '000099', '999999', '1000000'].map(nextBatchId), ['000001', '000002', '000100', '1000000', '1000001']);
  t.end();
});
