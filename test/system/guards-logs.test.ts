/** Every guard of what is said bites: manifests, cuts, commits, chains, one planted fault at a time; and of the raw lines. */
import { createHash } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import t, { type Test } from 'tap';
import { exitCodeOf } from '../../infra/errors.js';
import type { BatchReady, Manifest, ViewProved } from '../../protocol/messages/batch.js';
import type { PartStored } from '../../protocol/messages/part-stored.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { readManifest } from '../../protocol/messages/readers.js';
import { until } from '../until.js';
import { endOf, type Guarded, openGuarded, readingsOf } from './guarded.js';
import { changeByte, changeFile, openAlterRow, plantContent, plantMessage } from './plant.js';
import { publishAll } from './system.js';

t.setTimeout(240_000); // of a machine that has much else to do

const sha256Of = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

const openWithBatch = async (t: Test, flags: Readonly<Record<string, string>> = {}): Promise<Guarded> => {
  const guarded = await openGuarded(t, flags);
  await guarded.publish(1_500);
  t.match(await guarded.system.batch(), { batch: '000001', differences: 0 });
  t.equal(await guarded.answersFrom(), '000001');
  return guarded;
};

/** Alters the newest proved manifest, and its proof to fit. The actors must be stopped. */
const alterProved = async (guarded: Guarded, alter: (manifest: Manifest) => Promise<Manifest>): Promise<void> => {
  const { data, bus } = guarded.system;
  const proved = (await guarded.proofs()).at(-1) as ViewProved;
  const file = path.join(data, proved.manifest.path);
  const content = Buffer.from(JSON.stringify(await alter(readManifest(await readFile(file)))));
  await writeFile(file, content);
  const manifest = { path: proved.manifest.path, bytes: content.byteLength, sha256: sha256Of(content) };
  const { cut } = readManifest(content);
  await bus.publish('view.proved', JSON.stringify({ ...proved, cut, manifest }));
};

t.test('a wrong row in a batch file that was proved, all that names it made to fit: a recompute finds it', async (t) => {
  const guarded = await openWithBatch(t, { recomputeEvery: '3s' });
  const { system } = guarded;
  const alterRow = await openAlterRow(t, system);
  await system.stop();
  await alterProved(guarded, async (manifest) => {
    const [first, ...others] = manifest.files;
    if (first === undefined) throw new RangeError('no file');
    const file = path.join(system.data, first.path);
    await alterRow(file, 'cpu = cpu + 1');
    const content = await readFile(file);
    return { ...manifest, files: [{ ...first, bytes: content.byteLength, sha256: sha256Of(content) }, ...others] };
  });
  const known = (await guarded.proofs()).length;
  system.start();
  const proof = await until(async () => (await guarded.proofs()).slice(known).find(({ differences }) => differences > 0));
  t.match(proof, { differences: 1, examples: [/^"[^"]+" 2026-\S+: the old view .* give .*, the new batch view /] });
  await guarded.isMended(t, true);
});

t.test('a manifest that was changed: no batch builds on it and nobody begins from it; its copy mends it', async (t) => {
  const guarded = await openWithBatch(t);
  const { system } = guarded;
  await guarded.publish(100);
  const manifest = path.join(system.data, 'views/batch/000001.json');
  await changeFile(manifest, changeByte);
  await t.rejects(system.batch(), {
    message: /abandoned: services\.failed 0: views\/batch\/000001\.json has .*sha256/,
  });
  const { found } = await guarded.verify();
  t.ok(found.some(({ check, where, what }) => check === 'files' && where === 'views/batch/000001.json' && /sha256/.test(what)));
  await system.stop();
  system.start();
  const end = await endOf(system);
  t.match(end, { code: 'E_PROMISE', message: /views\/batch\/000001\.json is not what was stored.*latest\.json/ });
  t.equal(exitCodeOf(end), 5);
  await copyFile(path.join(system.data, 'views/batch/latest.json'), manifest);
  system.start();
  await guarded.isRight(t, 'after that');
  t.match(await system.batch(), { differences: 0 }, 'batches go on');
});

t.test('S6: a cut that is off by one in a proved manifest, all made to fit: nobody begins from it', async (t) => {
  const guarded = await openWithBatch(t);
  const { system } = guarded;
  await system.stop();
  await alterProved(guarded, async (manifest) => ({
    ...manifest,
    cut: manifest.cut.map((to, p) => (p === 0 ? to - 1 : to)),
  }));
  system.start();
  const end = await endOf(system);
  t.match(end, {
    code: 'E_PROMISE',
    message: /000001\.json: msg_num over its files sums to 1500, the offsets in its cut to 1499/,
  });
});

t.test('a manifest or a cut that is another on its way: the proof says so, and a rebuild mends it', async (t) => {
  const guarded = await openWithBatch(t);
  const { system } = guarded;
  await t.test('a byte of the manifest', async (t) => {
    await guarded.publish(60);
    const unplant = plantContent(/^views\/batch\/\d+\.json$/, changeByte);
    const proof = await system.batch().finally(unplant);
    t.match(proof, { differences: 1, examples: [/^views\/batch\/\d+\.json is not what was stored/] });
    await guarded.isRight(t, 'the old view goes on answering');
    await guarded.isMended(t, false);
  });
  await t.test('S6: a cut that is off by one', async (t) => {
    await guarded.publish(60);
    const unplant = plantMessage<BatchReady>(system, /^batch\.ready$/, (ready) => ({
      ...ready,
      cut: ready.cut.map((to, p) => (p === 0 ? to - 1 : to)),
    }));
    const proof = await system.batch().finally(unplant);
    t.match(proof, {
      differences: 1,
      examples: [/^views\/batch\/\d+\.json is of batch \d+ with the cut \d+,\d+; named was .* with the cut \d+,\d+$/],
    });
    await guarded.isRight(t, 'the old view goes on answering');
    await guarded.isMended(t, false);
  });
});

/** Publishes twice; the first message of partition 0 on a subject is altered in between. */
const publishWith = async <T>(guarded: Guarded, subject: string, alter: (body: T) => T): Promise<void> => {
  let isPlanted = false;
  const unplant = plantMessage<T>(guarded.system, new RegExp(`^${subject.replace('.', '\\.')}\\.0$`), (body) => {
    if (isPlanted) return body;
    isPlanted = true;
    return alter(body);
  });
  const first = guarded.publish(60);
  await until(() => isPlanted || undefined);
  unplant();
  await guarded.publish(60);
  await first;
};

t.test('a part that ends a record too early: nothing is answered from it, and a rebuild lies above it', async (t) => {
  const guarded = await openWithBatch(t);
  const { system } = guarded;
  await publishWith<PartStored>(guarded, 'part.stored', (part) => ({ ...part, to: part.to - 1 }));
  const says = /views\/realtime\/0\/\S+ holds \d+ records, but its range \[\d+, \d+\) has \d+: nothing is answered until/;
  await until(() =>
    system.rows().then(
      () => undefined,
      () => true as const,
    ),
  );
  await t.rejects(system.rows(), { code: 'E_PROMISE', message: says }, 'under a running merger');
  const { found } = await guarded.verify().catch((error: Error) => ({ found: error.message }));
  t.match(found, says, 'verify cannot ask for the view, and says why');
  await system.stop();
  system.start();
  await t.rejects(system.rows(), { code: 'E_PROMISE', message: says }, 'and under one that begins');
  t.match(await system.batch(), { differences: 1, examples: [/views\/realtime\/0\//] });
  await guarded.isMended(t, true);
});

t.test('raw lines that were changed: a recompute says what and where, and what is made of them is not taken over', async (t) => {
  const guarded = await openWithBatch(t);
  const { system } = guarded;
  const name = (await guarded.files('raw'))[0] as string;
  const raw = path.join(system.data, name);
  const content = await readFile(raw);
  const [first = '', ...others] = content.toString('utf8').trimEnd().split('\n');
  const write = (lines: readonly string[]): Promise<void> => writeFile(raw, `${lines.join('\n')}\n`);
  for (const [what, lines] of [
    ['removed', others],
    ['doubled', [first, first, ...others]],
  ] as const) {
    await write(lines);
    await t.rejects(
      system.batch('rebuild'),
      {
        message: new RegExp(`abandoned: range\\.failed 0: raw files do not hold the 1500 records .*: ${name}, offsets \\[`),
      },
      `X1: a line is ${what}`,
    );
    await guarded.isRight(t, 'the old view goes on answering');
  }
  await write([first.replace(/"disk":(\d)/, (_, digit: string) => `"disk":${(Number(digit) + 1) % 10}`), ...others]);
  const proof = await system.batch('rebuild');
  t.match(proof, { differences: 1, examples: [/^"[^"]+" 2026-\S+: the old view/] }, 'M4: a digit is another');
  t.equal(proof?.repaired, undefined, 'a second count finds it in the raw data too');
  await guarded.isRight(t, 'the old view goes on answering');
  const { found } = await guarded.verify();
  t.ok(found.some(({ check, where, what }) => check === 'bytes' && where.startsWith(name) && /sha256/.test(what)));
  await writeFile(raw, content);
  await guarded.isMended(t, false);
});

t.test('a commit that ends a record too early: verify finds it, and no record counts twice or never', async (t) => {
  const guarded = await openWithBatch(t);
  await publishWith<RawStored>(guarded, 'raw.stored', (commit) => ({ ...commit, to: commit.to - 1 }));
  const { found } = await guarded.verify();
  for (const what of [/the sum of its records is \d+, must be \d+/, /its first offset is \d+, must be \d+/]) {
    t.ok(
      found.some((one) => one.check === 'commits' && /^commit \[\d+, \d+\) of partition 0$/.test(one.where) && what.test(one.what)),
      `${what}`,
      { found },
    );
  }
  // Its bytes, hashes and numbers are right, so the rows made of it are: nothing is counted wrong by it.
  t.match(await guarded.system.batch(), { differences: 0 });
  await guarded.isRight(t, 'the answer');
});

t.test('F4: a chain that is another in a commit, a part or a snapshot: verify finds it, and its owner does not begin', async (t) => {
  for (const [subject, where] of [
    ['raw.stored', /^commit \[\d+, \d+\) of partition 0$/],
    ['part.stored', /^part\.stored\.0 \[\d+, \d+\)$/],
    ['table.stored', /^table\.stored\.0 at \d+$/],
  ] as const) {
    await t.test(subject, async (t) => {
      const guarded = await openWithBatch(t, { snapshotEvery: '300ms' });
      const { system } = guarded;
      type Chained = Pick<RawStored, 'segments'>;
      const isAltered = async (): Promise<true | undefined> => {
        const last = await system.bus.last('STORED', `${subject}.0`);
        const body = last && (JSON.parse(Buffer.from(last.body).toString('utf8')) as Chained);
        return body?.segments.chain.startsWith('another') || undefined;
      };
      const unplant = plantMessage<Chained>(system, new RegExp(`^${subject.replace('.', '\\.')}\\.0$`), ({ segments, ...body }) => ({
        ...body,
        segments: { ...segments, chain: `another${segments.chain.slice(7)}` },
      }));
      await guarded.publish(60);
      await until(isAltered);
      unplant();
      const { found } = await guarded.verify();
      t.ok(
        found.some((one) => one.check === 'chains' && where.test(one.where) && /ends at segment \d+ with chain another/.test(one.what)),
        'verify',
        { found },
      );
      await system.stop();
      system.start();
      const end = await endOf(system);
      t.match(end, {
        code: 'E_HISTORY',
        message: new RegExp(`^the last ${subject}\\.0 was made from a log that .*tidemark recover`),
      });
      t.equal(exitCodeOf(end), 5);
    });
  }
});

t.test('F4: an output that ends a record too early: what follows does not go on from it', async (t) => {
  const guarded = await openWithBatch(t);
  const { system } = guarded;
  const unplant = plantMessage<RawStored>(system, /^(?:raw|part)\.stored\.0$/, (body) => ({
    ...body,
    to: body.to - 1,
  }));
  const [reached = 0] = await publishAll(system, readingsOf(50, 60));
  const ends = async (subject: string): Promise<boolean> => {
    const last = await system.bus.last('STORED', subject);
    return last !== undefined && (JSON.parse(Buffer.from(last.body).toString('utf8')) as RawStored).to === reached - 1;
  };
  await until(async () => ((await ends('raw.stored.0')) && (await ends('part.stored.0'))) || undefined);
  await system.stop();
  unplant();
  system.start(['buffer']);
  await publishAll(system, readingsOf(51, 60));
  await system.stop();
  for (const actor of ['uploader', 'windower'] as const) {
    system.start([actor]);
    t.match(
      await endOf(system),
      { code: 'E_HISTORY', message: /SEGMENTS-0 \d+ holds offsets \[\d+, \d+\) and does not go on from offset \d+/ },
      actor,
    );
  }
});
