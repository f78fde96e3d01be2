/**
 * `npm run bench [-- LINE…]`: one table of figures with the machine that they were taken on. Each is a ratio to a peer that
 * ran in the same run, or to the limit that is required; what else ran on the machine shows in both.
 */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { exitCodeOf, exitCodes, messageOf, UsageError } from '../../infra/errors.js';
import { type Figure, figuresTable, outcomeOf, ratioOf } from './figures.js';
import { hdfsLines } from './hdfs-lines.js';
import { type BenchOptions, lines, type RunLine } from './lines.js';
import { describeMachine, machineText } from './machine.js';

const help = `npm run bench -- [--hdfs] [LINE…] [--seconds N] [--records N] [--json]

  LINE       ${[...lines.keys()].join(', ')}; without one, all
  --hdfs     the lines with a real HDFS and ZooKeeper (needs Java and Maven): ${[...hdfsLines.keys()].join(', ')}
  --seconds  how long readings are published (default: 60, 30 or 20, as the line needs; hdfs-uploads 600)
  --records  raw records of batch, next-batch, growth and hdfs-batch (default: 10000000)
  --json     the figures as JSON

Exits with 1 if a figure is not what is required.
`;

const wholeNumber = (name: string, text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new UsageError(`--${name} ${text}: write a whole number from 1 on`);
  return value;
};

const tell = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const chosenLines = (all: ReadonlyMap<string, RunLine>, names: readonly string[]): [string, RunLine][] => {
  const unknown = names.find((name) => !all.has(name));
  if (unknown !== undefined) throw new UsageError(`${unknown} is no line: there are ${[...all.keys()].join(', ')}`);
  return [...all].filter(([name]) => names.length === 0 || names.includes(name));
};

const readWords = (words: string[]) => {
  try {
    return parseArgs({
      args: words,
      allowPositionals: true,
      options: {
        hdfs: { type: 'boolean' },
        seconds: { type: 'string' },
        records: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error });
  }
};

const run = async (words: string[]): Promise<number> => {
  const { values, positionals } = readWords(words);
  if (values.help === true) {
    process.stdout.write(help);
    return exitCodes.ok;
  }
  const options: BenchOptions = {
    seconds: wholeNumber('seconds', values.seconds),
    records: wholeNumber('records', values.records) ?? 10_000_000,
    tell,
  };
  const chosen = chosenLines(values.hdfs === true ? hdfsLines : lines, positionals);
  const machine = await describeMachine(tmpdir());
  tell(machineText(machine).trimEnd());
  const figures: Figure[] = [];
  for (const [name, runLine] of chosen) {
    tell(`${name} …`);
    figures.push(...(await runLine(options)));
  }
  process.stdout.write(
    values.json === true
      ? `${JSON.stringify({ machine, figures: figures.map((figure) => ({ ...figure, ratio: ratioOf(figure), outcome: outcomeOf(figure) })) }, null, 1)}\n`
      : `${machineText(machine)}\n${figuresTable(figures)}`,
  );
  return figures.every((figure) => outcomeOf(figure) !== 'MISSED') ? exitCodes.ok : exitCodes.failed;
};

// Whatever was started ends with this process, and that only at its exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(exitCodes.failed));

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  tell(messageOf(error));
  process.exitCode = exitCodeOf(error);
}
