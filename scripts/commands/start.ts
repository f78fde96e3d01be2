/** `tidemark start [actor…]`: a whole system on this machine, or some actors in this process, joined to a server. */
import { inspectServer } from '../../infra/bus/nats-inspect.js';
import { parseDuration, settingNames } from '../../infra/config.js';
import { exitCodes, UsageError } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import { reachMsMax } from '../../infra/within.js';
import { actorNames } from '../../protocol/catalogue.js';
import type { RegisterCommand } from '../command.js';
import { letHeapGrow } from '../heap-bounds.js';
import type { RunnableActor } from '../run-actors.js';
import { findSystem, type RunningSettings } from '../running-system.js';
import { addSettings, settingsOf } from '../settings-options.js';
import { stopMsMax } from '../start/order.js';
import { stopSignal } from '../start/signals.js';

import { type AgentFlags, everyDefault, runAgent } from './agent.js';

const runnable = actorNames.filter((name): name is RunnableActor => name !== 'agent');
const isRunnable = (name: string): name is RunnableActor => runnable.some((one) => one === name);

const startActors = async (names: RunnableActor[], settings: RunningSettings): Promise<void> => {
  letHeapGrow(names.includes('buffer'));
  const { nats, natsHttpPort } = settings;
  const { version, unproven } = await inspectServer(nats, natsHttpPort, {
    waitMsMax: reachMsMax,
    waits: ({ message }) => process.stderr.write(`${message} Waits ${reachMsMax / 1_000} s for it\n`),
  });
  if (unproven !== undefined) process.stderr.write(`durability unproven: ${unproven}\n`);
  const { runActors } = await import('../run-actors.js');
  const log = createLog(settings);
  const signal = stopSignal();
  signal.addEventListener('abort', () => setTimeout(() => process.exit(exitCodes.failed), stopMsMax).unref());
  log.info({ actors: names, nats, version }, 'starts');
  await runActors(names, Object.freeze(settings), { signal, log });
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('start')
    .argument('[actor...]', `only these, in this process, joined to --nats: ${runnable.join(', ')}`)
    .description('runs a whole system on this machine: nats-server, all actors, agents; with names: those actors alone')
    .option('--process <NAME>', 'program to measure as the fourth service (default: the busiest other one)')
    .option('--service <NAME>', 'with `start agent`: what is measured')
    .option('--every <TIME>', 'how often to measure', everyDefault);
  addSettings(command, settingNames)
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  $ tidemark start --data ./data --process postgres',
        '  $ tidemark start buffer uploader --nats nats://127.0.0.1:4222',
        '',
        'Ctrl-C stops it; the next start goes on with the same data. Exit code 3: a setting, or data of a newer version;',
        '4: no nats-server, a port is taken, or another start has the data; 5: the data is not what was promised.',
      ].join('\n'),
    )
    .action(async (names: string[], options: AgentFlags) => {
      const given = settingsOf(command);
      const unknown = names.find((name) => !isRunnable(name));
      if (names.length === 1 && unknown === 'agent') return runAgent(options, () => findSystem(given));
      if (unknown !== undefined) throw new UsageError(`${unknown} is no actor: there are ${runnable.join(', ')}`);
      const everyMs = parseDuration(options.every);
      if (names.length > 0) return startActors(names.filter(isRunnable), await findSystem(given));
      const { runSystem } = await import('../start/supervisor.js'); // what it takes along is for this command alone
      process.exitCode = await runSystem({
        settings: given.settings,
        signal: stopSignal(),
        program: options.process,
        everyMs,
        anyHttpPort: given.origins.httpPort === 'default',
      });
    });
};
