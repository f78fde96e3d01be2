/** `tidemark start [actor…]`: a whole system on this machine, or some actors in this process, joined to a server. */
import { inspectServer } from '../../infra/bus/nats-inspect.js';
import { parseDuration, settingNames, type Settings } from '../../infra/config.js';
import { UsageError } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import { type ActorName, actorNames } from '../../protocol/catalogue.js';
import type { RegisterCommand } from '../command.js';
import { addSettings, settingsOf } from '../settings-options.js';
import { stopSignal } from '../start/signals.js';

const isActor = (name: string): name is ActorName => actorNames.some((one) => one === name);

const startActors = async (names: ActorName[], given: Settings): Promise<void> => {
  const nats = given.nats ?? `nats://127.0.0.1:${given.natsPort}`;
  const { version, unproven } = await inspectServer(nats, given.natsHttpPort);
  if (unproven !== undefined) process.stderr.write(`durability unproven: ${unproven}\n`);
  const { runActors } = await import('../../infra/actor/run.js');
  const log = createLog(given);
  const signal = stopSignal();
  log.info({ actors: names, nats, version }, 'starts');
  await runActors(names, Object.freeze({ ...given, nats }), { signal, log });
};

export const register: RegisterCommand = (program) => {
  const command = program.command('start')
    .argument('[actor...]', `only these, in this process, joined to --nats: ${actorNames.filter((name) => name !== 'agent').join(', ')}`)
    .description('without names: nats-server, all actors and agents on this machine; with names: those actors')
    .option('--process <NAME>', 'program to measure as the fourth service (default: the busiest other one)')
    .option('--every <TIME>', 'how often to measure', '1s');
  addSettings(command, settingNames)
    .addHelpText('after', [
      '', 'Examples:',
      '  $ tidemark start --data ./data --process postgres',
      '  $ tidemark start buffer uploader --nats nats://127.0.0.1:4222',
    ].join('\n'))
    .action(async (names: string[], options: { process?: string; every: string }) => {
      const { settings } = settingsOf(command);
      const unknown = names.find((name) => !isActor(name) || name === 'agent');
      if (unknown === 'agent') throw new UsageError('an agent is started by `tidemark agent --service NAME`');
      if (unknown !== undefined) throw new UsageError(`${unknown} is no actor: there are ${actorNames.join(', ')}`);
      const everyMs = parseDuration(options.every);
      if (names.length > 0) return startActors(names.filter(isActor), settings);
      const { runSystem } = await import('../start/supervisor.js'); // what it takes along is for this command alone
      process.exitCode = await runSystem({ settings, signal: stopSignal(), program: options.process, everyMs });
    });
};
