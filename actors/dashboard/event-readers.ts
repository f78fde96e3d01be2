/** One reader of events: a response that stays open, with a bound on what waits for it. */
import type { ServerResponse } from 'node:http';
import type { Position } from '../../protocol/range.js';
import type { ViewEvent } from './event-ring.js';
import type { EventFeed, EventListener } from './events.js';

/** What may wait for a reader that does not read, beyond what the socket holds. */
const waitingBytesMax = 1024 * 1024;

export interface EventRequest {
  /** Undefined: every service. */
  readonly services: readonly string[] | undefined;
  /** Where the reader was; undefined: from now on. */
  readonly since: Position | undefined;
}

/** The bytes of one gathering for those who hear the same services: made once. */
const joined = new WeakMap<readonly ViewEvent[], Map<string, Buffer>>();

const joinedFor = (events: readonly ViewEvent[], key: string, hears: (service: string) => boolean): Buffer => {
  let byKey = joined.get(events);
  if (byKey === undefined) {
    byKey = new Map();
    joined.set(events, byKey);
  }
  let bytes = byKey.get(key);
  if (bytes === undefined) {
    bytes = Buffer.concat(events.filter(({ service }) => hears(service)).map(({ text }) => text));
    byKey.set(key, bytes);
  }
  return bytes;
};

const reloadText = (reason: string): string => `event: reload\ndata: ${JSON.stringify({ reason })}\n\n`;

/** Answers with events until the reader goes. `dropped` is called when it had to be let go. */
export const serveEvents = (
  feed: EventFeed,
  response: ServerResponse,
  { services, since }: EventRequest,
  headers: Readonly<Record<string, string>>,
  dropped: () => void,
): void => {
  const heard = services === undefined ? undefined : new Set(services);
  const hears = (service: string): boolean => heard === undefined || heard.has(service);
  const key = services === undefined ? '' : JSON.stringify(services);
  let allowed = waitingBytesMax;
  const write = (bytes: Buffer | string): void => {
    if (bytes.length === 0) return;
    if (response.writableLength > allowed) {
      end();
      dropped();
      response.destroy(); // D4
      return;
    }
    response.write(bytes);
  };
  const listener: EventListener = {
    events: (events) => write(joinedFor(events, key, hears)),
    proved: (body) => write(`event: proved\ndata: ${body}\n\n`),
    reload: (reason) => write(reloadText(reason)),
    heartbeat: () => write(': heartbeat\n\n'),
  };
  const end = (): void => void feed.listeners.delete(listener);
  response.useChunkedEncodingByDefault = false; // its end is the connection's: one write for each gathering
  response.writeHead(200, {
    ...headers,
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
    Connection: 'close',
  });
  response.socket?.setNoDelay(true);
  response.on('close', end);
  response.on('error', end);
  response.write('retry: 2000\n: connected\n\n');
  const missed = since === undefined ? [] : feed.ring.since(since, hears);
  if (missed === undefined) listener.reload('what came after this position is not kept any more: ask /api/v1/views anew');
  else if (missed.length > 0) {
    response.cork();
    for (const { text } of missed) response.write(text);
    response.uncork();
    allowed += response.writableLength; // what it missed it is given time for
    response.once('drain', () => {
      allowed = waitingBytesMax;
    });
  }
  feed.listeners.add(listener);
};
