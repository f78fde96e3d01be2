/** `tidemark verify`: counts everything again, apart from the actors' code, and compares with the view. */
import { openBus } from '../../infra/bus/nats.js';
import { formatBytes } from '../../infra/config.js';
import { OutOfReachError, PromiseError } from '../../infra/errors.js';
import { openStorage } from '../../infra/storage/open.js';
import type { RegisterCommand } from '../command.js';
import { openProgress, type Progress } from '../progress.js';
import { systemOf } from '../running-system.js';
import { addSettings, connectionSettings } from '../settings-options.js';
import { columns } from '../table.js';
import { type VerifyProgress, type VerifyReport, verifySystem } from '../verify/verify.js';

const count = (number: number, one: string, many = `${one}s`): string => `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
const size = (bytes: number): string =>
  bytes < 10_240
    ? formatBytes(bytes)
    : bytes < 10 * 2 ** 20
      ? formatBytes(Math.round(bytes / 2 ** 10) * 2 ** 10)
      : formatBytes(Math.round(bytes / 2 ** 20) * 2 ** 20);

/** The report for people: what is wrong first. */
export const formatReport = (report: VerifyReport): string => {
  const { differences, found, files } = report;
  const head = differences === 0 ? 'verified: everything is there exactly once\n' : `${count(differences, 'difference')} found\n`;
  const list = found.map(({ check, where, what }) => `  ${check}: ${where}\n    ${what}\n`).join('');
  const more = differences > found.length ? `  and ${differences - found.length} more\n` : '';
  return `${head}${list}${more}${columns([
    ['  records', `${report.records.toLocaleString('en')} counted again, up to position ${report.position.join(',')}`],
    ['  rows', `${report.rows.toLocaleString('en')} of the view compared to the bit`],
    ['  raw', `${count(report.commits, 'commit')} in ${count(files.raw, 'file')}, ${size(files.rawBytes)}`],
    ['  log', `${count(report.segments, 'segment')} in its chain`],
    [
      '  views',
      `${report.batch === null ? 'no batch yet' : `batch ${report.batch}: ${count(files.batch, 'file')}`}, ${count(files.parts, 'part')} beyond its cut, ` +
        `${count(files.snapshots, 'snapshot')}, ${size(files.bytes)}`,
    ],
    ['  took', `${report.seconds.toFixed(1)} s`],
  ])}`;
};

const showProgress = (): { show: VerifyProgress; end: () => void } => {
  let progress: Progress | undefined;
  return {
    show: (doing, records, of) => {
      if (of === 0) return;
      progress ??= openProgress('verify', of);
      progress.show(records, `${doing}, ${records.toLocaleString('en')} of ${of.toLocaleString('en')} records`);
    },
    end: () => progress?.end(),
  };
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('verify')
    .description('counts everything again from the raw data, and compares with the view')
    .option('--json', 'the report as JSON');
  addSettings(command, [...connectionSettings, 'storage', 'copiesBytesMax', 'memoryMiB'])
    .addHelpText(
      'after',
      '\nExample:\n  $ tidemark verify --data ./data\n\n' +
        'It may run at any time. Exit code 5: something differs, and the report says what and where; 4: nobody answers.',
    )
    .action(async (options: { json?: boolean }) => {
      const settings = await systemOf(command);
      const bus = await openBus(settings, 'tidemark verify');
      const progress = showProgress();
      let report: VerifyReport;
      try {
        const storage = await openStorage(settings);
        const { openDuckdb } = await import('../../infra/sql/duckdb.js'); // only who needs the engine loads it
        const sql = await openDuckdb({
          memoryMiB: settings.memoryMiB,
          threads: 1,
          tempFolder: storage.workFolder,
          allowedFolders: [settings.data],
        });
        try {
          report = await verifySystem({ bus, storage }, sql, progress.show);
        } finally {
          sql.close();
          await storage.close();
        }
      } catch (error) {
        if (bus.isClosed) throw new OutOfReachError('the connection to NATS was lost: run it again', { cause: error });
        throw error;
      } finally {
        progress.end();
        await bus.close();
      }
      process.stdout.write(options.json === true ? `${JSON.stringify(report)}\n` : formatReport(report));
      if (report.differences > 0) throw new PromiseError(`verify found ${count(report.differences, 'difference')}`);
    });
};
