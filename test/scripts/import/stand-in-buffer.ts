/** A buffer in a few lines, of which a test says what it loses: it hears METRICS as plain messages and counts records. */
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { encodeName, parseSubject } from '../../../protocol/name-code.js';
import { addRange, hasNumber, type Ranges } from '../../../protocol/range.js';
import { isEmptyLine, isRefusal, readLine, splitLines } from '../../../protocol/reading.js';

interface Entry { subject: string; agent: string; sealed: Ranges; refused: { n: number; reason: string }[] }

export interface StandInBuffer {
  /** Lines that count, by source and n. */
  readonly records: string[];
  readonly refused: string[];
  /** Messages are left alone from now on. */
  setSilent(silent: boolean): void;
  /** Called before each acknowledgement; false: it gets lost. */
  acknowledges: (agent: string) => boolean;
}

const refusedToldMax = 100;

export const standInBuffer = (connection: NatsConnection): StandInBuffer => {
  const entries = new Map<string, Entry>();
  let silent = false;
  const buffer: StandInBuffer = {
    records: [], refused: [],
    setSilent: (value) => { silent = value; },
    acknowledges: () => true,
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
  const acknowledge = ({ subject, agent, sealed, refused }: Entry): void => {
    if (!buffer.acknowledges(agent)) return;
    for (let from = 0; from === 0 || from < refused.length; from += refusedToldMax) {
      connection.publish(`reading.sealed.${encodeName(agent)}`,
        JSON.stringify({ subject, agent, sealed, refused: refused.slice(from, from + refusedToldMax), partition: 0, offset: 0 }));
    }
  };
  connection.subscribe('metrics.>', { callback: (_error, message: Msg) => {
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
      acknowledge(entry);
      entry.refused = [];
    }
  } });
  return buffer;
};
