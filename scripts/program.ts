/** The command line as a whole: every command, and what becomes of an error. */
import { Command, CommanderError } from 'commander';
import { exitCodeOf, exitCodes, messageOf, TidemarkError } from '../infra/errors.js';
import { packageVersion } from '../infra/package-folder.js';
import type { RegisterCommand } from './command.js';

/** In the order in which help shows them. A process loads the one that it was called for: `start` stays for months. */
const commands: Readonly<Record<string, () => Promise<{ readonly register: RegisterCommand }>>> = {
  start: () => import('./commands/start.js'),
  agent: () => import('./commands/agent.js'),
  import: () => import('./commands/import.js'),
  demo: () => import('./commands/demo.js'),
  query: () => import('./commands/query.js'),
  watch: () => import('./commands/watch.js'),
  verify: () => import('./commands/verify.js'),
  batch: () => import('./commands/batch.js'),
  rebuild: () => import('./commands/rebuild.js'),
  recover: () => import('./commands/recover.js'),
  status: () => import('./commands/status.js'),
  topology: () => import('./commands/topology.js'),
  doctor: () => import('./commands/doctor.js'),
  user: () => import('./commands/user.js'),
  config: () => import('./commands/config.js'),
  stack: () => import('./commands/stack.js'),
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
  for (const { register } of loaded) register(program);
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
