import { spawn } from 'node:child_process';
import path from 'node:path';
import t, { type Test } from 'tap';
import { OutOfReachError } from '../../infra/errors.js';
import { runnableActors } from '../../scripts/run-actors.js';
import { bruteForce, compareRows } from './brute-force.js';
import { publishAll, type Reading, type System, startSystem } from './system.js';

const cli = path.join(import.meta.dirname, '../../scripts/cli.js');

const readings = Array.from(
  { length: 1_200 },
  (_, i): Reading => ({
    service: ['web', 'db', 'Ticketing Service', '__proto__'][i % 4] as string,
    host: `h${i % 2}`,
    timestamp: Date.UTC(2026, 9, 31, 23, 50) + ((i * 7919) % 1_800) * 1_000,
    cpu: (i * 37) % 11,
    ram: i / 1e6,
    disk: 50,
  }),
);

/** One actor in a process of its own, by the command line; a SIGTERM ends it at the test's teardown. */
const startAlone = (t: Test, actor: string, { settings, nats, data }: System) => {
  const flags = [
    '--nats',
    nats.url,
    '--nats-http-port',
    String(nats.httpPort),
    '--data',
    data,
    '--partitions',
    String(settings.partitions),
    '--part-every',
    '500ms',
    '--upload-every',
    '100ms',
    '--log-level',
    'warn',
  ];
  const child = spawn(process.execPath, [cli, 'start', actor, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  let isStopping = false;
  void ended.then((code) => {
    if (!isStopping) t.fail(`${actor} ended with ${code}`, { said });
  });
  const stop = async (): Promise<number | null> => {
    isStopping = true;
    child.kill('SIGTERM');
    return ended;
  };
  t.teardown(stop);
  return { actor, stop, said: () => said };
};

t.test('every actor alone in a process of its own gives the same rows as all together', async (t) => {
  const system = await startSystem(t);
  const half = await publishAll(system, readings.slice(0, 600));
  t.same(compareRows((await system.rows(half)).rows, bruteForce(readings.slice(0, 600))), [], 'all together');
  t.match(await system.batch(), { batch: '000001', differences: 0, records: 600 });
  await system.stop();
  const alone = runnableActors.map((actor) => startAlone(t, actor, system));
  const all = await publishAll(system, readings.slice(600));
  const { rows } = await system.rows(all);
  t.same(compareRows(rows, bruteForce(readings)), [], 'each alone');
  t.match(await batchOf(system), { batch: '000002', differences: 0, records: 1_200 });
  t.same(compareRows((await system.rows(all)).rows, bruteForce(readings)), [], 'each alone, from the batch view');
  for (const { actor, stop, said } of alone) t.equal(await stop(), 0, `${actor} stops cleanly: ${said()}`);
});

/** The scheduler's process may not listen yet. */
const batchOf = async (system: System, tries = 10): Promise<Awaited<ReturnType<System['batch']>>> => {
  try {
    return await system.batch();
  } catch (error) {
    if (!(error instanceof OutOfReachError) || tries === 0) throw error;
    return batchOf(system, tries - 1);
  }
};
