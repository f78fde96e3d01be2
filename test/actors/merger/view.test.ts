import fc from 'fast-check';
import t from 'tap';
import { MonthCache } from '../../../actors/merger/month-cache.js';
import { compareViews } from '../../../actors/merger/proof.js';
import { RowTable } from '../../../actors/merger/row-table.js';
import { termsOf } from '../../../actors/merger/terms.js';
import { applyProved, createView, cutOf, hasStored, lowerParts, positionOf } from '../../../actors/merger/view.js';
import type { Manifest } from '../../../protocol/messages/batch.js';
import { minuteMs } from '../../../protocol/minute-row.js';
import { reaches, sumPosition } from '../../../protocol/range.js';
import { countRows, makeManifest, type Partition, plain } from './flow.js';

import { Flow, Merger, partitionCount, proved, start } from './merger-model.js';

/** Rows, terms and invariants, against the count by brute force at the view's position. */
const check = (flow: Flow, merger: Merger): void => {
  const { view } = merger;
  const position = positionOf(view);
  const below = flow.below(position);
  const expected = plain(countRows(below));
  const actual = plain(merger.rows());
  if (expected.join('\n') !== actual.join('\n')) {
    throw new TypeError(`at ${position.join()} the rows are\n${actual.join('\n')}\nand should be\n${expected.join('\n')}`);
  }
  const terms = termsOf(view, undefined);
  const cut = cutOf(view);
  const lateBefore = view.batch === null ? 0 : Math.floor(view.batch.requestedAt / minuteMs) * minuteMs;
  const late = flow.partitions
    .flatMap((partition, p) => partition.slice(cut[p] as number, position[p] as number))
    .filter(({ at }) => Math.floor(at / minuteMs) * minuteMs < lateBefore).length;
  const refused = below.reduce((sum, { refusedBefore }) => sum + refusedBefore, 0);
  const missing = position.reduce((sum, offset) => sum + (offset % 5), 0);
  const expectedTerms = { batch: view.batch?.batch ?? null, cut, position, missing, refused, late };
  if (JSON.stringify(terms) !== JSON.stringify(expectedTerms)) {
    throw new TypeError(`terms ${JSON.stringify(terms)}, should be ${JSON.stringify(expectedTerms)}`);
  }
  if (below.length !== sumPosition(position)) throw new TypeError('the sum of msg_num is not the sum of the position');
};

interface Op {
  what: number;
  p: number;
  n: number;
  k: number;
}

const run = (flow: Flow, merger: Merger, { what, p, n, k }: Op): Merger => {
  const partition = flow.partitions[p] as Partition;
  const owner = partition.owners[k] as Partition['owners'][number];
  switch (what) {
    case 0:
    case 1: {
      for (let i = 0; i <= n; i++) {
        partition.readings.push({
          service: `s${(n + i) % 3}`,
          at: start + ((n * 7 + i * 13) % 20) * minuteMs + n * 100,
          cpu: n * 1_000_003,
          ram: i,
          disk: 7,
          refusedBefore: (n + i) % 4 === 0 ? 1 : 0,
        });
      }
      break;
    }
    case 2:
    case 3:
      partition.publish(owner, n + 1);
      break;
    case 4:
      partition.close(owner);
      break;
    case 5:
      partition.store(owner);
      break;
    case 6:
      partition.restart(owner);
      break;
    case 7:
    case 8:
      for (let i = 0; i <= n; i++) merger.readRealtime(p);
      break;
    case 9:
      merger.loseRealtime(p);
      break;
    case 10:
      merger.repeatRealtime(p, n);
      break;
    case 11:
      merger.readStored(p);
      break;
    case 12:
      flow.request(n);
      break;
    case 13:
      flow.prove();
      break;
    case 14:
      if (n === 0) flow.abandon();
      break;
    case 15:
      merger.readBatch();
      break;
    case 16:
      merger.loadUpper();
      break;
    case 17:
      if (n === 0) return new Merger(flow, flow.newest, flow.newestAt);
      break; // a restart
    default:
      merger.swap();
  }
  return merger;
};

/** What is still to be heard, heard: the rightful owner works through its log, and the view gets to the newest record. */
const hearAll = (flow: Flow, merger: Merger): void => {
  flow.partitions.forEach((partition, p) => {
    const owner = partition.owners[0] as Partition['owners'][number];
    partition.restart(owner);
    partition.publish(owner, partition.readings.length);
    for (let i = 0; i < 400; i++) {
      merger.readStored(p);
      merger.readRealtime(p);
    }
  });
  for (let i = 0; i < 400; i++) {
    merger.readBatch();
    merger.loadUpper();
    merger.swap();
  }
};

const ops = fc.array(fc.record({ what: fc.nat(19), p: fc.nat(partitionCount - 1), n: fc.nat(7), k: fc.nat(1) }), {
  maxLength: 120,
  size: 'max',
});

t.test('M1, M2, W1: at every step the view equals the count by brute force at its position, which never goes back', async (t) => {
  let swaps = 0;
  fc.assert(
    fc.property(ops, (all) => {
      const flow = new Flow();
      let merger = new Merger(flow, null, 0);
      for (const op of all) {
        const before = positionOf(merger.view);
        const was = merger;
        merger = run(flow, merger, op);
        if (was === merger && !reaches(positionOf(merger.view), before)) throw new TypeError(`the view went back from ${before.join()}`);
        check(flow, merger);
      }
      hearAll(flow, merger);
      check(flow, merger);
      swaps += merger.swaps;
      const all0 = flow.partitions.map(({ readings }) => readings.length);
      if (positionOf(merger.view).join() !== all0.join())
        throw new TypeError(`the view is at ${positionOf(merger.view).join()}, the log ends at ${all0.join()}`);
      if (merger.view.proved !== null) throw new TypeError('a proved batch view was never taken over');
    }),
    { numRuns: Number(process.env.TIDEMARK_TEST_RUNS ?? 800) },
  );
  t.ok(swaps > 50, `${swaps} batch views were taken over`);
});

t.test('M2: a view with differences is not taken over, unless it was repaired', async (t) => {
  const flow = new Flow();
  const view = createView(partitionCount, null);
  flow.request(5);
  flow.prove();
  const manifest = flow.newest as Manifest;
  t.equal(applyProved(view, { ...proved(manifest), differences: 1 }, manifest), false);
  t.equal(view.proved, null);
  t.equal(applyProved(view, { ...proved(manifest), differences: 1, repaired: true }, manifest), true);
});

t.test('M4: the proof finds one planted difference, and none where there is none', async (t) => {
  let plantedCount = 0;
  await fc.assert(
    fc.asyncProperty(ops, fc.nat(1000), async (all, planted) => {
      const flow = new Flow();
      let merger = new Merger(flow, null, 0);
      for (const op of all) merger = run(flow, merger, op);
      hearAll(flow, merger);
      flow.partitions.forEach((partition, p) => {
        const [owner] = partition.owners as [Partition['owners'][number]];
        run(flow, merger, { what: 0, p, n: planted % 8, k: 0 });
        partition.publish(owner, 10);
        partition.close(owner);
        partition.store(owner);
      });
      hearAll(flow, merger);
      flow.abandon();
      flow.request(9);
      if (flow.open === null || !hasStored(merger.view, flow.open.cut)) throw new TypeError('not everything stored is here');
      const { batch, cut } = flow.open;
      const manifest = makeManifest(batch, merger.view.batch?.manifest ?? null, flow.partitions, cut, 0, flow.files);
      const lower = new RowTable();
      for (const part of lowerParts(merger.view, cut)) lower.mergeColumns(flow.files.at(part.file?.path as string));
      const compare = (named = manifest) => compareViews(merger.view.batch, lower, named, new MonthCache(flow.files.read, 1e6));
      const same = await compare();
      if (same.differences !== 0 || same.records !== sumPosition(cut)) throw new TypeError(JSON.stringify(same));
      const fresh = manifest.files.filter(({ path }) => path.endsWith(batch));
      const file = fresh[planted % Math.max(1, fresh.length)];
      if (file === undefined) return;
      const columns = flow.files.at(file.path);
      const newest = columns.minute.at(-1) as number;
      const say = (said: number) => ({ ...manifest, files: manifest.files.map((one) => (one === file ? { ...one, newest: said } : one)) });
      if ((await compare(say(newest))).differences !== 0) throw new TypeError('the newest minute is right');
      if ((await compare(say(newest + 60_000))).differences !== 1) throw new TypeError('a wrong newest minute was not found');
      const column = [columns.cpu, columns.maxRam, columns.maxDiskAt][planted % 3] as Float64Array;
      (column[planted % columns.length] as number) += 1;
      plantedCount += 1;
      const different = await compare();
      if (different.differences !== 1 || different.examples.length !== 1)
        throw new TypeError(`planted, but found ${JSON.stringify(different)}`);
    }),
    { numRuns: 200 },
  );
  t.ok(plantedCount > 150, `${plantedCount} were planted`);
});
