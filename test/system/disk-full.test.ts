/**
 * A disk that is full: nothing is lost, `status` and the logs say what is going on, what is not concerned goes on, and everything
 * arrives when there is room again. The disks are small tmpfs mounts; streams that are full by their own bounds are in full.test.ts.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { queryExact } from '../../infra/client/query.js';
import { readStatus } from '../../scripts/status/status.js';
import { temporaryFolder } from '../servers.js';
import { until } from '../until.js';
import { mountSmallDisk, noSmallDisk } from './small-disk.js';
import { startUnderLoad, type UnderLoad } from './under-load.js';

t.setTimeout(280_000);

/** Beside other tests a process may wait for its turn. */
const flags = ['--lease-ttl', '5s'];

const untilLogged = ({ logFile }: UnderLoad, says: RegExp): Promise<true> =>
  until(() => (says.test(readFileSync(logFile, 'utf8')) ? true : undefined));

/** A problem that status tells, as it says it. */
const untilStatus = async (system: UnderLoad, says: RegExp): Promise<string> =>
  until(async () => (await readStatus(system.bus, system)).problems.find((problem) => says.test(problem)));

const recordsInView = async ({ bus }: UnderLoad): Promise<number> =>
  (await queryExact(bus, { from: 0, to: 60_000, waitMs: 1_000 })).terms.position.reduce((sum, to) => sum + to, 0);

/** Acknowledgements and the view go on: so many more of each. */
const goesOn = async (t: Test, system: UnderLoad, count: number): Promise<void> => {
  const { sealed } = system.load.counts;
  const viewed = await until(() => recordsInView(system).catch(() => undefined));
  await until(() => (system.load.counts.sealed >= sealed + count ? true : undefined));
  await until(async () => ((await recordsInView(system).catch(() => 0)) >= viewed + count ? true : undefined));
  t.pass(`${count} readings more are sealed and in the view meanwhile`);
};

const committed = async ({ bus }: UnderLoad): Promise<number> => {
  const lasts = await Promise.all([0, 1, 2, 3].map((p) => bus.last('STORED', `raw.stored.${p}`)));
  return lasts.reduce((sum, last) => sum + (last ? (JSON.parse(Buffer.from(last.body).toString()) as { to: number }).to : 0), 0);
};

/** How many lives of an actor ended in doubt. */
const lives = ({ logFile }: UnderLoad, actor: string): number =>
  readFileSync(logFile, 'utf8')
    .split('\n')
    .filter((line) => line.includes(`"actor":"${actor}"`) && line.includes('life ended')).length;

const streamsAreMade = ({ bus }: UnderLoad): Promise<true> =>
  until(async () => ((await bus.logs()).some(({ name }) => name === 'VIEWS') ? true : undefined));

t.test(
  'disk full under the raw files: sealing and the real-time view go on, uploads follow when there is room',
  {
    skip: noSmallDisk,
  },
  async (t) => {
    const disk = mountSmallDisk(t, '64m');
    const system = await startUnderLoad(t, { seed: 51, data: disk.folder, flags });
    await system.start('buffer', ['buffer']);
    await system.start('layers', ['uploader', 'windower', 'merger'], {}, ['--batch-every', '1h', '--part-every', '1h']);
    await streamsAreMade(system);
    await system.load.start(system.nats.url);
    await until(async () => ((await committed(system)) > 0 ? true : undefined));
    const bytes = disk.fill();
    await untilLogged(system, /"actor":"uploader".*ENOSPC.*"life ended, starts again"/);
    t.pass(await untilStatus(system, /^uploader .* tries again: .*ENOSPC/));
    await untilLogged(system, /"actor":"buffer".*ENOSPC.*"table of sources is not stored, will retry"/);
    const before = await committed(system);
    await goesOn(t, system, 1_000);
    const waiting = system.load.counts.sealed - (await committed(system));
    t.ok(waiting >= 900, `${waiting} sealed readings wait for their upload`);
    disk.free();
    await until(async () => ((await committed(system)) > before + 1_000 ? true : undefined));
    await system.start('batch', ['scheduler', 'mapper', 'reducer']);
    await system.isExact(t);
    t.comment({ bytesTaken: bytes, waiting, readings: system.load.accepted.length });
  },
);

t.test(
  'disk full under the views: sealing, uploads and answers go on, parts and batches follow when there is room',
  { skip: noSmallDisk },
  async (t) => {
    const data = temporaryFolder(t);
    const disk = mountSmallDisk(t, '32m', path.join(data, 'views'));
    const system = await startUnderLoad(t, { seed: 52, data, flags });
    await system.start('buffer', ['buffer', 'uploader']);
    await system.start('layers', ['windower', 'scheduler', 'mapper', 'reducer', 'merger']);
    await streamsAreMade(system);
    await system.load.start(system.nats.url);
    const proved = async (): Promise<number> => (await system.bus.last('BATCH', 'view.proved'))?.sequence ?? 0;
    await until(async () => ((await proved()) > 0 ? true : undefined));
    const bytes = disk.fill();
    const says = '(?:ENOSPC|No space left)';
    await untilLogged(system, new RegExp(`"actor":"windower".*${says}.*"life ended, starts again"`));
    t.pass(await untilStatus(system, new RegExp(`^windower .* tries again: .*${says}`)));
    const before = await committed(system);
    await goesOn(t, system, 1_000);
    await until(async () => ((await committed(system)) >= before + 1_000 ? true : undefined));
    t.notMatch(readFileSync(system.logFile, 'utf8'), /"actor":"(?:merger|uploader|buffer)".*"life ended/, 'nobody else ended a life');
    disk.free();
    const last = await proved();
    await until(async () => ((await proved()) > last ? true : undefined));
    await system.isExact(t);
    t.comment({ bytesTaken: bytes, lives: lives(system, 'windower'), readings: system.load.accepted.length });
  },
);

t.test(
  'disk full under nats-server: its sources keep what is not sealed, and restarted with room it goes on',
  { skip: noSmallDisk },
  async (t) => {
    const data = temporaryFolder(t);
    const disk = mountSmallDisk(t, '96m', path.join(data, 'nats'));
    const system = await startUnderLoad(t, { seed: 53, natsData: data, data, flags });
    await system.start('buffer', ['buffer']);
    await system.start('layers', ['uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger']);
    await streamsAreMade(system);
    await system.load.start(system.nats.url);
    await until(() => (system.load.counts.sealed > 1_000 ? true : undefined));
    disk.fill();
    t.pass(await untilStatus(system, /^nats-server .* is not well: .*no space left on device/));
    await untilLogged(system, /"actor":"(?:buffer|windower|uploader)".*no answer in time.*"life ended, starts again"/);
    const { sealed, added } = system.load.counts;
    await until(() => (system.load.counts.added > added + 500 ? true : undefined));
    const kept = system.load.counts.added - system.load.counts.sealed;
    t.ok(kept > 0, `${kept} readings are kept by their sources`);
    disk.free();
    await system.nats.restart();
    await system.reconnect();
    await system.isExact(t);
    t.equal(system.load.counts.givenUp, 0);
    t.comment({ sealedBefore: sealed, kept, readings: system.load.accepted.length, copies: system.load.counts.copies });
  },
);
