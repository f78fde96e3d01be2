/** When to stop: a signal, or the end of the npm that started us. */
import { isNpmScript } from '../../infra/config.js';
import { parentOf } from '../../infra/process.js';

/** npm passes on the Ctrl-C that the terminal has sent here already: that is no second one. */
const sameSignalMs = 1_000;
const lookEveryMs = 500;

/** npm runs a script in a shell of its own, so it is our parent's parent. */
const ancestors = (): string => `${process.ppid} ${parentOf(process.ppid)}`;

/** Aborted at the first signal; the second one ends the process at once. */
export const stopSignal = (): AbortSignal => {
  const stop = new AbortController();
  let firstAt: number | undefined;
  const heard = (signal: NodeJS.Signals): void => {
    if (firstAt === undefined) {
      firstAt = performance.now();
      process.stderr.write('stopping: what is buffered is sealed first; once more to stop at once\n');
      stop.abort();
    } else if (performance.now() - firstAt > sameSignalMs) {
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, heard);
  if (isNpmScript()) {
    const before = ancestors();
    setInterval(() => {
      if (ancestors() !== before) stop.abort();
    }, lookEveryMs).unref();
  }
  return stop.signal;
};
