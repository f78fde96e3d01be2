/** `tidemark status`: who runs what, lag, fill, refused, missing, proofs; what is wrong comes first. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus } from '../../infra/bus/bus.js';
import type { Origins, Settings } from '../../infra/config.js';
import { OutOfReachError } from '../../infra/errors.js';
import type { RegisterCommand } from '../command.js';
import { findSystem } from '../running-system.js';
import { addSettings, connectionSettings, settingsOf } from '../settings-options.js';
import { formatStatus } from '../status/format.js';
import { openInTime, readStatus, type Status } from '../status/status.js';

interface Options {
  json?: boolean;
  watch?: boolean;
}

const watchEveryMs = 1_000;
const closeMsMax = 100;

const asError = (error: unknown): Error => (error instanceof Error ? error : new OutOfReachError(String(error)));

/** Once: a connection, the status, and no waiting for its end. */
const readOnce = async (given: { settings: Settings; origins: Origins }): Promise<Status> => {
  const bus: Bus | Error = await findSystem(given).then(openInTime).catch(asError);
  try {
    return await readStatus(bus, given.settings);
  } finally {
    if (!(bus instanceof Error)) await Promise.race([bus.close(), sleep(closeMsMax)]);
  }
};

const write = (status: Status, json: boolean | undefined): void => {
  process.stdout.write(json === true ? `${JSON.stringify(status)}\n` : formatStatus(status));
};

/** Until somebody ends it. */
const watch = async (given: { settings: Settings; origins: Origins }, json: boolean | undefined): Promise<never> => {
  for (;;) {
    const status = await readOnce(given);
    if (json !== true) process.stdout.write(process.stdout.isTTY ? '\u001b[H\u001b[2J' : '\n');
    write(status, json);
    await sleep(watchEveryMs);
  }
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('status')
    .description('who runs what, how far everybody has got, what was refused or is missing, proofs; what is wrong comes first')
    .option('--json', 'as JSON')
    .option('--watch', 'again each second, until it is ended');
  addSettings(command, [...connectionSettings, 'storage'])
    .addHelpText(
      'after',
      '\nExample:\n  $ tidemark status --watch\n\n' +
        'It answers within two seconds whatever state the system is in. Exit code 4: the NATS server does not answer.',
    )
    .action(async (options: Options) => {
      const given = settingsOf(command);
      if (options.watch === true) await watch(given, options.json);
      const status = await readOnce(given);
      write(status, options.json);
      if (status.streams === null) throw new OutOfReachError(`status is not whole: ${status.unread.join('; ')}`);
    });
};
