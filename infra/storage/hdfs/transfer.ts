/** Bytes to and from a DataNode, in bounded memory; every answer and every length is checked. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '../../errors.js';
import { RemoteError, remoteErrorOf, UnansweredError } from './webhdfs.js';

/** So long a transfer may stand still (H2). */
const stillMsMax = 10_000;
const refusalBytesMax = 64 * 1024;

const bodyOf = async (response: IncomingMessage): Promise<string> => {
  let text = '';
  for await (const chunk of response) if (text.length < refusalBytesMax) text += (chunk as Buffer).toString('utf8');
  return text;
};

/** Opens a connection; the time-out ends it, whatever it waits for. */
const open = (
  url: URL,
  options: { method: string; headers?: Record<string, string | number> },
): { sent: ClientRequest; answer: Promise<IncomingMessage> } => {
  const sent = request(url, { ...options, agent: false, timeout: stillMsMax });
  sent.once('timeout', () => sent.destroy(new UnansweredError(`${url.host} says nothing for ${stillMsMax} ms`)));
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve);
    sent.once('error', reject);
    sent.once('close', () => reject(new UnansweredError(`${url.host} closed the connection`)));
  });
  answer.catch(() => undefined);
  return { sent, answer };
};

const unanswered = (error: unknown, url: URL): Error =>
  error instanceof RemoteError || error instanceof UnansweredError ? error : new UnansweredError(`${url.host}: ${messageOf(error)}`, error);

/**
 * Sends bytes, and returns when the DataNode says that it has all of them.
 * @throws RemoteError when it refused; UnansweredError when nobody knows
 */
export const sendBytes = async (
  method: 'PUT' | 'POST',
  url: URL,
  bytes: Uint8Array | { stream: Readable; length: number },
): Promise<void> => {
  const length = bytes instanceof Uint8Array ? bytes.byteLength : bytes.length;
  const { sent, answer } = open(url, {
    method,
    headers: { 'content-type': 'application/octet-stream', 'content-length': length },
  });
  try {
    if (bytes instanceof Uint8Array) sent.end(bytes);
    else await Promise.race([pipeline(bytes.stream, sent), answer.then((response) => refusalOf(response, method))]);
    await refusalOf(await answer, method);
  } catch (error) {
    throw unanswered(error, url);
  } finally {
    sent.destroy();
  }
};

const refusalOf = async (response: IncomingMessage, method: string): Promise<void> => {
  const { statusCode } = response;
  if (statusCode === (method === 'PUT' ? 201 : 200)) {
    response.resume();
    return;
  }
  throw remoteErrorOf(await bodyOf(response), statusCode);
};

/**
 * The bytes that a DataNode sends, as they come: as many as `length`, or an error at the end.
 * @throws RemoteError, UnansweredError
 */
export async function* receiveBytes(url: URL, length: number): AsyncGenerator<Buffer> {
  const { sent, answer } = open(url, { method: 'GET' });
  sent.end();
  let received = 0;
  try {
    const response = await answer;
    if (response.statusCode !== 200) throw remoteErrorOf(await bodyOf(response), response.statusCode);
    for await (const chunk of response) {
      received += (chunk as Buffer).length;
      if (received > length) throw new UnansweredError(`${url.host} sends more than the ${length} bytes that were asked for`);
      yield chunk as Buffer;
    }
    if (received < length) throw new UnansweredError(`${url.host} sent ${received} of ${length} bytes`);
  } catch (error) {
    throw unanswered(error, url);
  } finally {
    sent.destroy();
  }
}
