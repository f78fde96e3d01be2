/**
 * Faults of a real HDFS under load: of each it is shown that nothing is missing, that nothing counts twice, and how long uploads
 * paused. `npm test` tries the first; all of them are tried by `npm run test:hdfs`.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { uploader } from '../../actors/uploader.js';
import { hostFold } from '../../infra/actor/host.js';
import { openBus } from '../../infra/bus/nats.js';
import { loadSettings } from '../../infra/config.js';
import type { Coordinator } from '../../infra/coordination/coordinator.js';
import { createLog, type Log } from '../../infra/log.js';
import { parseHdfsAddress } from '../../infra/storage/hdfs/address.js';
import { HdfsFiles } from '../../infra/storage/hdfs/hdfs-files.js';
import { WebHdfs } from '../../infra/storage/hdfs/webhdfs.js';
import { openStorage } from '../../infra/storage/open.js';
import { runActors, runnableActors } from '../../scripts/run-actors.js';
import type { Hdfs } from '../../scripts/stack/hdfs.js';
import { namenodeState } from '../../scripts/stack/hdfs.js';
import { startProxy } from '../infra/storage/hdfs/proxy.js';
import { startNats, temporaryFolder } from '../servers.js';
import { everyFault, jarsOrSkip, startTestHdfs } from '../stack.js';
import { until } from '../until.js';
import { recovering } from './hdfs-recover.js';
import { startOnHdfs } from './hdfs-system.js';
import { runCli } from './run-cli.js';
import { startSystem } from './system.js';

const said: string[] = [];

/**
 * How long uploads paused: shown, and in `npm run test:hdfs` held to a bound where there is one. A loaded machine is given
 * what it takes anyway.
 */
const paused = (t: Test, fault: string, { pausedMs, usualMs }: { pausedMs: number; usualMs: number }, msMax?: number): void => {
  const inSeconds = (ms: number): string => (ms / 1000).toFixed(1);
  said.push(`${fault}: uploads paused ${inSeconds(pausedMs)} s (${inSeconds(usualMs)} s are usual here)`);
  t.comment(said.at(-1) as string);
  if (msMax !== undefined && everyFault)
    t.ok(pausedMs <= msMax + 3 * usualMs, `${Math.round(pausedMs)} ms is at most ${msMax}, and three times the usual`);
};

const datanodeAt = ({ ports }: Hdfs, port: number): string => `datanode${ports.datanodes.findIndex(({ http }) => http === port)}`;

const killedDuringAppend = (t: Test, hdfs: Hdfs): void => {
  t.test('a DataNode is killed during an append: uploads go on in a new file within 5 s', async (t) => {
    const proxy = await startProxy(t, hdfs.ports.namenode.http);
    const running = await startOnHdfs(t, `127.0.0.1:${proxy.port}`);
    let killed: string | undefined;
    const pause = await running.pauseOf(async () => {
      proxy.fault = ({ operation, bytes }) => {
        if (operation !== 'APPEND' || !bytes || killed !== undefined) return undefined;
        killed = '';
        return {
          halfway: async (port) => {
            killed = datanodeAt(hdfs, port);
            await hdfs.end(killed, 'SIGKILL');
          },
        };
      };
      await until(() => (killed === undefined || killed === '' ? undefined : killed));
    });
    paused(t, 'DataNode killed during an append', pause, 5_000);
    await running.committed();
    await hdfs.start(killed as string);
    await running.isExact(t);
  });
};

const importing = (t: Test, hdfs: Hdfs): void => {
  t.test('import --from-hdfs takes in what the original left, and changes nothing there', async (t) => {
    const { nats, rows } = await startSystem(t);
    const files = new HdfsFiles(new WebHdfs(parseHdfsAddress(`${hdfs.url}/?user=original`)), '/tmp');
    const day = (date: number, count: number): string =>
      Array.from(
        { length: count },
        (_, i) =>
          `{'serviceName': 'it\\'s ${date}', 'Timestamp': ${Date.UTC(2024, 2, date) / 1000 + i}, 'CPU': ${i % 100}, ` +
          `'RAM': {'Total': 8.0, 'Free': 2.0}, 'Disk': {'Total': 100, 'Free': 25}}`,
      ).join('');
    const contents = { '02_03_2024.log': day(2, 700), '01_03_2024.log': day(1, 400), 'notes.txt': 'not one of them' };
    await files.makeFolder('/left');
    for (const [name, text] of Object.entries(contents)) await files.name(await files.write(Buffer.from(text)), `/left/${name}`);
    const before = await files.entries('/left');
    const run = (path: string) => runCli(['import', '--from-hdfs', path, '--nats', nats.url, '--json']);
    const first = await run(`${hdfs.url}/left?user=tidemark`);
    t.equal(first.code, 0, first.stderr);
    t.match(JSON.parse(first.stdout), { taken: 1_100, refused: {}, known: 0 });
    t.match(JSON.parse((await run(`${hdfs.url}/left/01_03_2024.log`)).stdout), { taken: 0, known: 400 }, 'known by its content');
    const answer = await rows();
    t.equal(
      answer.rows.reduce((sum, row) => sum + Number(row.at(-1)), 0),
      1_100,
    );
    t.same(await files.entries('/left'), before, 'nothing there is changed');
    for (const [path, code, says] of [
      [`${hdfs.url}/none`, 1, /there is no \/none in HDFS/],
      [`${hdfs.url}/tmp`, 1, /has no dd_mm_YYYY\.log/],
      ['/left', 2, /name the HDFS with --storage/],
      ['hdfs://127.0.0.1:1/left', 4, /cannot read \/left in HDFS/],
    ] as const) {
      const refused = await run(path);
      t.equal(refused.code, code, path);
      t.match(refused.stderr, says);
    }
  });
};

const starting = (t: Test, hdfs: Hdfs): void => {
  t.test('actors that start while the NameNode is away wait for it', async (t) => {
    const proxy = await startProxy(t, hdfs.ports.namenode.http);
    const nats = await startNats(t);
    proxy.fault = () => 'lose';
    const { settings } = loadSettings(
      { data: temporaryFolder(t), nats: nats.url, storage: `hdfs://127.0.0.1:${proxy.port}/starting?user=tidemark` },
      { env: {} },
    );
    const waits: unknown[] = [];
    const log = Object.assign(Object.create(createLog({ logLevel: 'silent' })) as Log, {
      warn: ({ reason }: { reason: string }) => {
        waits.push(reason);
        proxy.fault = () => undefined; // it is back
      },
    });
    const stop = new AbortController();
    await runActors(['uploader'], settings, { signal: stop.signal, log, joined: () => stop.abort() });
    t.match(waits, [/open the storage/]);
  });
};

const others = (t: Test, hdfs: Hdfs): void => {
  t.test('a DataNode is killed between appends, two of three are left', async (t) => {
    const running = await startOnHdfs(t, hdfs.address);
    const pause = await running.pauseOf(() => hdfs.end('datanode1', 'SIGKILL'));
    paused(t, 'DataNode killed between appends', pause, 5_000);
    await running.isExact(t);
    await hdfs.start('datanode1');
  });

  t.test('the NameNode is killed and started again', async (t) => {
    const running = await startOnHdfs(t, hdfs.address);
    const pause = await running.pauseOf(async () => {
      await hdfs.end('namenode', 'SIGKILL');
      await hdfs.start('namenode');
    });
    paused(t, 'NameNode killed and started again', pause);
    await running.isExact(t);
  });

  t.test('safe mode for a while', async (t) => {
    const running = await startOnHdfs(t, hdfs.address);
    const pause = await running.pauseOf(async () => {
      await hdfs.admin(['dfsadmin', '-safemode', 'enter']);
      await sleep(5_000);
      await hdfs.admin(['dfsadmin', '-safemode', 'leave']);
      t.equal(await namenodeState(hdfs.address), 'Operational');
    });
    paused(t, 'safe mode for 5 s', pause);
    await running.isExact(t);
  });

  t.test('the NameNode is away for two minutes', async (t) => {
    const running = await startOnHdfs(t, hdfs.address);
    const pause = await running.pauseOf(async () => {
      await hdfs.end('namenode', 'SIGTERM');
      await sleep(120_000);
      await hdfs.start('namenode');
    });
    paused(t, 'NameNode away for two minutes', pause);
    await running.isExact(t);
  });

  t.test('answers to appends, creates and renames are lost', async (t) => {
    const proxy = await startProxy(t, hdfs.ports.namenode.http);
    const running = await startOnHdfs(t, `127.0.0.1:${proxy.port}`);
    const lost = new Map<string, number>();
    const pause = await running.pauseOf(async () => {
      let seen = 0;
      proxy.fault = ({ operation, bytes }) => {
        const isAnswerThatTells = operation === 'RENAME' || (bytes && (operation === 'APPEND' || operation === 'CREATE'));
        if (!isAnswerThatTells || ++seen % 3 !== 0) return undefined;
        lost.set(operation, (lost.get(operation) ?? 0) + 1);
        return 'lose';
      };
      await until(() => (['APPEND', 'CREATE', 'RENAME'].every((operation) => (lost.get(operation) ?? 0) >= 2) ? true : undefined));
      proxy.fault = () => undefined;
    });
    t.comment(`lost: ${JSON.stringify([...lost])}`);
    paused(t, 'answers lost', pause);
    await running.isExact(t);
  });

  t.test('a corrupt replica of every raw block: a batch counts right', async (t) => {
    const running = await startOnHdfs(t, hdfs.address);
    await running.load.drain();
    const folder = path.join(hdfs.folder, 'datanode0');
    let corrupted = 0;
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/^blk_\d+$/.test(entry.name) || !entry.parentPath.includes('finalized')) continue;
      const file = path.join(entry.parentPath, entry.name);
      const bytes = readFileSync(file);
      if (!bytes.includes('"offset"')) continue;
      bytes[bytes.length >> 1] = 0x39; // a digit, where one may stand: a wrong sum, if it were believed
      writeFileSync(file, bytes);
      corrupted += 1;
    }
    t.ok(corrupted > 0, `${corrupted} replicas`);
    await running.isExact(t);
  });

  t.test("the folder's quota is reached, and raised again", async (t) => {
    const running = await startOnHdfs(t, hdfs.address);
    const pause = await running.pauseOf(async () => {
      await hdfs.admin(['dfsadmin', '-setQuota', '1', running.root]);
      await hdfs.admin(['dfsadmin', '-setSpaceQuota', '1', running.root]);
      await t.rejects(running.storage.create('raw/x', Buffer.from('x')), { message: /Quota/ });
      await sleep(3_000);
      await hdfs.admin(['dfsadmin', '-clrQuota', running.root]);
      await hdfs.admin(['dfsadmin', '-clrSpaceQuota', running.root]);
    });
    paused(t, 'quota reached for 3 s and more', pause);
    await running.isExact(t);
  });

  t.test('redirects to a foreign host for a while: nothing goes there, and nothing is lost', async (t) => {
    const proxy = await startProxy(t, hdfs.ports.namenode.http);
    const running = await startOnHdfs(t, `127.0.0.1:${proxy.port}`);
    let redirected = 0;
    const pause = await running.pauseOf(async () => {
      proxy.fault = ({ operation, bytes }) => {
        if (bytes || !['APPEND', 'CREATE', 'OPEN'].includes(operation)) return undefined;
        redirected += 1;
        return { status: 200, body: { Location: `http://127.0.0.2:9/webhdfs/v1/x?op=${operation}` } };
      };
      await until(() => (redirected >= 6 ? true : undefined));
      proxy.fault = () => undefined;
    });
    paused(t, 'foreign redirects', pause);
    await running.isExact(t);
  });

  t.test('two uploaders are forced onto every partition', async (t) => {
    const running = await startOnHdfs(t, hdfs.address, { actors: runnableActors });
    const { settings } = running.system;
    const log = createLog(settings);
    const storage = await openStorage(settings);
    /** Gives everything to whoever asks: so does a lease that both take for theirs. */
    const generous: Coordinator = {
      join: async (_role, _instance, shares, calls) => {
        for (let share = 0; share < shares; share++) setImmediate(() => calls.gained(share));
        return { release: async () => undefined, leave: async () => undefined };
      },
      close: async () => undefined,
    };
    const stop = new AbortController();
    const openOwn = (name: string) => openBus({ ...settings, nats: running.system.nats.url }, name);
    const rival = hostFold(
      uploader,
      {
        settings,
        storage,
        log,
        coordinator: generous,
        openBus: openOwn,
        now: Date.now,
        recount: async () => [],
        engine: () => Promise.reject(new TypeError('an uploader needs no engine')),
      },
      stop.signal,
    );
    t.teardown(async () => {
      stop.abort();
      await rival.ended;
      await storage.close();
    });
    const pause = await running.pauseOf(async () => {
      await until(() => ((rival.ends?.().fenced ?? 0) >= 3 ? true : undefined));
    });
    paused(t, 'two uploaders on every partition', pause);
    t.comment(`the rival was fenced ${rival.ends?.().fenced} times`);
    stop.abort();
    await rival.ended;
    await running.isExact(t);
  });
};

const jars = await jarsOrSkip(t);
if (jars !== undefined) {
  const hdfs = await startTestHdfs(t, { jars });
  importing(t, hdfs);
  starting(t, hdfs);
  killedDuringAppend(t, hdfs);
  if (everyFault) {
    others(t, hdfs);
    recovering(t, hdfs);
  }
  t.teardown(() => process.stderr.write(`${said.join('\n')}\n`));
}
