/** Between us and a real HDFS: passes everything on, and does what a network or a broken server might do when it is told to. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

export interface Passing {
  readonly method: string;
  /** CREATE, APPEND, RENAME, …, in capitals. */
  readonly operation: string;
  /** Whether it goes to a DataNode: the second step. */
  readonly bytes: boolean;
  readonly parameters: URLSearchParams;
}

/**
 * What becomes of one request: undefined lets it pass; `lose` passes it on and cuts the connection instead of answering;
 * `hang` answers nothing; `halfway` is called when the server has got half of the body, before the rest goes there;
 * `cut` ends the answer's body after so many bytes; an answer stands for the server's.
 */
export type Fault =
  | 'lose'
  | 'hang'
  | { readonly halfway: (port: number) => Promise<void> }
  | { readonly cut: number }
  | { readonly status: number; readonly body: unknown; readonly headers?: Record<string, string> };

export interface HdfsProxy {
  readonly port: number;
  /** Asked for each request; replaced by whoever wants a fault. */
  fault: (passing: Passing) => Fault | undefined;
  /** Requests that came, by operation. */
  readonly seen: Map<string, number>;
}

const readAll = async (message: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

/** /datanode/PORT/… goes to that DataNode, all else to the NameNode. */
const targetOf = (path: string, namenodePort: number): { port: number; path: string; bytes: boolean } => {
  const [, port, rest] = /^\/datanode\/(\d+)(\/.*)$/.exec(path) ?? [];
  return port === undefined ? { port: namenodePort, path, bytes: false } : { port: Number(port), path: rest as string, bytes: true };
};

const passOn = (
  incoming: IncomingMessage,
  body: Buffer,
  target: { port: number; path: string },
  fault: Fault | undefined,
): Promise<{ status: number; body: Buffer }> =>
  new Promise((resolve, reject) => {
    const headers = { ...incoming.headers, host: `127.0.0.1:${target.port}` };
    const onward = request({ host: '127.0.0.1', ...target, method: incoming.method, headers, agent: false }, (response) => {
      readAll(response).then((content) => resolve({ status: response.statusCode ?? 500, body: content }), reject);
    });
    onward.once('error', reject);
    if (typeof fault !== 'object' || !('halfway' in fault)) {
      onward.end(body);
      return;
    }
    onward.write(body.subarray(0, body.length >> 1), () => {
      fault.halfway(target.port).then(() => onward.end(body.subarray(body.length >> 1)), reject);
    });
  });

export const startProxy = async (t: Test, namenodePort: number): Promise<HdfsProxy> => {
  const proxy: HdfsProxy & { port: number } = { port: 0, fault: () => undefined, seen: new Map() };
  const handle = async (incoming: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const url = incoming.url ?? '/';
    const target = targetOf(url, namenodePort);
    const parameters = new URL(url, 'http://x').searchParams;
    const operation = (parameters.get('op') ?? '').toUpperCase();
    proxy.seen.set(operation, (proxy.seen.get(operation) ?? 0) + 1);
    const fault = proxy.fault({ method: incoming.method ?? '', operation, bytes: target.bytes, parameters });
    const body = await readAll(incoming);
    if (fault === 'hang') return;
    if (typeof fault === 'object' && 'status' in fault) {
      answer.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers }).end(JSON.stringify(fault.body));
      return;
    }
    const passed = await passOn(incoming, body, target, fault);
    if (fault === 'lose') {
      incoming.socket.destroy();
      return;
    }
    const here = (at: string): string => at.replace(/"http:\/\/127\.0\.0\.1:(\d+)\//, `"http://127.0.0.1:${proxy.port}/datanode/$1/`);
    const content = passed.body.includes('"Location"') ? Buffer.from(here(passed.body.toString())) : passed.body;
    answer.writeHead(passed.status, { 'content-type': 'application/json', 'content-length': content.length });
    if (typeof fault === 'object' && 'cut' in fault) answer.write(content.subarray(0, fault.cut), () => incoming.socket.destroy());
    else answer.end(content);
  };
  const server = createServer((incoming, answer) => {
    handle(incoming, answer).catch(() => incoming.socket.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  proxy.port = (server.address() as AddressInfo).port;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return proxy;
};
