/** What a fold's pure step gives back besides its next state: what is to be done, as values. */
import type { MessageName } from '../../protocol/catalogue.js';
import type { Env } from './env.js';

/** Publishes into a log. */
export interface Publish {
  readonly do: 'publish';
  readonly message: MessageName;
  readonly subject: string;
  readonly body: Uint8Array | string;
  readonly headers?: Record<string, string>;
  /** The subject or filter whose last sequence must be the one this life knows (F1, F3). Absent: not fenced, and not waited
   *  for until the next fenced publish. */
  readonly fence?: string;
  /** Nats-Msg-Id. */
  readonly id?: string;
}

/** Publishes outside of any log. */
export interface Tell {
  readonly do: 'tell';
  readonly message: MessageName;
  readonly subject: string;
  readonly body: Uint8Array | string;
  readonly headers?: Record<string, string>;
}

/** Touches the world (storage, SQL, a purge), and says what follows from what it found. */
export interface Work {
  readonly do: 'work';
  /** For the log, when it fails. */
  readonly what: string;
  // biome-ignore lint/suspicious/noConfusingVoidType: most works give nothing back, and none should have to say so
  readonly run: (env: Env) => Promise<readonly Output[] | void>;
  /** Goes on beside the next steps; what it gives back is done when it is there. */
  readonly beside?: true;
}

/** Reads one of the fold's logs again, from its first kept message. */
export interface Reopen {
  readonly do: 'reopen';
  readonly log: string;
}

/** What a work found: comes back as the input `noted`. */
export interface Note {
  readonly do: 'note';
  readonly name: string;
  readonly value: unknown;
}

export type Output = Publish | Tell | Work | Note | Reopen;

/** The next state and what is to be done, in this order, before the next step. */
export type Step<State> = readonly [state: State, outputs: readonly Output[]];
