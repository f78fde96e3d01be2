import t from 'tap';
import { OutOfReachError } from '../../../infra/errors.js';
import { createLog, type Log } from '../../../infra/log.js';
import { keep, pauseAfter, type Running } from '../../../scripts/start/keep.js';
import { until } from '../../until.js';

const log = createLog({ logLevel: 'silent' });

/** A process that ends when it is told to; `launched` resolves with each new one. */
const launcher = () => {
  const all: { end: (how: string) => void; isGone: boolean }[] = [];
  const waiting: (() => void)[] = [];
  let failNext = 0;
  return {
    all,
    failNext: (times: number) => {
      failNext = times;
    },
    launch: async (): Promise<Running> => {
      if (failNext-- > 0) throw new OutOfReachError('not now');
      let end: (how: string) => void = () => undefined;
      const ended = new Promise<string>((resolve) => {
        end = resolve;
      });
      const one = {
        isGone: false,
        end: (how: string) => {
          one.isGone = true;
          end(how);
        },
      };
      all.push(one);
      waiting.shift()?.();
      return { pid: all.length, ended, stop: async () => one.end('stopped') };
    },
    next: () =>
      new Promise<void>((resolve) => {
        waiting.push(resolve);
      }),
  };
};

t.test('who dies is brought back, also when that does not work at once, and a stop ends the new one', async (t) => {
  const { all, launch, next, failNext } = launcher();
  const kept = await keep('x', launch, { log });
  t.equal(kept.current.pid, 1);
  const second = next();
  failNext(1);
  all[0]?.end('signal SIGKILL');
  await second;
  await kept.stop();
  t.equal(all.length, 2);
  t.ok(all.every(({ isGone }) => isGone));
});

t.test("the first launch's error is the caller's", async (t) => {
  const { launch, failNext } = launcher();
  failNext(1);
  await t.rejects(keep('x', launch, { log }), { message: 'not now' });
});

t.test('an end for good is left alone, and so is what was stopped', async (t) => {
  const { all, launch } = launcher();
  const said = new Promise<string>((resolve) => {
    const hear = (_: unknown, phrase: string) => resolve(phrase);
    const listening = { error: hear, warn: hear, info: hear } as unknown as Log;
    void keep('x', launch, { log: listening, isFinal: () => true }).then(() => all[0]?.end('exit code 5'));
  });
  t.equal(await said, 'ended for good');
  const other = launcher();
  const stopped = await keep('y', other.launch, { log });
  await stopped.stop();
  t.equal(all.length, 1);
  t.equal(other.all.length, 1);
});

t.test('pauses grow to five seconds', (t) => {
  t.same([0, 1, 2, 3, 4, 5, 50].map(pauseAfter), [250, 500, 1000, 2000, 4000, 5000, 5000]);
  t.end();
});

t.test('of each one that runs in its place somebody hears, once it does: its pid is another', async (t) => {
  const { all, launch } = launcher();
  const pids: number[] = [];
  const kept = await keep('x', launch, { log, onBack: () => void pids.push(kept.current.pid) });
  t.same(pids, [], 'not of the first: the caller has it');
  all[0]?.end('signal SIGKILL');
  await until(() => (pids.length > 0 ? true : undefined));
  t.same(pids, [2]);
  await kept.stop();
});
