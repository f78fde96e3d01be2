/**
 * What other programs import from 'tidemark': ask the merged view, follow its changes, publish readings that are kept
 * until they are sealed.
 *
 *   import { connect } from 'tidemark';
 *   const tidemark = await connect({ nats: 'nats://127.0.0.1:4222' });
 *   const { rows, terms } = await tidemark.query({ from: 'now-1h', to: 'now', services: ['web'] });
 *   for await (const change of tidemark.subscribe({ since: terms.position })) console.log(change.rows);
 */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Bus } from '../bus/bus.js';
import { type NatsSettings, openBus } from '../bus/nats.js';
import { connectSource as connectSourceTo } from './connect.js';
import { type Answer, type ExactAnswer, type QueryOptions, queryExact, queryView } from './query.js';
import { type SubscribeOptions, type Subscription, subscribeView } from './subscribe.js';

export type { Step, Terms } from '../../protocol/messages/view.js';
export type { ViewRow } from '../../protocol/minute-row.js';
export type { Position } from '../../protocol/range.js';
export { OutOfReachError, PromiseError, RetryableError, TidemarkError, UsageError } from '../errors.js';
export type { Answer, ExactAnswer, QueryOptions } from './query.js';
export { openSource, type Source, type SourceCounts, type SourceOptions } from './source.js';
export type { SubscribeOptions, Subscription, ViewChange } from './subscribe.js';

export interface ConnectOptions {
  /** One address, or several with commas between. Default nats://127.0.0.1:4222. */
  nats?: string;
  /** Credentials file. */
  creds?: string;
  /** Certificate (PEM) of the authority that signed the server's. */
  ca?: string;
  /** Shown by the server's monitoring. */
  name?: string;
}

export interface Tidemark {
  /** @throws UsageError, OutOfReachError (nobody answers, or `after` is not reached in time), PromiseError */
  query(options: QueryOptions): Promise<Answer>;
  /** The same with exact sums in millionths. */
  queryExact(options: QueryOptions): Promise<ExactAnswer>;
  /** Over a connection of its own, which is opened again when it is lost. */
  subscribe(options?: SubscribeOptions): Subscription;
  /** Ends the subscriptions too. */
  close(): Promise<void>;
}

const natsDefault = 'nats://127.0.0.1:4222';

const toSettings = ({ nats, creds, ca }: ConnectOptions): NatsSettings => ({
  nats: nats ?? natsDefault,
  natsCreds: creds,
  natsCa: ca,
});

class Client implements Tidemark {
  readonly #open: () => Promise<Bus>;
  readonly #subscriptions = new Set<Subscription>();
  #bus: Promise<Bus>;
  #isClosed = false;

  constructor(first: Bus, open: () => Promise<Bus>) {
    this.#bus = Promise.resolve(first);
    this.#open = open;
  }

  async query(options: QueryOptions): Promise<Answer> {
    return queryView(await this.#connected(), options);
  }

  async queryExact(options: QueryOptions): Promise<ExactAnswer> {
    return queryExact(await this.#connected(), options);
  }

  subscribe(options: SubscribeOptions = {}): Subscription {
    const subscription = subscribeView(this.#open, options);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const subscription of this.#subscriptions) await subscription.close();
    await (await this.#bus.catch(() => undefined))?.close();
  }

  /** The connection, or a new one after it was lost. */
  async #connected(): Promise<Bus> {
    const bus = await this.#bus.catch(() => undefined);
    if (bus !== undefined && (!bus.isClosed || this.#isClosed)) return bus;
    this.#bus = this.#open();
    return this.#bus;
  }
}

/** @throws OutOfReachError when no server is there */
export const connect = async (options: ConnectOptions = {}): Promise<Tidemark> => {
  const open = (): Promise<Bus> => openBus(toSettings(options), options.name ?? 'tidemark client');
  return new Client(await open(), open);
};

/** A connection for sources (`openSource`): it comes back by itself. @throws OutOfReachError when no server is there now */
export const connectSource = (options: ConnectOptions = {}): Promise<NatsConnection> =>
  connectSourceTo(toSettings(options), options.name ?? 'tidemark source');

/** One question over a connection of its own. @throws UsageError, OutOfReachError, PromiseError */
export const query = async (options: ConnectOptions & QueryOptions): Promise<Answer> => {
  const client = await connect(options);
  try {
    return await client.query(options);
  } finally {
    await client.close();
  }
};

/** Changes over a connection of its own, until it is closed or the iteration is left. */
export const subscribe = (options: ConnectOptions & SubscribeOptions): Subscription =>
  subscribeView(() => openBus(toSettings(options), options.name ?? 'tidemark client'), options);
