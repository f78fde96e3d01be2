/** `tidemark query`: rows of a range of time, with the terms of the answer. */
import { writeFile } from 'node:fs/promises';
import { readQuestion } from '../../actors/merger/question.js';
import { formatCsv } from '../../infra/answers/csv.js';
import { writeParquet } from '../../infra/answers/parquet.js';
import { parsePosition } from '../../infra/answers/position-text.js';
import type { QueryOptions, Tidemark } from '../../infra/client/index.js';
import { parseDuration } from '../../infra/config.js';
import { UsageError } from '../../infra/errors.js';
import { type Step, steps, type Terms } from '../../protocol/messages/view.js';
import type { RegisterCommand } from '../command.js';
import { connectClient } from '../running-system.js';
import { addSettings, connectionSettings } from '../settings-options.js';
import { formatTable, formatTerms } from '../view-formats.js';

const formats = ['table', 'json', 'csv', 'parquet'] as const;
type Format = (typeof formats)[number];

interface Options {
  from: string;
  to: string;
  service?: string[];
  step: string;
  zone?: string;
  format: string;
  json?: boolean;
  after?: string;
  wait: string;
  output?: string;
}

const oneOf = <T extends string>(name: string, text: string, choices: readonly T[]): T => {
  const choice = choices.find((one) => one === text);
  if (choice === undefined) throw new UsageError(`--${name} ${text}: write one of ${choices.join(', ')}`);
  return choice;
};

/** What is wrong is said before anybody is asked. @throws UsageError */
const toQuery = (options: Options): QueryOptions => {
  const services = options.service ?? [];
  const query: QueryOptions = {
    from: options.from,
    to: options.to,
    services,
    step: oneOf<Step>('step', options.step, steps),
    waitMs: parseDuration(options.wait),
    ...(options.zone === undefined ? {} : { zone: options.zone }),
    ...(options.after === undefined ? {} : { after: parsePosition(options.after) }),
  };
  readQuestion({ ...query, services, after: [...(query.after ?? [])] }, Date.now());
  return query;
};

interface Printed {
  readonly content: string | Buffer | undefined;
  readonly terms: Terms;
}

const ask = async (client: Tidemark, query: QueryOptions, format: Format, output: string | undefined): Promise<Printed> => {
  if (format === 'parquet') {
    const answer = await client.queryExact(query);
    return { content: await writeParquet(answer, output), terms: answer.terms };
  }
  const { rows, terms } = await client.query(query);
  const content = format === 'json' ? `${JSON.stringify({ rows, terms })}\n` : format === 'csv' ? formatCsv(rows) : formatTable(rows);
  return { content, terms };
};

/** Whether the reader went away is not this command's business (cli.ts). */
const print = (content: string | Buffer): Promise<void> =>
  new Promise((resolve) => {
    process.stdout.write(content, () => resolve());
  });

export const register: RegisterCommand = (program) => {
  const command = program
    .command('query')
    .description('rows of a range of time (from <= minute < to), with the terms of the answer')
    .requiredOption('--from <TIME>', '2026-11-23T10:15:00Z, a date, seconds or milliseconds, now, now-6h')
    .requiredOption('--to <TIME>', 'the same; this minute is not in it any more')
    .option(
      '--service <NAME>',
      'this service; may be given several times (default: every service)',
      (name: string, before: string[] = []) => [...before, name],
    )
    .option('--step <STEP>', `one row for each ${steps.join(', ')} (range: one for all of it)`, 'minute')
    .option('--zone <ZONE>', 'IANA time zone in which hours and days begin (default: UTC)')
    .option('--format <FORMAT>', formats.join(', '), 'table')
    .option('--json', 'the same as --format json')
    .option('--output <FILE>', 'write there instead of to stdout')
    .option('--after <POSITION>', 'answer when the view has got at least this far, such as 120,88,0,431')
    .option('--wait <TIME>', 'how long that may take', '10s');
  addSettings(command, connectionSettings)
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  $ tidemark query --from now-10m --to now\n' +
        '  $ tidemark query --from 2026-11-01 --to 2026-12-01 --step day --zone Europe/Berlin --service web --format csv\n' +
        '  $ tidemark query --from now-1d --to now --format parquet --output day.parquet\n\n' +
        'cpu, ram and disk are totals over msg_num readings: divide for the mean. Exit code 4: nobody answers, or --after was not reached in time.',
    )
    .action(async (options: Options) => {
      const format: Format = options.json === true ? 'json' : oneOf('format', options.format, formats);
      const query = toQuery(options);
      if (format === 'parquet' && options.output === undefined && process.stdout.isTTY) {
        throw new UsageError('Parquet is nothing for a terminal: add --output FILE, or send it to a file or program');
      }
      const client = await connectClient(command);
      try {
        const { content, terms } = await ask(client, query, format, options.output);
        if (content !== undefined && options.output !== undefined) await writeFile(options.output, content);
        else if (content !== undefined) await print(content);
        if (format !== 'json') process.stderr.write(`${formatTerms(terms)}\n`);
      } finally {
        await client.close();
      }
    });
};
