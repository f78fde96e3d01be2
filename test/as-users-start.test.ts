import { spawnSync } from 'node:child_process';
import t from 'tap';

t.test('what tests start has nothing of the test runner', (t) => {
  const { stdout } = spawnSync(process.execPath, ['-p', 'process.env.NODE_OPTIONS + process.execArgv.join()'], { encoding: 'utf8' });
  t.notMatch(stdout, /tapjs|import/);
  t.end();
});
