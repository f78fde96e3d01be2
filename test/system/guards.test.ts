/** Every guard of the two layers bites: a wrong row is planted in a part, a batch file, a mapper's file, one at a time. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import t from 'tap';
import { newestPart, openGuarded } from './guarded.js';
import { changeByte, changeFile, openAlterRow, plantFile } from './plant.js';

t.setTimeout(240_000); // of a machine that has much else to do

const parts = /^views\/realtime\//;
const batchFiles = /^views\/batch\/.*\.parquet$/;
const mapped = /^minutes\/.*\.parquet$/;

t.test('a part that was changed, or is gone: nothing is answered from it, and a rebuild lies above it', async (t) => {
  const guarded = await openGuarded(t);
  const { system } = guarded;
  await guarded.begin(t);
  for (const [what, spoil, says] of [
    ['changed', (file: string) => changeFile(file, changeByte), /sha256/],
    ['gone', (file: string) => rm(file), /no such file/],
  ] as const) {
    await t.test(what, async (t) => {
      await guarded.publish(300);
      const part = await newestPart(system);
      await system.stop();
      await spoil(path.join(system.data, part));
      system.start();
      await t.rejects(system.rows(), { message: says }, 'refused, with what');
      await t.rejects(system.rows(), { message: new RegExp(part) }, 'and where');
      const proof = await system.batch();
      t.match(proof, { differences: 1, examples: [new RegExp(part)] });
      await t.rejects(system.rows(), { message: new RegExp(part) }, 'no view changes over');
      await guarded.isMended(t, true);
    });
  }
});

t.test('M4: a wrong row in a part, length and hash made to fit, is found by the comparison', async (t) => {
  const guarded = await openGuarded(t);
  const { system } = guarded;
  const alterRow = await openAlterRow(t, system);
  await guarded.begin(t);
  for (const [what, alter, says] of [
    ['a sum', 'cpu = cpu + 1', /^"[^"]+" 2026-\S+: the old view and the real-time rows give .*, the new batch view /],
    ['a peak', 'max_ram = max_ram + 1', /^"[^"]+" 2026-\S+: the old view and/],
    ['a number of records', 'msg_num = msg_num + 1', /^views\/realtime\/.* holds \d+ records, but its range \[/],
  ] as const) {
    await t.test(what, async (t) => {
      let planted = 0;
      const unplant = plantFile(parts, {
        before: async (file) => {
          if (planted++ === 0) await alterRow(file, alter);
        },
      });
      await guarded.publish(300).finally(unplant);
      const before = await guarded.answersFrom();
      const proof = await system.batch();
      t.ok((proof?.differences ?? 0) > 0);
      t.match(proof, { examples: [says] }, 'what and where');
      t.equal((await system.rows()).terms.batch, before, 'no view changes over');
      await guarded.isRight(t, 'what was heard as it came is answered all the while');
      await guarded.isMended(t, true);
    });
  }
});

t.test('a batch file that was changed: nothing is answered from it, no batch builds on it, a rebuild mends it', async (t) => {
  const guarded = await openGuarded(t);
  const { system } = guarded;
  await guarded.begin(t);
  for (const [what, spoil, says] of [
    ['changed', (file: string) => changeFile(file, changeByte), /sha256/],
    ['gone', (file: string) => rm(file), /no such file/],
  ] as const) {
    await t.test(what, async (t) => {
      const batch = await guarded.answersFrom();
      const file = (await guarded.files('views/batch/db')).find((name) => name.includes(`.${batch}.`)) as string;
      await guarded.publish(100);
      await system.stop();
      await spoil(path.join(system.data, file));
      system.start();
      await t.rejects(system.rows(), { message: says }, 'refused, with what');
      await t.rejects(system.rows(), { message: new RegExp(file) }, 'and where');
      await t.rejects(system.batch(), {
        code: 'E_PROMISE',
        message: new RegExp(`abandoned: services\\.failed 0: .*${file}`),
      });
      t.match(await system.batch('rebuild'), { differences: 0, repaired: true });
      await guarded.answersFrom();
      await guarded.isRight(t, 'mended');
      await guarded.publish(60);
      t.match(await system.batch(), { differences: 0 }, 'batches go on');
      await guarded.isRight(t, 'after the next batch');
    });
  }
});

t.test("M4, S6: a wrong row in a batch file or a mapper's file, length and hash made to fit", async (t) => {
  const guarded = await openGuarded(t);
  const { system } = guarded;
  const alterRow = await openAlterRow(t, system);
  await guarded.begin(t);
  const plant = async <T>(fits: RegExp, alter: string, run: () => Promise<T>): Promise<T> => {
    let planted = 0;
    const unplant = plantFile(fits, {
      before: async (file) => {
        if (planted++ === 0) await alterRow(file, alter);
      },
    });
    await guarded.publish(200);
    return run().finally(unplant);
  };
  for (const [where, fits] of [
    ['batch file', batchFiles],
    ["mapper's file", mapped],
  ] as const) {
    await t.test(`M4: ${where}: a sum`, async (t) => {
      const before = await guarded.answersFrom();
      const proof = await plant(fits, 'cpu = cpu + 1', () => system.batch());
      t.equal(proof?.differences, 1);
      t.match(proof, {
        examples: [/^"[^"]+" 2026-\S+: the old view and the real-time rows give .*, the new batch view /],
      });
      t.equal((await system.rows()).terms.batch, before, 'no view changes over');
      await guarded.isRight(t, 'the old view goes on answering');
      await guarded.isMended(t, false);
    });
  }
  await t.test("S6: a mapper's file: a number of records", async (t) => {
    await t.rejects(
      plant(mapped, 'messages = messages + 1', () => system.batch()),
      {
        message: /abandoned: msg_num of the new view sums to \d+, the offsets in its cut to \d+/,
      },
    );
    t.match(await system.batch(), { differences: 0 }, 'the next one makes all of it anew');
    await guarded.isRight(t, 'the answer');
  });
  await t.test("R3: a mapper's file that was changed", async (t) => {
    const unplant = plantFile(mapped, { after: (file) => changeFile(file, changeByte) });
    await guarded.publish(60);
    await t.rejects(system.batch().finally(unplant), {
      message: /abandoned: services\.failed 0: minutes\/\d+\/0\.parquet .*sha256/,
    });
    t.match(await system.batch(), { differences: 0 }, 'the next one makes all of it anew');
    await guarded.isRight(t, 'the answer');
  });
});
