/**
 * One ZooKeeper session, from its client's connect to its end, with what that client leaves out: it has no time-out for a call,
 * does not notice a server that says nothing, and ends the process at an error code that it does not know.
 *
 * Z1  Every call ends in time, whatever the servers do.
 * Z2  A session is sure only while it is connected and a call was answered that began less than two thirds of its time-out ago,
 *     by the monotonic clock of this process: others see it expired later than that.
 * Z3  A server that says nothing for half of the time-out is left for another one; the session goes on there.
 */
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import zookeeper, { type Client, type Event, type Exception } from 'node-zookeeper-client';
import { RetryableError } from '../errors.js';
import type { ZookeeperAddress } from './zookeeper-address.js';

const { ACL, CreateMode, createClient, Id, Permission } = zookeeper;

/** The client throws at a code it does not know (quota reached, throttled, session moved), where nobody can catch it. */
const exceptions = zookeeper.Exception as unknown as { create(code: number, path?: string): Exception } & Record<string, unknown>;
const createKnown = exceptions.create;
exceptions.create = (code, path) => createKnown(Object.values(exceptions).includes(code) ? code : zookeeper.Exception.SYSTEM_ERROR, path);

/** What the client does not show: the connection that it tries or has. */
interface Internals {
  readonly connectionManager: { readonly socket?: Socket };
}

export interface SessionOptions extends ZookeeperAddress {
  /** What is asked for; the servers may give another. */
  readonly sessionMs: number;
  /** "user:password", for digest authentication: then all nodes are that user's alone. */
  readonly auth?: string | undefined;
}

export interface SessionCalls {
  connected(): void;
  /** Whatever is held is lost; the session may come back. */
  disconnected(): void;
  /** It never comes back: a new one is needed. */
  ended(reason: string): void;
}

type Done<T> = (error: Error | Exception | null, value: T) => void;

const codeOf = (error: Error | Exception): string | undefined => ('code' in error ? error.name : undefined);

const failure = (what: string, error: Error | Exception): RetryableError => {
  const name = codeOf(error) ?? String(error);
  return new RetryableError(`ZooKeeper, ${what}: ${name}`, { code: `E_ZOOKEEPER_${name}`, cause: error });
};

export const isZookeeperCode = (error: unknown, name: string): boolean =>
  error instanceof RetryableError && error.code === `E_ZOOKEEPER_${name}`;

/** The client's answers that no server gave. */
const unanswered = new Set<string | undefined>(['CONNECTION_LOSS', 'SESSION_EXPIRED', 'OPERATION_TIMEOUT']);

const closeMsMax = 1_000;
const spinMs = 200;

export class ZookeeperSession {
  readonly #client: Client;
  readonly #acl: InstanceType<typeof ACL>[];
  readonly #calls: SessionCalls;
  #isConnected = false;
  #isEnded = false;
  /** When the last call that was answered began. */
  #confirmedAt = Number.NEGATIVE_INFINITY;
  /** When something was heard last, or another server was tried. */
  #heardAt = performance.now();
  #watchedAt = performance.now();
  #socket: Socket | undefined;

  constructor(options: SessionOptions, calls: SessionCalls) {
    this.#calls = calls;
    this.#client = createClient(options.servers, { sessionTimeout: options.sessionMs, spinDelay: spinMs, retries: 0 });
    const id = options.auth === undefined ? new Id('world', 'anyone') : new Id('auth', '');
    this.#acl = [new ACL(Permission.ALL, id)];
    if (options.auth !== undefined) this.#client.addAuthInfo('digest', Buffer.from(options.auth));
    this.#client.on('connected', () => {
      this.#isConnected = true;
      this.#heardAt = performance.now();
      calls.connected();
    });
    this.#client.on('disconnected', () => {
      this.#isConnected = false;
      this.#confirmedAt = Number.NEGATIVE_INFINITY;
      if (!this.#isEnded) calls.disconnected();
    });
    this.#client.on('expired', () => this.#end('expired'));
    this.#client.on('authenticationFailed', () => this.#end('authentication failed'));
    this.#client.connect();
  }

  /** Hex; of a session that was connected once. */
  get id(): string {
    return this.#client.getSessionId().toString('hex');
  }

  /** What the servers gave. */
  get timeoutMs(): number {
    return this.#client.getSessionTimeout();
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Z2 */
  get isSure(): boolean {
    return this.#isConnected && performance.now() - this.#confirmedAt < (this.timeoutMs * 2) / 3;
  }

  /** To be called often: leaves a server that says nothing (Z3). */
  watchOver(): void {
    const socket = (this.#client as unknown as Internals).connectionManager.socket;
    const now = performance.now();
    const wasAsleep = now - this.#watchedAt > this.timeoutMs / 6; // then what it said is still to be read
    this.#watchedAt = now;
    if (socket !== this.#socket || wasAsleep) {
      this.#socket = socket;
      this.#heardAt = now;
    }
    if (now - this.#heardAt < this.timeoutMs / 2) return;
    this.#heardAt = now;
    socket?.destroy();
  }

  /** Names of the nodes below one. */
  children(path: string, changed?: (event: Event) => void): Promise<string[]> {
    return this.#call(`children of ${path}`, (done: Done<string[]>) =>
      changed === undefined ? this.#client.getChildren(path, done) : this.#client.getChildren(path, changed, done),
    );
  }

  /** Calls once when a node changes or goes. @returns false if it is not there */
  async watch(path: string, changed: (event: Event) => void): Promise<boolean> {
    try {
      await this.#call(`watching ${path}`, (done: Done<Buffer>) => this.#client.getData(path, changed, done));
      return true;
    } catch (error) {
      if (isZookeeperCode(error, 'NO_NODE')) return false;
      throw error;
    }
  }

  /** A node that goes with this session, and says whose it is; `sequential` puts a growing number behind its name. */
  async createEphemeral(path: string, { sequential = false } = {}): Promise<void> {
    await this.#create(path, sequential ? CreateMode.EPHEMERAL_SEQUENTIAL : CreateMode.EPHEMERAL, `${hostname()} ${process.pid}`);
  }

  async remove(path: string): Promise<void> {
    try {
      await this.#call(`removing ${path}`, (done: Done<void>) => this.#client.remove(path, (error) => done(error)));
    } catch (error) {
      if (!isZookeeperCode(error, 'NO_NODE')) throw error;
    }
  }

  /** Makes a node that stays, and those above it. */
  async ensure(path: string): Promise<void> {
    const names = path.split('/').slice(1);
    for (let depth = 1; depth <= names.length; depth++) {
      const at = `/${names.slice(0, depth).join('/')}`;
      // Looked for first: whoever may use a folder need not have the right to make one beside it.
      const stat = await this.#call(`looking for ${at}`, (done: Done<unknown>) => this.#client.exists(at, done));
      if (!stat) await this.#create(at, CreateMode.PERSISTENT, '');
    }
  }

  /** Gives the session back, if a server hears it, so that its nodes go at once. */
  async close(): Promise<void> {
    this.#isEnded = true;
    this.#isConnected = false;
    const gone = new Promise<void>((resolve) => {
      this.#client.once('disconnected', resolve);
      setTimeout(resolve, closeMsMax).unref();
    });
    const isOpen = this.#client.getState() === zookeeper.State.SYNC_CONNECTED;
    this.#client.close();
    if (isOpen) await gone;
    this.#destroySocket();
    setTimeout(() => this.#destroySocket(), 2 * spinMs).unref(); // of a server that it was about to try
  }

  #destroySocket(): void {
    (this.#client as unknown as Internals).connectionManager.socket?.destroy();
  }

  #end(reason: string): void {
    if (this.#isEnded) return;
    void this.close();
    this.#calls.disconnected();
    this.#calls.ended(reason);
  }

  async #create(path: string, mode: number, text: string): Promise<void> {
    try {
      await this.#call(`creating ${path}`, (done: Done<string>) => this.#client.create(path, Buffer.from(text), this.#acl, mode, done));
    } catch (error) {
      if (!isZookeeperCode(error, 'NODE_EXISTS')) throw error;
    }
  }

  /** @throws RetryableError; after no answer, it may have been done all the same, or be done later */
  #call<T>(what: string, run: (done: Done<T>) => void): Promise<T> {
    if (!this.#isConnected) {
      return Promise.reject(new RetryableError(`ZooKeeper, ${what}: not connected`, { code: 'E_ZOOKEEPER_CONNECTION_LOSS' }));
    }
    const startedAt = performance.now();
    return new Promise<T>((resolve, reject) => {
      const msMax = this.timeoutMs / 3;
      const late = setTimeout(
        () => reject(new RetryableError(`ZooKeeper, ${what}: no answer in ${Math.round(msMax)} ms`, { code: 'E_ZOOKEEPER_LATE' })),
        msMax,
      ); // Z1
      run((error, value) => {
        clearTimeout(late);
        if (error !== null && error !== undefined && unanswered.has(codeOf(error))) return reject(failure(what, error));
        this.#heardAt = performance.now();
        if (this.#isConnected) this.#confirmedAt = Math.max(this.#confirmedAt, startedAt);
        if (error) reject(failure(what, error));
        else resolve(value);
      });
    });
  }
}
