/** What an actor's thin parts touch the world with. */
import type { Logger } from 'pino';
import type { Manifest } from '../../protocol/messages/batch.js';
import type { Bus } from '../bus/bus.js';
import type { Settings } from '../config.js';
import type { Sql, ViewFiles } from '../sql/sql.js';
import type { Storage } from '../storage/storage.js';

export interface Env {
  /** The connection of this life; a new life has a new one. */
  readonly bus: Bus;
  readonly storage: Storage;
  /** DuckDB, opened when it is first asked for; one per process. */
  readonly engine: () => Promise<{ sql: Sql; viewFiles: ViewFiles }>;
  /** Counts a manifest's rows from the raw data, apart from the actors' code. @returns what differs. */
  readonly recount: (env: Pick<Env, 'bus' | 'storage' | 'engine'>, manifest: Manifest) => Promise<readonly string[]>;
  readonly settings: Settings;
  readonly log: Logger;
  /** ms since 1970. */
  readonly now: () => number;
  /** This instance of the actor. */
  readonly instance: string;
}
