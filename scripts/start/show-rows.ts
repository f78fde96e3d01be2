/** Rows as they change: a table that is drawn over on a terminal, a line for each service and second elsewhere. */
import type { ViewProved } from '../../protocol/messages/batch.js';
import type { ViewRow } from '../../protocol/minute-row.js';
import { columns } from '../table.js';

export interface RowsShown {
  update(rows: readonly ViewRow[]): void;
  proved(proof: Pick<ViewProved, 'batch' | 'rows' | 'records' | 'differences'>): void;
  /** A line that stays. */
  say(line: string): void;
  /** The last state, once more. */
  close(): void;
}

interface Screen {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const servicesShownMax = 12;
const drawEveryMs = 200;
/** Where lines follow lines, not every change is worth one. */
const lineEveryMs = 5_000;

const percent = (sum: number, messages: number): string => (sum / messages).toFixed(1).padStart(6);

/** Names come from anywhere: nothing in one may steer a terminal. */
const plain = (name: string): string => name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?').slice(0, 40);

const head = ['service', 'minute', 'readings', 'cpu %', 'ram %', 'disk %', 'highest cpu'];

export const rowCells = (row: ViewRow): string[] => [
  plain(row.service),
  row.time_stamp.slice(11, 16),
  String(row.msg_num).padStart(8),
  percent(row.cpu, row.msg_num),
  percent(row.ram, row.msg_num),
  percent(row.disk, row.msg_num),
  `${row.max_cpu.toFixed(1)} at ${row.max_cpu_time.slice(11, 19)}`,
];

export const proofLine = ({ batch, rows, records, differences }: Pick<ViewProved, 'batch' | 'rows' | 'records' | 'differences'>): string =>
  differences === 0
    ? `batch ${batch} proved: ${records} records in ${rows} rows, counted twice, no difference`
    : `batch ${batch} DIFFERS in ${differences} of ${rows} rows: the old view stays; run \`npx tidemark rebuild\``;

export const showRows = (screen: Screen = process.stdout): RowsShown => {
  const newest = new Map<string, ViewRow>();
  const isTerminal = screen.isTTY === true;
  let linesDrawn = 0;
  let changed = false;
  const erased = (): string => (linesDrawn === 0 ? '' : `\u001b[${linesDrawn}A\u001b[J`);
  const table = (): string => {
    const rows = [...newest.values()].sort((a, b) => (a.service < b.service ? -1 : 1));
    const more = rows.length > servicesShownMax ? `… and ${rows.length - servicesShownMax} services more\n` : '';
    return columns([head, ...rows.slice(0, servicesShownMax).map(rowCells)]) + more;
  };
  const draw = (): void => {
    if (!changed || newest.size === 0) return;
    changed = false;
    const text = table();
    screen.write((isTerminal ? erased() : '') + text);
    linesDrawn = text.split('\n').length - 1;
  };
  const timer = setInterval(draw, isTerminal ? drawEveryMs : lineEveryMs);
  timer.unref();
  const say = (line: string): void => {
    if (!isTerminal) return void screen.write(`${line}\n`);
    screen.write(`${erased()}${line}\n`);
    linesDrawn = 0;
    changed = true;
    draw();
  };
  return {
    update: (rows) => {
      const isFirst = newest.size === 0;
      for (const row of rows) {
        const before = newest.get(row.service);
        if (before === undefined || before.time_stamp <= row.time_stamp) newest.set(row.service, row);
      }
      if (newest.size > 10_000) newest.clear(); // a table of so many is for `query`
      changed = true;
      if (isFirst && !isTerminal) setTimeout(draw, 1_500).unref(); // soon, with all the services' first rows
    },
    proved: (proof) => say(proofLine(proof)),
    say,
    close: () => {
      clearInterval(timer);
      draw();
    },
  };
};
