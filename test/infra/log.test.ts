import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const log = path.join(import.meta.dirname, '../../infra/log.js');

t.test('a disk that is full takes log lines, not the process', async (t) => {
  const script = `
    const { createLog } = await import(${JSON.stringify(log)});
    const log = createLog({ logLevel: 'info', file: '/dev/full' });
    for (let i = 0; i < 10_000; i++) log.info({ i }, 'a line that finds no room');
    await new Promise((resolve) => setTimeout(resolve, 100));
    process.stdout.write('goes on');`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script]);
  t.equal(stdout, 'goes on');
});
