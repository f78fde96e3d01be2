/** `tidemark agent`: measures one service on this machine, until it is stopped. `tidemark start agent` is the same. */
import { parseDuration, type SettingName } from '../../infra/config.js';
import { UsageError } from '../../infra/errors.js';
import { createLog } from '../../infra/log.js';
import type { RegisterCommand } from '../command.js';
import { type RunningSettings, systemOf } from '../running-system.js';
import { addSettings, connectionSettings } from '../settings-options.js';
import { stopSignal } from '../start/signals.js';

const settingsNeeded: readonly SettingName[] = [...connectionSettings, 'logLevel'];

export interface AgentFlags {
  service?: string;
  process?: string;
  every: string;
}

export const everyDefault = '1s';

export const runAgent = async ({ service, process: program, every }: AgentFlags, find: () => Promise<RunningSettings>): Promise<void> => {
  if (service === undefined || service === '') throw new UsageError('say what is measured: --service NAME');
  const everyMs = parseDuration(every);
  if (everyMs < 100) throw new UsageError(`--every ${every} is too often: 100ms at least`);
  const settings = await find();
  const log = createLog(settings, { actor: 'agent', service });
  const { measureOne } = await import('../start/agents.js'); // what it takes along is for this command alone
  log.info({ nats: settings.nats, program, everyMs }, 'measures');
  await measureOne({ service, program, settings, everyMs, log, signal: stopSignal() });
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('agent')
    .description("measures this machine, or one program's processes, and publishes a reading at each aligned second")
    .requiredOption('--service <NAME>', 'what is measured, as answers will name it')
    .option('--process <NAME>', "measure this program's processes (default: the whole machine)")
    .option('--every <TIME>', 'how often to measure', everyDefault);
  addSettings(command, settingsNeeded)
    .addHelpText('after', '\nExample:\n  $ tidemark agent --service shop-db --process postgres --nats nats://10.0.0.5:4222')
    .action((flags: AgentFlags) => runAgent(flags, () => systemOf(command)));
};
