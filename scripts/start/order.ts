/** What `start` says to a child that holds actors. */
import type { Settings } from '../../infra/config.js';
import type { RunnableActor } from '../run-actors.js';

/** The first message. */
export interface Order {
  readonly actors: readonly RunnableActor[];
  readonly settings: Settings;
}

/** The second one. */
export const stopWord = 'stop';

/** A stop that takes longer is cut off: what was not sealed is sent again by its source. */
export const stopMsMax = 8_000;
