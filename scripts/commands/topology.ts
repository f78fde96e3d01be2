/** `tidemark topology`: the message table, from the catalogue. */
import { Option } from 'commander';
import { catalogue, topologyTable } from '../../protocol/catalogue.js';
import type { RegisterCommand } from '../command.js';
import { columns } from '../table.js';

type Format = 'table' | 'markdown' | 'json';

const entries = Object.entries(catalogue);

const formats: Record<Format, () => string> = {
  markdown: () => `${topologyTable()}\n`,
  json: () => {
    const plain = entries.map(([name, { schema: _, ...entry }]) => [name, entry]);
    return `${JSON.stringify(Object.fromEntries(plain))}\n`;
  },
  table: () =>
    columns([
      ['message', 'subject', 'stream', 'from', 'to', 'meaning'],
      ...entries.map(([name, { subject, stream, senders, receivers, meaning }]) => [
        name,
        subject,
        stream ?? '-',
        senders.join(', '),
        receivers.join(', '),
        meaning,
      ]),
    ]),
};

export const register: RegisterCommand = (program) => {
  program
    .command('topology')
    .description('the message table: every subject, who publishes and who hears it')
    .addOption(new Option('--format <format>', 'how to print it').choices(Object.keys(formats)).default('table'))
    .option('--json', 'the same as --format json')
    .addHelpText('after', '\nExample:\n  $ tidemark topology --format markdown')
    .action((options: { format: Format; json?: boolean }) => {
      process.stdout.write(formats[options.json === true ? 'json' : options.format]());
    });
};
