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
  'disk full under the views: readings are sealed and answered, parts and batches follow when there is room',
  {
    skip: noSmallDisk,
  },
  async (t) => {
    const disk = mountSmallDisk(t, '64m');
    const system = await startUnderLoad(t, { seed: 52, data: disk.folder, flags });
    await system.start('buffer', ['buffer'], {}, ['--snapshot-every', '1h']);
    const uploader = await system.start('uploader', ['uploader']);
    await system.start('layers', ['windower', 'scheduler', 'mapper', 'reducer', 'merger'], {}, ['--part-every', '10s']);
    await streamsAreMade(system);
    await system.load.start(system.nats.url);
    await until(async () => ((await system.bus.last('BATCH', 'view.proved')) === undefined ? undefined : true));
    await uploader.stop(); // then it is the views alone that want room
    disk.fill();
    const says = '(?:ENOSPC|No space left)';
    await untilLogged(system, new RegExp(`"actor":"windower".*${says}.*"life ended, starts again"`));
    t.pass(await untilStatus(system, new RegExp(`^windower .* tries again: .*${says}`)));
    await goesOn(t, system, 1_000);
    disk.free();
    await uploader.start();
    await system.isExact(t);
    t.comment({ readings: system.load.accepted.length });
  },
);

t.test(
  'disk full under nats-server: its sources keep what is not sealed, and restarted with room it goes on',
  { skip: noSmallDisk },
  async (t) => {
    const disk = mountSmallDisk(t, '96m');
    const system = await startUnderLoad(t, { seed: 53, natsData: disk.folder, data: temporaryFolder(t), flags });
    await system.start('buffer', ['buffer']);
    await system.start('layers', ['uploader', 'windower', 'scheduler', 'mapper', 'reducer', 'merger']);
    await streamsAreMade(system);
    await system.load.start(system.nats.url);
    await until(() => (system.load.counts.sealed > 1_000 ? true : undefined));
    disk.fill();
    await until(() => (/no space left on device/.test(readFileSync(path.join(disk.folder, 'nats.log'), 'utf8')) ? true : undefined));
    await untilLogged(system, /"level":"warn".*(?:no space left|insufficient|timeout|refused)/);
    const { sealed, added } = system.load.counts;
    t.pass(`${sealed} of ${added} readings are sealed`);
    disk.free();
    await system.nats.kill();
    await system.nats.start();
    await system.reconnect();
    await system.isExact(t);
    t.equal(system.load.counts.givenUp, 0);
    t.comment({ kept: added - sealed, readings: system.load.accepted.length, copies: system.load.counts.copies });
  },
);
