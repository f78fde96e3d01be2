/**
 * WebHDFS calls that answer in JSON, over npm `webhdfs`, each with its answer checked. Of the package only the endpoint
 * builder and the requests are used, for its methods take {"boolean":false} for success, hang when a server is away, and
 * do not percent-encode; and a remote exception's class, by which we decide, is kept here.
 *
 * H1  No answer but one that says so is a success: neither `false`, nor a redirect, nor a body of another shape.
 * H2  A call ends within its time, whatever the servers do.
 * H3  We go to no other host than those that are allowed.
 */
import webhdfs, { type Client } from 'webhdfs';
import { RetryableError, TidemarkError } from '../../errors.js';
import { type HdfsAddress, isAllowed, readToken } from './address.js';

/** A refusal by a server, with its exception's class; by that it is decided what follows. */
export class RemoteError extends RetryableError {
  readonly exception: string;
  constructor(exception: string, message: string) {
    super(`${exception}: ${message}`, { code: 'E_HDFS' });
    this.exception = exception;
  }
}

/** No server said anything: what was asked for may have been done. */
export class UnansweredError extends RetryableError {
  constructor(message: string, cause?: unknown) {
    super(message, { code: 'E_HDFS_UNANSWERED', cause });
  }
}

export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE';
export type Parameters = Readonly<Record<string, string | number | boolean>>;

/** H2: for a call that answers in JSON. */
const callMsMaxDefault = 10_000;

/** The path as a URL has it: names are codes with percent signs, which must reach HDFS as they are. */
export const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/');

/** What a server said when it refused, from a body of JSON or none. */
export const remoteErrorOf = (body: unknown, statusCode: number | undefined): RemoteError => {
  let content = body;
  if (typeof body === 'string' || Buffer.isBuffer(body)) {
    try {
      content = JSON.parse(body.toString());
    } catch {
      content = undefined;
    }
  }
  const { exception, message } = ((content as { RemoteException?: Record<string, unknown> } | undefined)?.RemoteException ?? {}) as {
    exception?: unknown;
    message?: unknown;
  };
  if (typeof exception !== 'string')
    return new RemoteError(`HTTP ${statusCode ?? '?'}`, 'no WebHDFS answer: is this the http port of a NameNode?');
  return new RemoteError(exception, String(message).split('\n')[0] as string); // a stack follows
};

/** It is another NameNode's turn. */
const isStandby = (error: unknown): boolean =>
  error instanceof RemoteError && ['StandbyException', 'RetriableException', 'ObserverRetryOnActiveException'].includes(error.exception);

const isExpiredToken = (error: unknown): boolean => error instanceof RemoteError && /InvalidToken|SecurityException/.test(error.exception);

export class WebHdfs {
  readonly #address: HdfsAddress;
  readonly #clients: readonly Client[];
  readonly #callMsMax: number;
  /** The NameNode that answered last. */
  #active = 0;
  #token: string | undefined;

  /** @param options callMsMax: how long one call may take */
  constructor(address: HdfsAddress, { callMsMax = callMsMaxDefault } = {}) {
    this.#address = address;
    this.#callMsMax = callMsMax;
    this.#clients = address.namenodes.map(({ host, port }) => {
      const client = webhdfs.createClient(
        { host, port, path: '/webhdfs/v1', protocol: 'http' },
        { timeout: callMsMax, followRedirect: false },
      );
      client._parseError = (body, _strict, statusCode) => remoteErrorOf(body, statusCode);
      return client;
    });
    if (address.tokenFile !== undefined) this.#token = readToken(address.tokenFile);
  }

  /**
   * One call, to the NameNode that is active. Of two, the other one is asked when the first is away or on standby.
   * @param path absolute, as HDFS knows it
   * @throws RemoteError, UnansweredError
   */
  async call(method: Method, operation: string, path: string, parameters: Parameters = {}): Promise<Readonly<Record<string, unknown>>> {
    let failure: unknown;
    for (let tries = 0; tries < this.#clients.length; tries++) {
      try {
        return await this.#ask(method, operation, path, parameters);
      } catch (error) {
        failure = error;
        if (isExpiredToken(error) && this.#address.tokenFile !== undefined) this.#token = readToken(this.#address.tokenFile);
        if (!isStandby(error) && !(error instanceof UnansweredError)) throw error;
        if (!isRepeatable(operation) && !isStandby(error)) throw error;
        this.#active = (this.#active + 1) % this.#clients.length;
      }
    }
    throw failure;
  }

  #ask(method: Method, operation: string, path: string, parameters: Parameters): Promise<Readonly<Record<string, unknown>>> {
    const client = this.#clients[this.#active] as Client;
    const who =
      this.#token !== undefined ? { delegation: this.#token } : this.#address.user !== undefined ? { 'user.name': this.#address.user } : {};
    const url = client._getOperationEndpoint(operation, encodePath(path), { ...parameters, ...who });
    const { host, port } = this.#address.namenodes[this.#active] as { host: string; port: number };
    const where = `${operation} ${path} at ${host}:${port}`;
    return new Promise((resolve, reject) => {
      let request: { abort?: () => void } | undefined;
      const timer = setTimeout(() => {
        request?.abort?.();
        reject(new UnansweredError(`${where}: no answer within ${this.#callMsMax} ms`));
      }, this.#callMsMax); // the request's own time runs only while nothing comes
      request = client._sendRequest(method, url, {}, (error, response, body) => {
        clearTimeout(timer);
        if (error instanceof TidemarkError) return reject(error);
        if (error === null && typeof body === 'object' && body !== null) return resolve(body as Record<string, unknown>);
        if (error === null && (body === undefined || body === '')) return resolve({});
        if (response === undefined) return reject(new UnansweredError(`${where}: ${error?.message ?? 'no answer'}`, error));
        reject(remoteErrorOf(body, response.statusCode)); // H1: a redirect, a gateway's page
      }) as { abort?: () => void };
    });
  }

  /** A call that answers {"boolean":true}; `false` is given back as what it is. @throws RemoteError for any other answer */
  async callBoolean(method: Method, operation: string, path: string, parameters: Parameters = {}): Promise<boolean> {
    const { boolean } = await this.call(method, operation, path, parameters);
    if (typeof boolean !== 'boolean') throw new RemoteError('UnexpectedAnswer', `${operation} ${path} has no boolean`); // H1
    return boolean;
  }

  /** Where the NameNode sends us for the bytes of a file. @throws RemoteError when that is not allowed (H3) */
  async locate(method: Method, operation: string, path: string, parameters: Parameters = {}): Promise<URL> {
    const { Location: location } = await this.call(method, operation, path, { ...parameters, noredirect: true });
    if (typeof location !== 'string' || !URL.canParse(location))
      throw new RemoteError('UnexpectedAnswer', `${operation} ${path} has no location`);
    const url = new URL(location);
    if (url.protocol !== 'http:' || !isAllowed(url.hostname, this.#address)) {
      throw new RemoteError(
        'ForeignRedirect',
        `${operation} ${path} is sent on to ${url.protocol}//${url.hostname}, which is none of ${this.#address.redirects.join(', ')}: ` +
          'if it is a DataNode of yours, name it in the storage address with redirect=HOST,*.DOMAIN',
      );
    }
    return url;
  }
}

/** Whether asking twice does no harm: a rename and an append are not such. */
const isRepeatable = (operation: string): boolean => !['RENAME', 'APPEND'].includes(operation);
