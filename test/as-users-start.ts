/**
 * Loaded before each test file, by the test runner's node-arg: what tests start is started as users start it. The runner would hand
 * its own hooks down to each of them, which follow every module for its coverage and make a start twice as slow.
 */
import { createRequire } from 'node:module';

const hooks = /"?--import=[^" ]*@tapjs\/processinfo[^" ]*"?/g;

const { removeAllListeners } = createRequire(import.meta.url)('process-on-spawn') as { removeAllListeners(): void };
removeAllListeners();

const left = process.env.NODE_OPTIONS?.replace(hooks, '').trim();
if (left) process.env.NODE_OPTIONS = left;
else delete process.env.NODE_OPTIONS;
