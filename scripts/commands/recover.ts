/** `tidemark recover`: everything from the raw files alone. */
import { PromiseError } from '../../infra/errors.js';
import type { RegisterCommand } from '../command.js';
import { openProgress, type Progress } from '../progress.js';
import type { RecoverProgress, RecoverReport } from '../recover/recover.js';
import { addSettings, settingsOf } from '../settings-options.js';
import { stopSignal } from '../start/signals.js';

const whole = (number: number): string => number.toLocaleString('en');
const count = (number: number, noun: string): string => `${whole(number)} ${noun}${number === 1 ? '' : 's'}`;

const holesShownMax = 5;

/** For people; what is not as it should be comes last, where it is read. */
export const formatRecovered = (report: RecoverReport): string => {
  const { partitions, position, batch, records, rows, sources, read, dropped, lost, holes, damaged, renumbered, missing, old } = report;
  const gaps = Object.values(missing).reduce((sum, one) => sum + one, 0);
  const lines = [
    `recovered: ${count(records, 'record')} in ${count(rows, 'row')}, ${batch === null ? 'no batch' : `batch ${batch}, proved`}, ${report.seconds.toFixed(1)} s`,
    `  read      ${count(read.lines, 'line')} of ${count(read.files, 'file')}; dropped: ${count(dropped.doubles, 'double')}, ${count(dropped.copies, 'repeated reading')}, ` +
      `${count(dropped.torn, 'torn last line')}`,
    `  position  ${position.join(',')}, ${count(partitions, 'partition')}; offsets ${renumbered ? 'are new' : 'are what they were'}`,
    `  sources   ${whole(sources)}; what they send again is a copy. ${count(gaps, 'reading')} of theirs refused before, or lost, count as missing until they come`,
  ];
  if (dropped.conflicts > 0)
    lines.push(`  conflicts ${count(dropped.conflicts, 'line')} said something else of an offset: the newest file was taken`);
  if (dropped.unreadable > 0) lines.push(`  damaged   ${count(dropped.unreadable, 'line')} could not be read`);
  if (lost > 0) {
    const shown = holes.slice(0, holesShownMax).map(({ partition, from, to }) => `[${from}, ${to}) of partition ${partition}`);
    lines.push(`  lost      ${count(lost, 'offset')} no raw file has: ${shown.join(', ')}${holes.length > shown.length ? ', …' : ''}`);
    if (damaged > 0) lines.push(`            ${whole(damaged)} of them were in the batch view before: raw files were damaged`);
  }
  lines.push(old === null ? '  the old data is gone' : `  the old data is in ${old}: remove it when it is not needed`);
  return `${lines.join('\n')}\n`;
};

/** One bar after another. */
const showProgress = (): { show: RecoverProgress; end: () => void } => {
  let progress: Progress | undefined;
  let now = '';
  return {
    show: (doing, done, of) => {
      if (doing !== now) {
        progress?.end();
        progress = openProgress('recover', of);
        now = doing;
      }
      progress?.show(done, doing);
    },
    end: () => progress?.end(),
  };
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('recover')
    .description('makes everything anew from the raw files alone; ends when the batch view is proved')
    .option('--json', 'the report as JSON')
    .option('--keep-old', 'leave the old data beside the new, whatever was found');
  addSettings(command, [
    'data',
    'storage',
    'copiesBytesMax',
    'partitions',
    'nats',
    'natsCreds',
    'natsCa',
    'natsServer',
    'natsPort',
    'natsHttpPort',
    'memoryMiB',
    'mapThreads',
    'logLevel',
  ])
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  $ tidemark recover --data ./data                  the store of nats-server is lost',
        '  $ tidemark recover --data ./data --partitions 8   another number of partitions',
        '  $ tidemark recover --data ./data --storage hdfs://namenode:9870/tidemark?user=tidemark',
        '',
        'Stop the system first. Without --partitions there are as many as before; with --nats that server is joined, whose store',
        'must be new. The new data is made beside the old, which it replaces when it is proved: so twice the room is needed, and a',
        'recover that was cut off is run again. The old data stays aside if anything of it was missing.',
        'Exit code 4: something works on the data, or it has no raw files; 5: what had been in the batch view is missing, or the new',
        'views are not right.',
      ].join('\n'),
    )
    .action(async (options: { json?: boolean; keepOld?: boolean }) => {
      const { settings, origins } = settingsOf(command);
      const { recoverSystem } = await import('../recover/recover.js'); // it takes the actors along
      const progress = showProgress();
      const signal = stopSignal();
      let report: RecoverReport;
      try {
        report = await recoverSystem({
          settings: { ...settings, logLevel: origins.logLevel === 'default' ? 'warn' : settings.logLevel },
          partitions: origins.partitions === 'default' ? undefined : settings.partitions,
          keepsOld: options.keepOld === true,
          signal,
          tell: (line) => void process.stderr.write(`${line}\n`),
          progress: progress.show,
        });
      } finally {
        progress.end();
      }
      process.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : formatRecovered(report));
      if (report.damaged > 0) {
        throw new PromiseError(
          `${whole(report.damaged)} records that had been in the batch view are in no raw file: ${report.old} has what was there`,
        );
      }
    });
};
