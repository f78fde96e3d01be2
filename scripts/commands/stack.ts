/** `tidemark stack up | down | status`: a real HDFS and ZooKeeper on this machine. */
import { exitCodes, UsageError } from '../../infra/errors.js';
import type { RegisterCommand } from '../command.js';
import { addSettings, settingsOf } from '../settings-options.js';
import { stackDown, stackStatus, stackUp } from '../stack/stack.js';
import { columns } from '../table.js';

const whole = (flag: string, text: string, min: number, max: number): number => {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) throw new UsageError(`${flag} ${text}: give a whole number from ${min} to ${max}`);
  return value;
};

const tell = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** As one types them: addresses with a question mark or an ampersand in quotes. */
const quoted = (words: readonly string[]): string => words.map((word) => (/[?&*]/.test(word) ? `'${word}'` : word)).join(' ');

interface UpOptions {
  readonly datanodes: string;
  readonly zookeepers: string;
  readonly namenodePort: string;
  readonly zookeeperPort: string;
  readonly json?: boolean;
}

export const register: RegisterCommand = (program) => {
  const stack = program
    .command('stack')
    .description('a real HDFS and ZooKeeper on this machine: needs Java 17 or newer, and Maven to fetch them once')
    .addHelpText('after', '\nExample:\n  $ tidemark stack up');

  const up = stack
    .command('up')
    .description('starts a NameNode, DataNodes and ZooKeeper, waits until they can be written to, and prints the settings to use')
    .option('--datanodes <N>', 'how many DataNodes', '3')
    .option('--zookeepers <N>', 'how many ZooKeeper servers: 1 or 3', '1')
    .option('--namenode-port <PORT>', "the NameNode's http port; a free one if it is taken", '9870')
    .option('--zookeeper-port <PORT>', "the first ZooKeeper's port; a free one if it is taken", '2181')
    .option('--json', 'the settings as JSON');
  addSettings(up, ['data'])
    .addHelpText(
      'after',
      '\nExample:\n  $ tidemark stack up --data ./data\n\nThey go on when this command ends: `tidemark stack down` ends them.',
    )
    .action(async (options: UpOptions) => {
      const zookeepers = whole('--zookeepers', options.zookeepers, 1, 3);
      if (zookeepers === 2) throw new UsageError('--zookeepers 2: two are less safe than one; give 1 or 3');
      const settings = await stackUp({
        data: settingsOf(up).settings.data,
        datanodes: whole('--datanodes', options.datanodes, 1, 20),
        zookeepers: zookeepers as 1 | 3,
        namenodePort: whole('--namenode-port', options.namenodePort, 1, 65_535),
        zookeeperPort: whole('--zookeeper-port', options.zookeeperPort, 1, 65_533),
        tell,
      });
      if (options.json === true) {
        process.stdout.write(`${JSON.stringify({ storage: settings[1], coordinator: settings[3] })}\n`);
        return;
      }
      process.stdout.write(`${quoted(settings)}\n`);
    });

  const down = stack.command('down').description('ends what `stack up` started; data stays').option('--purge', 'remove the data as well');
  addSettings(down, ['data'])
    .addHelpText('after', '\nExample:\n  $ tidemark stack down --data ./data --purge')
    .action(async (options: { purge?: boolean }) => {
      const ended = await stackDown(settingsOf(down).settings.data, { purge: options.purge === true });
      process.stdout.write(`${ended} ended${options.purge === true ? ', data removed' : ''}\n`);
    });

  const status = stack
    .command('status')
    .description('every server, and how it is; exit code 4 when one is away')
    .option('--json', 'as JSON');
  addSettings(status, ['data'])
    .addHelpText('after', '\nExample:\n  $ tidemark stack status')
    .action(async (options: { json?: boolean }) => {
      const { data } = settingsOf(status).settings;
      const found = await stackStatus(data);
      if (found === undefined || found.servers.some(({ state }) => state === '-')) process.exitCode = exitCodes.outOfReach;
      if (options.json === true) {
        process.stdout.write(`${JSON.stringify(found ?? null)}\n`);
        return;
      }
      if (found === undefined) {
        process.stdout.write(`no stack in ${data}: \`tidemark stack up\` starts one\n`);
        return;
      }
      const rows = found.servers.map(({ name, pid, port, state }) => [name, String(pid ?? '-'), String(port), state]);
      process.stdout.write(`${columns([['server', 'pid', 'port', 'state'], ...rows])}${quoted(found.settings)}\n`);
    });
};
