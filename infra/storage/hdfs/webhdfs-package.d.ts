/** What we use of the npm package `webhdfs`: its endpoint builder and its requests. */
declare module 'webhdfs' {
  import type { IncomingMessage } from 'node:http';

  export interface Client {
    _getOperationEndpoint(operation: string, path: string, parameters?: Record<string, unknown>): string;
    _sendRequest(
      method: string,
      url: string,
      options: Record<string, unknown>,
      callback: (error: Error | null, response?: IncomingMessage, body?: unknown) => void,
    ): unknown;
    _parseError(body: unknown, strict: boolean, statusCode?: number): Error | null;
  }

  interface WebHdfs {
    createClient(
      options: { host: string; port: number; path: string; protocol: string; user?: string },
      requestOptions?: Record<string, unknown>,
    ): Client;
  }

  const webHdfs: WebHdfs;
  export default webHdfs;
}
