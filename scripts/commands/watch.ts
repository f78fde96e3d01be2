/** `tidemark watch`: changes of the view as they happen, one JSON line each. */

import { parsePosition } from '../../infra/answers/position-text.js';
import type { RegisterCommand } from '../command.js';
import { connectClient } from '../running-system.js';
import { addSettings, connectionSettings } from '../settings-options.js';

interface Options {
  service?: string[];
  since?: string;
}

export const register: RegisterCommand = (program) => {
  const command = program
    .command('watch')
    .description('changes of the view as they happen: whole merged rows, one JSON line for each service and change')
    .option(
      '--service <NAME>',
      'this service; may be given several times (default: every service)',
      (name: string, before: string[] = []) => [...before, name],
    )
    .option('--since <POSITION>', 'go on from this position, as an answer or a line gave it');
  addSettings(command, connectionSettings)
    .addHelpText(
      'after',
      '\nExample:\n  $ tidemark watch --service web | jq -c .rows[]\n\n' +
        'A line with "missed":true says that changes before it are no longer kept; it holds the rows of the last day as they are now.',
    )
    .action(async (options: Options) => {
      const since = options.since === undefined ? undefined : parsePosition(options.since);
      const client = await connectClient(command);
      const subscription = client.subscribe({
        services: options.service ?? [],
        ...(since === undefined ? {} : { since }),
      });
      const stop = (): void => {
        void subscription.close();
      };
      process.once('SIGINT', stop);
      process.once('SIGTERM', stop);
      try {
        for await (const change of subscription) {
          if (change.missed === true) {
            process.stderr.write(
              `${JSON.stringify(change.service)}: changes since --since are no longer kept; these are the rows as they are now\n`,
            );
          }
          if (!process.stdout.write(`${JSON.stringify(change)}\n`)) await new Promise((resolve) => process.stdout.once('drain', resolve));
        }
      } finally {
        process.off('SIGINT', stop);
        process.off('SIGTERM', stop);
        await client.close();
      }
    });
};
