/** `tidemark user`: who else may come to the server that `start` runs, and with which rights. */
import type { Command } from 'commander';
import { renewUsers } from '../../infra/bus/nats-server.js';
import type { Role } from '../../infra/bus/rights.js';
import { addedUsers, addUser, keyFile, ownUsers, removeUser } from '../../infra/bus/users.js';
import { loadSettings } from '../../infra/config.js';
import { UsageError } from '../../infra/errors.js';
import type { RegisterCommand } from '../command.js';
import { addSettings } from '../settings-options.js';
import { columns } from '../table.js';

interface AddFlags {
  agent?: string;
  host?: string;
  gateway?: string;
  subscriber?: boolean;
}

const roleOf = ({ agent, host, gateway, subscriber }: AddFlags): Role => {
  const given = [agent, gateway, subscriber].filter((one) => one !== undefined).length;
  if (given !== 1) throw new UsageError('say what the user is: one of --agent SERVICE --host HOST, --gateway NAME, --subscriber');
  if (agent !== undefined) {
    if (host === undefined) throw new UsageError(`say on which host ${agent} is measured: --host HOST`);
    return { kind: 'agent', service: agent, host };
  }
  if (host !== undefined) throw new UsageError('--host belongs to --agent');
  return gateway === undefined ? { kind: 'subscriber' } : { kind: 'gateway', name: gateway };
};

const describe = (role: Role): string => {
  switch (role.kind) {
    case 'operator':
      return 'may do everything';
    case 'actor':
      return `the ${role.actor}: what the catalogue says`;
    case 'agent':
      return `publishes ${role.service ?? 'any service'} of ${role.host}, hears its acknowledgements`;
    case 'gateway':
      return `publishes metrics.${role.name} for any service, hears its acknowledgements`;
    case 'subscriber':
      return 'asks and watches';
    case 'local':
      return 'publishes, asks and watches';
  }
};

const tellRenewed = async (data: string): Promise<void> => {
  const runs = await renewUsers(data);
  process.stderr.write(runs ? 'the server that runs has taken it over\n' : 'it counts from the next start on\n');
};

/** The one setting that is needed: `--host` is an agent's here, not that of the pages. */
const dataOf = (command: Command): string => {
  const { data, config } = command.opts<{ data?: string; config?: string }>();
  return loadSettings({ data, config }).settings.data;
};

export const register: RegisterCommand = (program) => {
  const user = program
    .command('user')
    .description('who else may come to the server that `start` runs, and with which rights')
    .addHelpText('after', '\nExample:\n  $ tidemark user add web-h1 --agent web --host h1');
  const add = user
    .command('add <name>')
    .description('adds a user and prints the file with its key: copy it to where it is used, as --nats-creds FILE')
    .option('--agent <SERVICE>', 'measures this service …')
    .option('--host <HOST>', '… on this host, and publishes nothing else')
    .option('--gateway <NAME>', 'publishes metrics.NAME for many services')
    .option('--subscriber', 'asks and watches');
  addSettings(add, ['data'])
    .addHelpText('after', '\nExample:\n  $ tidemark user add web-h1 --agent web --host h1')
    .action(async (name: string, flags: AddFlags) => {
      const data = dataOf(add);
      const role = roleOf(flags);
      const file = addUser(data, { name, role });
      await tellRenewed(data);
      process.stdout.write(`${file}\n`);
    });
  const list = user.command('list').description('all users, and what each may do').option('--json', 'as JSON');
  addSettings(list, ['data'])
    .addHelpText('after', '\nExample:\n  $ tidemark user list')
    .action(({ json }: { json?: boolean }) => {
      const data = dataOf(list);
      const all = [...ownUsers(), ...addedUsers(data)];
      if (json === true) {
        process.stdout.write(`${JSON.stringify(all.map((one) => ({ ...one, key: keyFile(data, one.name) })))}\n`);
        return;
      }
      process.stdout.write(columns([['user', 'may', 'key'], ...all.map(({ name, role }) => [name, describe(role), keyFile(data, name)])]));
    });
  const remove = user.command('remove <name>').description('takes a user away; its connections end');
  addSettings(remove, ['data'])
    .addHelpText('after', '\nExample:\n  $ tidemark user remove web-h1')
    .action(async (name: string) => {
      const data = dataOf(remove);
      removeUser(data, name);
      await tellRenewed(data);
    });
};
