/** `tidemark doctor`: what is wrong on this machine and around it, and how to mend it. */
import { exitCodes } from '../../infra/errors.js';
import type { RegisterCommand } from '../command.js';
import { addSettings, connectionSettings, settingsOf } from '../settings-options.js';
import { columns } from '../table.js';

const shownSettings = [
  ...connectionSettings,
  'natsServer',
  'natsHost',
  'natsHttpPort',
  'httpPort',
  'partitions',
  'storage',
  'coordinator',
  'zookeeperAuth',
  'memoryMiB',
  'mapThreads',
] as const;

export const register: RegisterCommand = (program) => {
  const command = program
    .command('doctor')
    .description(
      'looks at what a system stands on (Node, disk, memory, ports, NATS, streams, leases, DuckDB, storage) and says how to mend it',
    )
    .option('--json', 'as JSON');
  addSettings(command, shownSettings)
    .addHelpText(
      'after',
      '\nExample:\n  $ tidemark doctor --data /srv/tidemark\n\nExit codes: 0 nothing fails (there may be warnings), 4 something does.',
    )
    .action(async ({ json }: { json?: boolean }) => {
      const { examine } = await import('../doctor/doctor.js'); // it takes everything along
      const findings = await examine(settingsOf(command));
      const rows = findings.map(({ what, state, found, mend }) => [state, what, mend === '' ? found : `${found} -> ${mend}`]);
      process.stdout.write(json === true ? `${JSON.stringify(findings)}\n` : columns(rows));
      if (findings.some(({ state }) => state === 'fail')) process.exitCode = exitCodes.outOfReach;
    });
};
