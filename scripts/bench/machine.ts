/** The machine that figures were taken on, and the versions that they depend on. */
import { execFileSync } from 'node:child_process';
import { cpus, loadavg, totalmem } from 'node:os';
import { findNatsServer } from '../../infra/bus/nats-program.js';
import { openDuckdb } from '../../infra/sql/duckdb.js';

export interface Machine {
  readonly cores: number;
  readonly model: string;
  readonly memoryGiB: number;
  readonly node: string;
  readonly natsServer: string;
  readonly duckdb: string;
  /** Processes that wanted a core at the beginning, over the last minute: what else was running. */
  readonly load: number;
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

export const describeMachine = async (folder: string): Promise<Machine> => {
  const sql = await openDuckdb({ memoryMiB: 128, threads: 1, tempFolder: folder, allowedFolders: [] });
  const [row] = await sql.rows('SELECT version() AS version');
  sql.close();
  const program = await findNatsServer({});
  return {
    cores: cpus().length,
    model: cpus()[0]?.model ?? 'unknown',
    memoryGiB: round(totalmem() / 2 ** 30, 1),
    node: process.versions.node,
    natsServer: execFileSync(program, ['--version'], { encoding: 'utf8' }).replace(/^.*v/, '').trim(),
    duckdb: String(row?.version),
    load: round(loadavg()[0] ?? 0, 1),
  };
};

export const machineText = (machine: Machine): string =>
  `${machine.cores} cores (${machine.model}), ${machine.memoryGiB} GiB, load ${machine.load}; node ${machine.node}, ` +
  `nats-server ${machine.natsServer}, DuckDB ${machine.duckdb}\n`;
