/** `tidemark batch`: a batch now; ends when it is proved. */
import type { Command } from 'commander';
import { openBus } from '../../infra/bus/nats.js';
import { parseDuration } from '../../infra/config.js';
import { PromiseError } from '../../infra/errors.js';
import type { ViewProved } from '../../protocol/messages/batch.js';
import { askBatch, type BatchKind } from '../ask-batch.js';
import type { RegisterCommand } from '../command.js';
import { systemOf } from '../running-system.js';
import { addSettings, connectionSettings } from '../settings-options.js';

interface Options {
  json?: boolean;
  wait: string;
}

const whole = (number: number): string => number.toLocaleString('en');

/** What became of it, for people; what is wrong comes first. */
export const formatProof = (kind: BatchKind, proved: ViewProved | null, seconds: number): string => {
  if (proved === null) return `nothing new: ${kind === 'batch' ? 'the batch view has everything' : 'there are no records yet'}\n`;
  const { batch, records, rows, differences, examples, repaired, mended } = proved;
  const noun = differences === 1 ? 'difference' : 'differences';
  const differing = `${whole(differences)} ${noun}, the old view stays`;
  const mending = `repaired: all was counted twice, and ${whole(mended ?? 0)} wrong in the view before`;
  const outcome = repaired === true ? mending : differences === 0 ? 'proved, no difference' : differing;
  const list = examples.map((example) => `  ${example}\n`).join('');
  return `batch ${batch}: ${outcome}; ${whole(records)} records in ${whole(rows)} rows, ${seconds.toFixed(1)} s\n${list}`;
};

/** `batch` and `rebuild` are one question of two kinds. */
export const addBatchCommand = (program: Command, kind: BatchKind, description: string, example: string): void => {
  const command = program
    .command(kind)
    .description(description)
    .option('--json', 'the outcome as JSON')
    .option('--wait <TIME>', 'how long it may take', '1h');
  addSettings(command, connectionSettings)
    .addHelpText(
      'after',
      [
        '',
        'Example:',
        `  $ ${example}`,
        '',
        'Nothing new is no fault. Exit code 5: differences were found, or it was abandoned; 4: nobody answers.',
      ].join('\n'),
    )
    .action(async (options: Options) => {
      const waitMs = parseDuration(options.wait);
      const bus = await openBus(await systemOf(command), `tidemark ${kind}`);
      const startedAt = performance.now();
      try {
        const tell = (batch: string): boolean => process.stderr.write(`batch ${batch} has begun\n`);
        const proved = await askBatch(bus, kind, waitMs, tell);
        const seconds = Math.round(performance.now() - startedAt) / 1_000;
        const json = { batch: null, ...proved, seconds };
        process.stdout.write(options.json === true ? `${JSON.stringify(json)}\n` : formatProof(kind, proved, seconds));
        if (proved !== null && proved.differences > 0) {
          throw new PromiseError(`batch ${proved.batch} differs from what it should replace: run \`tidemark rebuild\``);
        }
      } finally {
        await bus.close();
      }
    });
};

export const register: RegisterCommand = (program) =>
  addBatchCommand(program, 'batch', 'makes the batch view anew now, from what is new; ends when it is proved', 'tidemark batch');
