/**
 * The power of nats-server's machine is cut under load, on a disk that loses whatever was not synced; and a log that lost its
 * tail all the same is noticed. `npm run power-cut -- --cuts 100` cuts more often.
 */
import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { openBus } from '../../infra/bus/nats.js';
import { exitCodeOf, HistoryError } from '../../infra/errors.js';
import { readRawStored } from '../../protocol/messages/readers.js';
import { whyNoLoopDisk } from '../../scripts/power-cut/loop-disk.js';
import { runPowerCuts, type Scope } from '../../scripts/power-cut/run.js';
import { until } from '../until.js';
import { publishAll, type Reading, startSystem } from './system.js';

t.setTimeout(300_000); // of a machine that has much else to do

const why = whyNoLoopDisk();
const isHere = why === undefined ? {} : { skip: `no power can be cut here: ${why}` };

const cutPower = (scope: Scope, text: string): void => {
  t.test(text, { timeout: 280_000, ...isHere }, async (t) => {
    const said: string[] = [];
    const report = await runPowerCuts({ seed: 7, cuts: 2, scope, messagesPerSecond: 100, say: (line) => said.push(line) });
    t.ok(report.readings > 100, `${report.readings} readings were acknowledged; ${said.join('; ')}`);
    const { missing, extra, examples } = report.comparison;
    t.same({ missing, extra, shrunk: report.shrunk }, { missing: 0, extra: 0, shrunk: 0 }, examples.join('; '));
    t.same([report.files.missing, report.files.extra], [0, 0], 'the Parquet files hold the same');
    const mounts = existsSync('/proc/mounts') ? readFileSync('/proc/mounts', 'utf8') : '';
    t.notMatch(mounts, 'tidemark-power-cut-', 'nothing stays mounted');
  });
};

cutPower('server', 'power cut of the NATS machine: everything acknowledged is there, once; the actors are elsewhere and go on');
cutPower('everything', 'power cut of the whole machine: raw data and views too are there, once');

const readingOf = (i: number): Reading => ({
  service: 'web',
  host: 'h',
  timestamp: Date.UTC(2026, 9, 31, 22) + i * 1_000,
  cpu: i % 101,
  ram: 50,
  disk: 50,
});

t.test('a lost tail of SEGMENTS is noticed: the actors stop and say what to do', { timeout: 240_000 }, async (t) => {
  const system = await startSystem(t, { partitions: '1' });
  const folder = path.join(system.data, 'nats', 'jetstream', '$G', 'streams', 'SEGMENTS-0');
  const earlier = path.join(system.data, 'earlier');
  const publish = async (from: number, count: number): Promise<void> => {
    const [reached] = await publishAll(
      system,
      Array.from({ length: count }, (_, i) => readingOf(from + i)),
      { agent: `a${from}` },
    );
    const bus = await openBus({ ...system.settings, nats: system.nats.url }, 'test');
    await until(async () => {
      const last = await bus.last('STORED', 'raw.stored.0');
      return last !== undefined && readRawStored(last.body).to >= (reached as number) ? true : undefined;
    });
    await bus.close();
  };
  await publish(0, 100);
  await system.nats.stop();
  cpSync(folder, earlier, { recursive: true });
  await system.nats.start();
  await publish(100, 100);
  await system.stop();
  await system.nats.stop();
  rmSync(folder, { recursive: true });
  cpSync(earlier, folder, { recursive: true });
  await system.nats.start();
  system.start();
  const end = await system.ended.then(
    () => undefined,
    (error: unknown) => error,
  );
  t.ok(end instanceof HistoryError, String(end));
  t.match((end as Error).message, /it lost its tail or is another.*tidemark recover/s, 'what to do');
  t.equal(exitCodeOf(end), 5);
});
