/** Progress on stderr: a bar on a terminal, else a plain line each ten seconds. */
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  /** @param done of the total; @param note what else is to be said, in a few words. */
  show(done: number, note: string): void;
  end(): void;
}

const plainEveryMs = 10_000;

const plain = (what: string, total: number): Progress => {
  let shownAtMs = Date.now();
  return {
    show: (done, note) => {
      if (Date.now() - shownAtMs < plainEveryMs) return;
      shownAtMs = Date.now();
      process.stderr.write(`${what}: ${Math.floor((100 * Math.min(done, total)) / Math.max(1, total))} %, ${note}\n`);
    },
    end: () => undefined,
  };
};

export const openProgress = (what: string, total: number): Progress => {
  if (process.stderr.isTTY !== true) return plain(what, total);
  const bar = new SingleBar(
    { stream: process.stderr, format: `${what} {bar} {percentage} %  {note}`, hideCursor: true, fps: 8 },
    Presets.shades_classic,
  );
  bar.start(Math.max(1, total), 0, { note: '' });
  return {
    show: (done, note) => bar.update(Math.min(done, total), { note }),
    end: () => bar.stop(),
  };
};
