/** A short chaos run: the same faults in the same order each time. `npm run chaos` runs longer, with other seeds. */
import t from 'tap';
import { isClean, runChaos } from '../../scripts/chaos/run.js';
import { freePorts } from '../servers.js';

const seed = 7;

t.test(`whatever is killed, paused or stopped (seed ${seed}): every acknowledged reading is in the view exactly once`, async (t) => {
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const report = await runChaos({
    seed,
    seconds: 12,
    instances: 2,
    messagesPerSecond: 200,
    port,
    httpPort,
    keep: false,
    say: (line) => t.comment(line),
  });
  t.comment(report);
  t.ok(report.readings > 1_000, `${report.readings} readings`);
  t.ok(Object.values(report.faults).reduce((sum, count) => sum + count, 0) >= 3, 'faults were made');
  t.match(report.comparison, { missing: 0, extra: 0 }, 'in answers');
  t.match(report.files, { missing: 0, extra: 0 }, 'in the files that latest.json names');
  t.match(report, { wentBack: 0, shrunk: 0 }, 'nothing is taken back');
  t.ok(isClean(report), 'and no process ended by itself');
  t.ok(report.reads > 20, `${report.reads} reads`);
});
