/** Logs in memory as a bus has them, for tests of what an actor makes of logs that change while it reads them. */
import type { Bus, LogMessage, LogReader } from '../../infra/bus/bus.js';
import { FileMissingError } from '../../infra/errors.js';
import type { Storage } from '../../infra/storage/storage.js';
import type { SegmentHead } from '../../protocol/messages/segment-sealed.js';
import { chainHeader, encodeSegment } from '../../protocol/segment.js';

export interface Logged {
  readonly subject: string;
  readonly sequence: number;
  readonly body: Uint8Array | string;
  readonly chain?: string;
}

export const emptyHead: SegmentHead = {
  partition: 0,
  from: 0,
  to: 0,
  metrics: { sequence: 0, received: 0, lines: -1 },
  taken: [],
  refused: {},
  missing: {},
  services: [],
  lineBytes: 0,
};

/** A segment of partition 0 that holds nothing. */
export const emptySegment = (sequence: number, chain: string): Logged => ({
  subject: 'segment.sealed.0',
  sequence,
  body: encodeSegment(emptyHead, Buffer.alloc(0), []),
  chain,
});

const messageOf = ({ subject, sequence, body, chain }: Logged): LogMessage => ({
  subject,
  sequence,
  received: 0,
  body: Buffer.from(body),
  hasHeaders: chain !== undefined,
  header: (name) => (name === chainHeader ? chain : undefined),
});

const matches = (filter: string | undefined, subject: string): boolean =>
  filter === undefined || new RegExp(`^${filter.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace('>', '.+')}$`).test(subject);

/**
 * @param logs each stream's messages, in order; they may be changed at any time
 * @param asked called before each answer with what was asked for
 */
export const logsInMemory = (logs: Record<string, Logged[]>, asked: (what: string) => void = () => undefined): Bus => {
  const of = (stream: string): Logged[] => logs[stream] ?? [];
  return {
    last: async (stream: string, subject: string) => {
      const found = of(stream).findLast((message) => matches(subject, message.subject));
      asked(`last ${subject}`);
      return found && messageOf(found);
    },
    at: async (stream: string, sequence: number) => {
      const found = of(stream).find((message) => message.sequence === sequence);
      asked(`at ${stream} ${sequence}`);
      return found && messageOf(found);
    },
    read: async (stream: string, { filter, start }: { filter?: string; start?: unknown }): Promise<LogReader> => {
      asked(`read ${stream}`);
      const from = typeof start === 'object' && start !== null && 'sequence' in start ? (start.sequence as number) : 0;
      const here = of(stream).filter(({ subject, sequence }) => sequence >= from && matches(filter, subject));
      return {
        take: (max) => here.splice(0, max).map(messageOf),
        ready: () => (here.length > 0 ? Promise.resolve() : new Promise(() => undefined)), // nothing else will come
        pending: 0,
        close: async () => undefined,
      };
    },
  } as unknown as Bus;
};

const gone = async (path: string): Promise<never> => {
  throw new FileMissingError(`there is no ${path}`);
};

/** Every file was removed by somebody. */
export const emptyStorage = { read: gone, local: gone, length: async () => undefined } as unknown as Storage;
