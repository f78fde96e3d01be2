/** The command line as a whole: every command, and what becomes of an error. */
import { Command, CommanderError } from 'commander';
import { exitCodeOf, exitCodes, messageOf, TidemarkError } from '../infra/errors.js';
import { packageVersion } from '../infra/package-folder.js';
import type { RegisterCommand } from './command.js';

const commandOf = ({ register }: { register: RegisterCommand }): RegisterCommand => register;

/** In the order in which help shows them. A process loads the one that it was called for: `start` stays for months. */
const commands: Readonly<Record<string, () => Promise<RegisterCommand>>> = {
  start: () => import('./commands/start.js').then(commandOf),
  agent: () => import('./commands/agent.js').then(commandOf),
  import: () => import('./commands/import.js').then(commandOf),
  demo: () => import('./commands/demo.js').then(commandOf),
  query: () => import('./commands/query.js').then(commandOf),
  watch: () => import('./commands/watch.js').then(commandOf),
  verify: () => import('./commands/verify.js').then(commandOf),
  batch: () => import('./commands/batch.js').then(commandOf),
  rebuild: () => import('./commands/rebuild.js').then(commandOf),
  recover: () => import('./commands/recover.js').then(commandOf),
  status: () => import('./commands/status.js').then(commandOf),
  topology: () => import('./commands/topology.js').then(commandOf),
  doctor: () => import('./commands/doctor.js').then(commandOf),
  user: () => import('./commands/user.js').then(commandOf),
  config: () => import('./commands/config.js').then(commandOf),
  stack: () => import('./commands/stack.js').then(commandOf),
};

/** With the command of that name, or with all of them where there is none. */
export const createProgram = async (name?: string): Promise<Command> => {
  const program = new Command('tidemark')
    .description('Service health that answers for its numbers: every acknowledged reading is in every answer exactly once.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .showHelpAfterError('(add --help for what there is)')
    .exitOverride()
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  $ tidemark start                                a whole system on this machine',
        '  $ tidemark query --from now-10m --to now        rows of the last ten minutes',
        '  $ tidemark verify                               count everything again, and compare',
        '',
        'Results go to stdout, progress and logs to stderr.',
        'Exit codes: 0 ok, 1 failed, 2 usage, 3 settings, 4 something needed is out of reach, 5 a promise is broken.',
      ].join('\n'),
    );
  const named = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  const loaded = await Promise.all((named === undefined ? Object.values(commands) : [named]).map((load) => load()));
  for (const register of loaded) register(program);
  for (const { options } of program.commands) {
    for (const option of options) {
      if (typeof option.defaultValue === 'string') option.defaultValueDescription = option.defaultValue; // without quotes, as it is typed
    }
  }
  return program;
};

/** Runs one command line. @returns the exit code; what went wrong stands on stderr. */
export const runProgram = async (words: readonly string[], given?: Command): Promise<number> => {
  try {
    const program = given ?? (await createProgram(words[0]));
    if (words.length === 0) program.outputHelp();
    else await program.parseAsync(words, { from: 'user' });
    return Number(process.exitCode ?? exitCodes.ok);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const unexpected = error instanceof Error && !(error instanceof TidemarkError);
    process.stderr.write(`tidemark: ${unexpected ? error.stack : messageOf(error)}\n`);
    return exitCodeOf(error);
  }
};
