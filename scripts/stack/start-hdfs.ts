/** `npm run start:hdfs`: a real HDFS and ZooKeeper, and a whole system on top of them. Ctrl-C ends all of it; the data stays. */
import { Command } from 'commander';
import { exitCodeOf, messageOf } from '../../infra/errors.js';
import { runProgram } from '../program.js';
import { addSettings, settingsOf } from '../settings-options.js';
import { stackDown, stackUp } from './stack.js';

const words = process.argv.slice(2);
const command = addSettings(new Command().allowUnknownOption().allowExcessArguments().helpOption(false), ['data']);
command.parse(words, { from: 'user' });

const tell = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const run = async (): Promise<number> => {
  const { data } = settingsOf(command).settings;
  const early = (): void => {
    void stackDown(data).finally(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, early);
  try {
    const settings = await stackUp({ data, datanodes: 3, zookeepers: 1, namenodePort: 9870, zookeeperPort: 2181, tell });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, early); // from here on it is the system that hears them
    return await runProgram(['start', ...settings, ...words]);
  } finally {
    tell(`stack: ${await stackDown(data)} processes ended; its data stays in ${data}/stack`);
  }
};

try {
  process.exitCode = await run();
} catch (error) {
  tell(`tidemark: ${messageOf(error)}`);
  process.exitCode = exitCodeOf(error);
}
