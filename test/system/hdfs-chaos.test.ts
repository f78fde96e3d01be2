/**
 * Half an hour of chaos with files in a real HDFS and leases in a real ZooKeeper, whose servers are struck as well as the actors and
 * nats-server; then all is counted. Only with `npm run test:hdfs`.
 */
import t from 'tap';
import { isClean, runChaos } from '../../scripts/chaos/run.js';
import { freePorts } from '../servers.js';
import { everyFault, jarsOrSkip } from '../stack.js';

const minutes = 30;
t.setTimeout(2 * minutes * 60_000);

t.test('half an hour in which every process and every server is struck: missing 0, extra 0', { skip: !everyFault }, async (t) => {
  if ((await jarsOrSkip(t)) === undefined) return;
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.comment(`seed ${seed}`);
  const report = await runChaos({
    seed,
    seconds: minutes * 60,
    instances: 2,
    messagesPerSecond: 300,
    leaseTtl: '4s',
    stack: true,
    port,
    httpPort,
    keep: false,
    say: (line) => t.comment(line),
  });
  const { comparison, files, readings, faults, wentBack, recovery, drainedMs } = report;
  t.same({ missing: comparison.missing, extra: comparison.extra }, { missing: 0, extra: 0 }, `${readings} readings in the view`);
  t.same({ missing: files.missing, extra: files.extra }, { missing: 0, extra: 0 }, 'and in the batch view, read as files');
  t.equal(wentBack, 0, 'no reader saw the view go back');
  t.ok(isClean(report), 'no process ended by itself but for a server that was away');
  process.stderr.write(`${JSON.stringify({ seed, readings, faults, drainedMs, recovery })}\n`);
});
