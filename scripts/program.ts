/** The command line as a whole: every command, and what becomes of an error. */
import { Command, CommanderError } from 'commander';
import { exitCodeOf, exitCodes, messageOf, TidemarkError } from '../infra/errors.js';
import { packageVersion } from '../infra/package-folder.js';
import type { RegisterCommand } from './command.js';
import { register as agent } from './commands/agent.js';
import { register as batch } from './commands/batch.js';
import { register as config } from './commands/config.js';
import { register as demo } from './commands/demo.js';
import { register as doctor } from './commands/doctor.js';
import { register as importing } from './commands/import.js';
import { register as query } from './commands/query.js';
import { register as rebuild } from './commands/rebuild.js';
import { register as recover } from './commands/recover.js';
import { register as stack } from './commands/stack.js';
import { register as start } from './commands/start.js';
import { register as status } from './commands/status.js';
import { register as topology } from './commands/topology.js';
import { register as user } from './commands/user.js';
import { register as verify } from './commands/verify.js';
import { register as watch } from './commands/watch.js';

/** In the order in which help shows them. */
const commands: readonly RegisterCommand[] = [
  start,
  agent,
  importing,
  demo,
  query,
  watch,
  verify,
  batch,
  rebuild,
  recover,
  status,
  topology,
  doctor,
  user,
  config,
  stack,
];

export const createProgram = (): Command => {
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
  for (const register of commands) register(program);
  for (const { options } of program.commands) {
    for (const option of options) {
      if (typeof option.defaultValue === 'string') option.defaultValueDescription = option.defaultValue; // without quotes, as it is typed
    }
  }
  return program;
};

/** Runs one command line. @returns the exit code; what went wrong stands on stderr. */
export const runProgram = async (words: readonly string[], program = createProgram()): Promise<number> => {
  try {
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
