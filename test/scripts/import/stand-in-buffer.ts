/** A buffer in a few lines, of which a test says what it loses: it hears METRICS as plain messages and counts records. */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { encodeName, parseSubject } from '../../../protocol/name-code.js';
import { addRange, hasNumber, type Ranges } from '../../../protocol/range.js';
import { isEmptyLine, isRefusal, readLine, splitLines } from '../../../protocol/reading.js';

interface Entry {
  subject: string;
  agent: string;
  sealed: Ranges;
  refused: { n: number; reason: string }[];
}

export interface StandInBuffer {
  /** Lines that count, by source and n. */
  readonly records: string[];
  readonly refused: string[];
  /** Messages are left alone from now on. */
  setSilent(silent: boolean): void;
  /** Called before each acknowledgement, with how many refused it tells; false: it gets lost. */
  acknowledges: (refused: number) => boolean;
  /** How long readings are held before they are sealed together, ms; acknowledgements then go one by one, a tenth of that apart. */
  holdMs: number;
}

const refusedToldMax = 100;

export const standInBuffer = (connection: NatsConnection): StandInBuffer => {
  const entries = new Map<string, Entry>();
  let silent = false;
  const buffer: StandInBuffer = {
    records: [],
    refused: [],
    setSilent: (value) => {
      silent = value;
    },
    acknowledges: () => true,
    holdMs: 0,
  };
  const entryOf = (subject: string, agent: string): Entry => {
    const key = `${subject} ${agent}`;
    let entry = entries.get(key);
    if (entry === undefined) {
      entry = { subject, agent, sealed: [], refused: [] };
      entries.set(key, entry);
    }
    return entry;
  };
  const take = (entry: Entry, n: number): boolean => {
    if (hasNumber(entry.sealed, n)) return false;
    entry.sealed = addRange(entry.sealed, n, n + 1);
    return true;
  };
  let sending = Promise.resolve();
  const send = (agent: string, body: string): void => {
    const publish = (): void => {
      if (!connection.isClosed()) connection.publish(`reading.sealed.${encodeName(agent)}`, body);
    };
    if (buffer.holdMs === 0) publish();
    else
      sending = sending.then(
        () =>
          new Promise((resolve) => {
            setTimeout(() => {
              publish();
              resolve();
            }, buffer.holdMs / 10);
          }),
      );
  };
  const acknowledge = (entry: Entry): void => {
    const { subject, agent, sealed } = entry;
    const refused = entry.refused.splice(0);
    if (!buffer.acknowledges(refused.length)) return;
    for (let from = 0; from === 0 || from < refused.length; from += refusedToldMax) {
      send(
        agent,
        JSON.stringify({
          subject,
          agent,
          sealed,
          refused: refused.slice(from, from + refusedToldMax),
          partition: 0,
          offset: 0,
        }),
      );
    }
  };
  const held = new Set<Entry>();
  const acknowledgeSoon = (entry: Entry): void => {
    if (held.size === 0)
      setTimeout(() => {
        for (const one of held) acknowledge(one);
        held.clear();
      }, buffer.holdMs);
    held.add(entry);
  };
  connection.subscribe('metrics.>', {
    callback: (_error, message: Msg) => {
      if (silent) return;
      const agent = message.headers?.get('Tidemark-Agent') as string;
      const first = Number(message.headers?.get('Tidemark-N'));
      const header = entryOf(message.subject, agent);
      const touched = new Set<Entry>([header]);
      for (const [i, line] of splitLines(message.data).entries()) {
        const n = first + i;
        if (isEmptyLine(line)) {
          take(header, n);
          continue;
        }
        const read = readLine(line, { subject: parseSubject(message.subject), received: Date.now(), agent, n });
        const entry = entryOf(message.subject, read.agent as string);
        touched.add(entry);
        const isNew = take(entry, read.n as number);
        take(header, n);
        if (!isNew) continue;
        if (isRefusal(read)) {
          entry.refused.push({ n: read.n as number, reason: read.reason });
          buffer.refused.push(read.reason);
        } else {
          buffer.records.push(line.toString());
        }
      }
      for (const entry of touched) {
        if (buffer.holdMs === 0) acknowledge(entry);
        else acknowledgeSoon(entry);
      }
    },
  });
  return buffer;
};
