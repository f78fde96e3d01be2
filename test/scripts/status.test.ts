import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { connect } from '@nats-io/transport-node';
import t from 'tap';
import { openBus } from '../../infra/bus/nats.js';
import { readPartStored } from '../../protocol/messages/readers.js';
import { formatStatus } from '../../scripts/status/format.js';
import { findProblems, formatNumbers } from '../../scripts/status/problems.js';
import { openInTime, readStatus, type Status } from '../../scripts/status/status.js';
import { runCli } from '../system/run-cli.js';
import { publishAll, type Reading, type System, startSystem } from '../system/system.js';

t.setTimeout(120_000); // of a machine that has much else to do

const someReadings = (count: number, seed: number): Reading[] =>
  Array.from({ length: count }, (_, i) => ({
    service: ['web', 'db', 'Ticketing Service'][i % 3] as string,
    host: `h${i % 4}`,
    timestamp: Date.UTC(2026, 9, 30) + (i + seed) * 997,
    cpu: i % 101,
    ram: 12.5,
    disk: 50,
  }));

const connectionTo = ({ data, nats }: System): string[] => ['--data', data, '--nats', nats.url];

/** Asks again until it is as expected. */
const until = async (system: System, isThere: (status: Status) => boolean): Promise<Status> => {
  for (let tries = 0; ; tries++) {
    const status = await readStatus(system.bus, system);
    if (isThere(status) || tries === 150) return status;
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
  }
};

t.test('status, batch and rebuild', async (t) => {
  const system = await startSystem(t);
  const connection = connectionTo(system);

  await t.test('nothing new is success, and says so', async (t) => {
    await system.rows();
    const { code, stdout, stderr } = await runCli(['batch', '--json', ...connection]);
    t.equal(code, 0, stderr);
    t.match(JSON.parse(stdout), { batch: null });
  });

  const count = 1_500;
  await publishAll(system, someReadings(count, 0));

  await t.test('batch ends when it is proved', async (t) => {
    const { code, stdout, stderr } = await runCli(['batch', ...connection]);
    t.equal(code, 0, stderr);
    t.match(stdout, /^batch 000001: proved, no difference; 1,500 records in \d+ rows, [\d.]+ s\n$/);
    t.match(stderr, /batch 000001 has begun/);
  });

  await t.test('rebuild makes all dates anew', async (t) => {
    const { code, stdout, stderr } = await runCli(['rebuild', '--json', ...connection]);
    t.equal(code, 0, stderr);
    t.match(JSON.parse(stdout), { batch: '000002', records: count, differences: 0, examples: [] });
  });

  await t.test('who works, how far they are, and what was refused and is missing', async (t) => {
    const refusedConnection = await connect({ servers: system.nats.url });
    refusedConnection.publish('metrics.web.h0', '{"service":"web",'); // of no source: refused as not JSON
    await refusedConnection.flush();
    await refusedConnection.close();
    await publishAll(system, someReadings(200, 3_000));
    const measured = ['buffer', 'uploader', 'windower', 'merger'];
    const sayRates = ({ actors }: Status): boolean =>
      measured.every((name) => actors.some(({ actor, perSecond }) => actor === name && (perSecond ?? 0) > 0));
    const status = await until(
      system,
      (one) =>
        one.problems.length === 0 &&
        one.refused !== null &&
        Object.keys(one.refused).length > 0 &&
        one.actors.every(({ lag }) => lag === undefined || lag.records === 0) &&
        sayRates(one),
    );
    t.ok(sayRates(status), 'what was just done, as records a second');
    t.same(status.problems, []);
    const total = (position: readonly number[] | null) => position?.reduce((sum, offset) => sum + offset, 0);
    t.equal(total(status.position), count + 200);
    t.equal(total(status.sealed), count + 200);
    t.equal(total(status.cut), count);
    t.match(status, {
      batch: '000002',
      proved: { batch: '000002', differences: 0, oldest: /^20\d\d-/ },
      missing: {},
      unread: [],
    });
    t.equal(
      Object.values(status.refused ?? {}).reduce((sum, one) => sum + one, 0),
      1,
    );
    const isWorker = (actor: string): boolean => actor === 'mapper' || actor === 'reducer'; // they say a second later that they rest
    const actors = status.actors.map(({ actor, state, partitions }) => [actor, isWorker(actor) ? 'rests' : state, partitions.length]);
    t.same(actors, [
      ['nats-server', 'working', 0],
      ['buffer', 'working', 4],
      ['uploader', 'working', 4],
      ['windower', 'working', 4],
      ['scheduler', 'working', 0],
      ['mapper', 'rests', 0],
      ['reducer', 'rests', 0],
      ['merger', 'working', 0],
    ]);
    t.ok(status.streams?.some(({ name, bytesMax }) => name === 'METRICS' && bytesMax > 0));
    if (process.platform === 'linux') {
      const { pssBytes, rssBytes, processes } = status.memory;
      t.same(processes.map(({ pid }) => pid).sort(), [process.pid, system.nats.pid].sort());
      t.ok((pssBytes as number) > 1e7 && (pssBytes as number) <= (rssBytes as number));
    }
    const { code, stdout, stderr } = await runCli(['status', ...connection]);
    t.equal(code, 0, stderr);
    t.match(stdout, /all is well\n\nactor .*behind +per s +ops\nnats-server +working/);
    t.match(stdout, /refused +1 /);
  });

  await t.test('a part that was changed: batch ends with 5, the old view stays, rebuild mends it', async (t) => {
    const position = await publishAll(system, someReadings(100, 6_000));
    await until(system, (one) => (one.cut ?? []).length > 0 && one.position?.join() === position.join());
    const p = position.findIndex((offset) => offset > 0);
    let file: string | undefined;
    while (file === undefined) {
      const last = await system.bus.last('STORED', `part.stored.${p}`);
      const part = last && readPartStored(last.body);
      if (part?.to === position[p]) file = part?.file?.path as string;
      else
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
    }
    const content = await readFile(path.join(system.data, file));
    content[100] = (content[100] as number) ^ 1;
    await writeFile(path.join(system.data, file), content);
    const { code, stdout, stderr } = await runCli(['batch', ...connection]);
    t.equal(code, 5, stderr);
    t.match(stdout, /^batch 000003: 1 difference, the old view stays/);
    t.match((await readStatus(system.bus, system)).problems, [/batch 000003 differs/]);
    const refused = await runCli(['batch', ...connection]);
    t.equal(refused.code, 5);
    t.match(refused.stderr, /run `tidemark rebuild` first/);
    const rebuilt = await runCli(['rebuild', '--json', ...connection]);
    t.equal(rebuilt.code, 0, rebuilt.stderr);
    t.match(JSON.parse(rebuilt.stdout), { batch: '000004', repaired: true });
    const mended = await until(system, ({ problems }) => problems.length === 0);
    t.same(mended.problems, []);
    t.match(mended, { batch: '000004' });
  });

  await t.test('an actor that is gone without a word is shown, and what nobody does any more', async (t) => {
    await system.stop();
    const bucket = await system.bus.bucket('ACTORS', { ttlMs: 60_000 });
    await bucket.put(
      'uploader.dead',
      JSON.stringify({
        actor: 'uploader',
        instance: 'dead',
        pid: 999_999_999,
        host: 'elsewhere',
        state: 'working',
        partitions: [0, 1],
        places: {},
        counts: {},
        at: Date.now() - 7_000,
      }),
    );
    const startedAt = performance.now();
    const status = await readStatus(system.bus, system);
    t.ok(performance.now() - startedAt < 2_000, 'in time');
    t.match(
      status.actors.find(({ instance }) => instance === 'dead'),
      { state: 'gone', partitions: [0, 1] },
    );
    t.match(status.problems, [/^uploader dead \(pid 999999999\) is gone, silent for 7 s$/, 'no buffer works', 'no uploader works']);
    t.ok(
      status.problems.some((problem) => /could not be read: the view/.test(problem)),
      'nobody merges',
    );
    t.equal(status.position, null);
    t.match(formatStatus(status), /problems\n {2}! uploader dead/);
  });

  await t.test('batch without a scheduler: nobody answers, 4', async (t) => {
    const { code, stderr } = await runCli(['batch', ...connection]);
    t.equal(code, 4);
    t.match(stderr, /batch\.asked: nobody/);
  });

  await t.test('what waits is counted, and for how long', async (t) => {
    system.start(['buffer']);
    await publishAll(system, someReadings(100, 9_000));
    const status = await until(system, (one) => one.actors.some(({ actor, lag }) => actor === 'buffer' && lag?.records === 0));
    const total = (position: readonly number[] | null) => position?.reduce((sum, offset) => sum + offset, 0);
    t.equal(total(status.sealed), count + 400);
    t.equal(total(status.committed), count + 300, 'nobody uploads');
    await system.stop();
    system.start(['uploader', 'windower']);
    const caughtUp = await until(system, (one) => total(one.committed) === count + 400);
    t.equal(total(caughtUp.committed), count + 400);
  });

  await t.test('a server that is silent, then one that is gone: still within 2 s, exit code 4', async (t) => {
    const settings = { nats: system.nats.url };
    const bus = await openBus(settings, 'test');
    system.nats.pause();
    const startedAt = performance.now();
    const silent = await readStatus(bus, system);
    t.ok(performance.now() - startedAt < 2_000, 'on a connection that was there');
    t.ok(silent.unread.length > 0);
    t.equal(silent.streams, null);
    const beganAt = performance.now();
    await t.rejects(openInTime(settings));
    t.ok(performance.now() - beganAt < 1_500, 'a new connection');
    const { code, stdout } = await runCli(['status', '--json', ...connection]);
    t.equal(code, 4);
    t.match(JSON.parse(stdout), {
      problems: [/the NATS server does not answer/],
      actors: [{ actor: 'nats-server', state: 'silent' }],
    });
    system.nats.resume();
    await bus.close();
    await system.stop();
    await system.nats.kill();
    const gone = await runCli(['status', ...connection]);
    t.equal(gone.code, 4);
    t.match(gone.stdout, /NATS server does not answer.*nats-server .* is gone/s);
  });
});

t.test('problems are found from what was read', (t) => {
  const nothing: Omit<Status, 'problems'> = {
    actors: [],
    position: [0],
    sealed: [0],
    committed: [0],
    cut: [0],
    batch: null,
    proved: null,
    refused: {},
    missing: {},
    streams: [],
    memory: { pssBytes: 0, rssBytes: 0, processes: [] },
    unread: [],
    at: 0,
  };
  const actor = (name: string, partitions: number[] = [], state = 'working') => ({
    actor: name,
    instance: 'i',
    pid: 1,
    host: 'h',
    state,
    partitions,
    silentSeconds: 0,
  });
  const all = ['buffer', 'uploader', 'windower']
    .map((name) => actor(name, [0, 1, 2]))
    .concat(['scheduler', 'mapper', 'reducer', 'merger'].map((name) => actor(name)));
  t.same(findProblems({ ...nothing, actors: all }, 3), []);
  t.same(findProblems({ ...nothing, actors: [...all.slice(1), actor('buffer', [1])] }, 3), ['no buffer works on partition 0, 2']);
  t.match(findProblems({ ...nothing, actors: [...all.filter((one) => one.actor !== 'scheduler'), actor('scheduler', [], 'standby')] }, 3), [
    'no scheduler leads',
  ]);
  t.match(findProblems({ ...nothing, actors: all, proved: { batch: '000007', differences: 3, repaired: false, at: 0, oldest: null } }, 3), [
    /batch 000007 differs in 3 rows/,
  ]);
  t.match(
    findProblems(
      {
        ...nothing,
        actors: all,
        streams: [
          { name: 'METRICS', messages: 1, bytes: 90, bytesMax: 100 },
          { name: 'VIEWS', messages: 1, bytes: 99, bytesMax: 100 },
        ],
      },
      3,
    ),
    [/METRICS is 90 % full/],
  );
  t.match(findProblems({ ...nothing, actors: [...all, { ...actor('merger'), lag: { records: 5, seconds: 30 } }] }, 3), [
    /merger i .*30 s behind/,
  ]);
  t.match(findProblems({ ...nothing, actors: all, missing: { web: 3 } }, 3), [/3 readings of "web" are missing/]);
  t.match(findProblems({ ...nothing, actors: [...all, { ...actor('windower', [], 'failed'), error: 'history' }] }, 3), [
    /windower i .*stopped: history/,
  ]);
  t.match(findProblems({ ...nothing, actors: [...all, { ...actor('nats-server'), trouble: 'no space left' }] }, 3), [
    /nats-server .* is not well: no space left\. .*make room, then start it again/,
  ]);
  t.equal(formatNumbers([3, 0, 1, 2, 7]), '0-3, 7');
  t.end();
});
