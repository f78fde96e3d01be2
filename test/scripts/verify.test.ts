import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import t, { type Test } from 'tap';
import { openDuckdb } from '../../infra/sql/duckdb.js';
import { openLocalStorage } from '../../infra/storage/local.js';
import { readManifest, readPartStored } from '../../protocol/messages/readers.js';
import { movedOn, readCommits } from '../../scripts/verify/commits.js';
import { Findings } from '../../scripts/verify/findings.js';
import { type VerifyReport, verifySystem } from '../../scripts/verify/verify.js';
import { runCli } from '../system/run-cli.js';
import { publishAll, type Reading, type System, startSystem } from '../system/system.js';

t.setTimeout(120_000); // of a machine that has much else to do

/** Ties, several dates and minutes, names that are none, readings out of order. */
const someReadings = (count: number, seed: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({
    service: ['web', 'db', 'Ticketing Service', '__proto__', '../up'][i % 5] as string,
    host: `h${i % 3}`,
    timestamp: Date.UTC(2026, 9, 30) + (((i + seed) * 7919) % 4_000) * 61_000 + (i % 1_000),
    cpu: (i * 37) % 101,
    ram: ((i * 12_345_678_901) % 100_000_000) / 1e6,
    disk: i % 2 === 0 ? 50 : 33.333333,
  }));

const openVerify = async (t: Test, { data, bus }: System): Promise<() => Promise<VerifyReport>> => {
  const storage = await openLocalStorage(data);
  const sql = await openDuckdb({ memoryMiB: 256, threads: 1, tempFolder: storage.workFolder, allowedFolders: [data] });
  t.teardown(async () => {
    sql.close();
    await storage.close();
  });
  return () => verifySystem({ bus, storage }, sql);
};

/** Changes a file while `use` runs. */
const withChanged = async (file: string, change: (content: Buffer) => Buffer, use: () => Promise<void>): Promise<void> => {
  const content = await readFile(file);
  await writeFile(file, change(content));
  try {
    await use();
  } finally {
    await writeFile(file, content);
  }
};

const changeByte =
  (at: number) =>
  (content: Buffer): Buffer => {
    const changed = Buffer.from(content);
    changed[at] = (changed[at] as number) ^ 1;
    return changed;
  };

const linesOf = (content: Buffer): string[] => content.toString('utf8').trimEnd().split('\n');
const fromLines = (lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\n')}\n`);

const lastPart = async ({ bus, settings }: System): Promise<string> => {
  for (let p = 0; p < settings.partitions; p++) {
    const last = await bus.last('STORED', `part.stored.${p}`);
    const file = last === undefined ? undefined : readPartStored(last.body).file;
    if (file !== undefined) return file.path;
  }
  throw new RangeError('no part was stored');
};

/** Resolves when every record below the position is in a stored part. */
const partsReach = async (system: System, position: readonly number[]): Promise<void> => {
  for (let p = 0; p < position.length; p++) {
    for (;;) {
      const last = await system.bus.last('STORED', `part.stored.${p}`);
      if ((last === undefined ? 0 : readPartStored(last.body).to) >= (position[p] as number)) break;
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
    }
  }
};

t.test('verify counts everything again, and finds whatever was changed', async (t) => {
  const system = await startSystem(t);
  const verify = await openVerify(t, system);
  const { data } = system;
  const count = 2_000;
  await system.rows(); // it has begun to answer
  t.match(await verify(), { differences: 0, records: 0, rows: 0, batch: null }, 'nothing is there, and nothing differs');
  await publishAll(system, someReadings(count, 0));
  await system.batch();
  await publishAll(system, someReadings(count, 5));
  await system.batch();
  const position = await publishAll(system, someReadings(count, 11));
  const { rows } = await system.rows(position);
  await partsReach(system, position);

  const equal = await verify();
  t.match(equal, { differences: 0, found: [], records: 3 * count, rows: rows.length, batch: '000002' }, 'all is right');
  t.ok(
    equal.commits > 0 && equal.segments > 0 && equal.files.batch > 0 && equal.files.parts > 0 && equal.files.raw > 0,
    'everything was looked at',
  );

  const raw = path.join(
    data,
    ((await readdir(path.join(data, 'raw'), { recursive: true })).sort().find((name) => name.endsWith('.ndjson')) as string).replace(
      /^/,
      'raw/',
    ),
  );
  const name = path.relative(data, raw);
  const finds = async (t: Test, checks: readonly (readonly [check: string, where: RegExp, what: RegExp])[]): Promise<void> => {
    const { differences, found } = await verify();
    t.ok(differences >= checks.length);
    for (const [check, where, what] of checks) {
      t.ok(
        found.some((one) => one.check === check && where.test(one.where) && what.test(one.what)),
        `${check}: ${where} ${what}`,
        { found },
      );
    }
  };
  const inRaw = new RegExp(`^${name} bytes \\[`);

  await t.test('a raw line that is there twice', (t) =>
    withChanged(
      raw,
      (content) => {
        const [first = '', second = '', ...others] = linesOf(content);
        return fromLines([first, first, second, ...others]);
      },
      () =>
        finds(t, [
          ['offsets', inRaw, /is there twice/],
          ['bytes', inRaw, /sha256/],
        ]),
    ),
  );

  await t.test('a raw line that is gone', (t) =>
    withChanged(
      raw,
      (content) => fromLines(linesOf(content).slice(1)),
      () =>
        finds(t, [
          ['bytes', inRaw, /sha256/],
          ['offsets', /^partition \d$/, /no record was found for offset/],
          ['rows', / 20\d\d-/, /counted/],
        ]),
    ),
  );

  await t.test('a digit of a raw line', (t) =>
    withChanged(
      raw,
      (content) => {
        const [first = '', ...others] = linesOf(content);
        return fromLines([first.replace(/"disk":(\d)/, (_, digit: string) => `"disk":${(Number(digit) + 1) % 10}`), ...others]);
      },
      () =>
        finds(t, [
          ['bytes', inRaw, /sha256/],
          ['rows', / 20\d\d-/, /the view has/],
        ]),
    ),
  );

  const manifestFile = path.join(data, 'views/batch/000002.json');
  const manifest = readManifest(await readFile(manifestFile));
  const month = manifest.files[0]?.path as string;
  await t.test('a byte of a batch file', (t) =>
    withChanged(path.join(data, month), changeByte(100), () => finds(t, [['files', new RegExp(month.replaceAll(/[.%]/g, '.')), /sha256/]])),
  );

  const part = await lastPart(system);
  await t.test('a byte of a part', (t) =>
    withChanged(path.join(data, part), changeByte(100), () => finds(t, [['files', new RegExp(part), /sha256/]])),
  );

  await t.test('a byte of the manifest', (t) =>
    withChanged(
      manifestFile,
      (content) => Buffer.from(content.toString('utf8').replace(/"rows": (\d)/, '"rows": 9$1')),
      () => finds(t, [['files', /views\/batch\/000002\.json/, /sha256/]]),
    ),
  );

  const index = manifest.indexes?.[0]?.path as string;
  await t.test('a byte of an index file', (t) =>
    withChanged(path.join(data, index), changeByte(20), () => finds(t, [['files', new RegExp(index), /sha256/]])),
  );

  await t.test('latest.json is another', (t) =>
    withChanged(
      path.join(data, 'views/batch/latest.json'),
      (content) => content.subarray(1),
      () => finds(t, [['latest', /latest\.json/, /sha256/]]),
    ),
  );

  await t.test('a raw file that is not there', async (t) => {
    await rename(raw, `${raw}.away`);
    await finds(t, [['bytes', new RegExp(name), /not there/]]);
    await rename(`${raw}.away`, raw);
  });

  t.match(await verify(), { differences: 0 }, 'everything is as it was');

  await t.test('below what STORED still has, the index files tell', async (t) => {
    const { bus } = system;
    await system.batch();
    for (let p = 0; p < system.settings.partitions; p++) {
      const last = await bus.last('STORED', `raw.stored.${p}`);
      if (last !== undefined) await bus.purge('STORED', `raw.stored.${p}`, last.sequence);
    }
    const { first } = await bus.extent('STORED');
    t.ok(first > 1, 'the oldest commits are gone there');
    t.match(await verify(), { differences: 0, records: 3 * count });
    const storage = await openLocalStorage(data);
    t.teardown(() => storage.close());
    const older = { manifest: undefined, committed: position, storedTo: (await bus.extent('STORED')).last };
    const readAll = async (isNewest: boolean): Promise<number> => {
      const findings = new Findings();
      const source = { ...older, findings, isNewest: async () => isNewest };
      for await (const _ of readCommits({ bus, storage }, source));
      return findings.differences;
    };
    await t.rejects(readAll(false), { code: movedOn }, 'STORED was purged after the manifest was read: begin again');
    t.ok((await readAll(true)) > 0, 'commits are gone');
    await withChanged(
      path.join(data, index),
      (content) => fromLines(linesOf(content).slice(1)),
      () =>
        finds(t, [
          ['files', new RegExp(index), /length/],
          ['commits', /^commit \[/, /its first offset/],
          ['offsets', /^partition/, /no record was found/],
        ]),
    );
  });

  await t.test('the command line: 0 when all is right, 5 with what and where, 4 when nobody answers', async (t) => {
    const connection = ['--data', data, '--nats', system.nats.url];
    const right = await runCli(['verify', ...connection]);
    t.equal(right.code, 0, right.stderr);
    t.match(right.stdout, /^verified: everything is there exactly once\n.*records +6,000/s);
    await withChanged(raw, changeByte(3), async () => {
      const wrong = await runCli(['verify', '--json', ...connection]);
      t.equal(wrong.code, 5);
      t.match(JSON.parse(wrong.stdout), { found: [{ check: 'lines', where: inRaw }] });
      t.match(wrong.stderr, /verify found \d+ differences/);
    });
    await system.stop();
    const nobody = await runCli(['verify', ...connection]);
    t.equal(nobody.code, 4);
    t.match(nobody.stderr, /view\.asked: nobody/);
  });
});
