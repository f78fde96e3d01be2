/** What `start` and its children say to each other. */
import type { Settings } from '../../infra/config.js';
import type { RunnableActor } from '../run-actors.js';

/** To a child, the first message. */
export interface Order {
  readonly actors: readonly RunnableActor[];
  readonly settings: Settings & { readonly nats: string };
  /** It measures this machine too, and shows the rows. */
  readonly observes?: Observing;
}

export interface Observing {
  /** The fourth service; without it the busiest program that is none of the others. */
  readonly program?: string;
  readonly everyMs: number;
}

/** To the child that observes, whenever they change: whom it measures as Tidemark and as the server. */
export interface Pids {
  readonly own: readonly number[];
  /** Of the nats-server that `start` runs; without it, it is looked for by its name. */
  readonly nats?: number;
}

/** Of a child: it has joined the server, or cannot; then, of the one that observes, what it measures. */
export type Observed =
  | { readonly joined: true }
  | { readonly refused: string; readonly code: number }
  | { readonly services: readonly string[] };

/** To a child, the last message. */
export const stopWord = 'stop';

/** A stop that takes longer is cut off: what was not sealed is sent again by its source. */
export const stopMsMax = 8_000;
