import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t from 'tap';
import { readHistory } from '../../../infra/actor/history-guard.js';
import type { Bus, LogMessage } from '../../../infra/bus/bus.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { exitCodeOf } from '../../../infra/errors.js';
import { noChain } from '../../../protocol/messages/segment-sealed.js';
import { chainHeader, encodeSegment, nextChain } from '../../../protocol/segment.js';
import type { RunnableActor } from '../../../scripts/run-actors.js';
import { emptyHead, emptySegment, type Logged, logsInMemory } from '../../actors/logs-in-memory.js';
import { readLog } from '../../actors/segment-log.js';
import { publishAll, type Reading, type System, startSystem } from '../../system/system.js';

const readings: Reading[] = Array.from({ length: 120 }, (_, i) => ({
  service: 'web',
  host: 'h1',
  timestamp: Date.UTC(2026, 10, 23) + i * 1_000,
  cpu: 1,
  ram: 2,
  disk: 3,
}));

const remakeSegments = async (system: System): Promise<void> => {
  const connection = await connect({ servers: system.nats.url });
  await (await jetstreamManager(connection)).streams.delete('SEGMENTS-0');
  await connection.close();
  await ensureStreams({ ...system.settings, nats: system.nats.url });
};

/** The error with which the system ends. */
const endOf = (system: System): Promise<Error> =>
  system.ended.then(
    () => {
      throw new TypeError('it ended cleanly');
    },
    (error: Error) => error,
  );

t.test('F4, F5: a SEGMENTS that lost its tail stops buffer, uploader and windower with what to do', async (t) => {
  const actors: RunnableActor[] = ['buffer', 'uploader', 'windower'];
  const system = await startSystem(t, { partitions: '1', partEvery: '100ms', uploadEvery: '20ms', snapshotEvery: '100ms' }, actors);
  await publishAll(system, readings);
  const subjects = ['raw.stored.0', 'part.stored.0', 'table.stored.0'];
  const isStored = async (): Promise<boolean> =>
    (await Promise.all(subjects.map((subject) => system.bus.last('STORED', subject)))).every(Boolean);
  while (!(await isStored())) await new Promise(setImmediate);
  // Under running actors: whoever reads it loses its reader, begins again, and looks at the history.
  const ended = endOf(system);
  await remakeSegments(system);
  t.match(await ended, {
    code: 'E_HISTORY',
    message: /SEGMENTS-0 \d+ .*lost its tail or is another.*tidemark recover/,
  });
  t.equal(exitCodeOf(await ended), 5);
  const stored = (await readLog(system.bus, 'STORED', '>')).length;
  // Each alone at its start; and with other segments under the same numbers.
  let chain = noChain;
  for (const round of ['empty', 'another']) {
    for (const actor of actors) {
      system.start([actor]);
      t.match(await endOf(system), { code: 'E_HISTORY', message: /tidemark recover/ }, `${actor}: the log is ${round}`);
    }
    if (round === 'another') break;
    for (let i = 0; i < 200; i++) {
      const body = encodeSegment(emptyHead, Buffer.alloc(0), []);
      chain = nextChain(chain, body);
      await system.bus.publish('segment.sealed.0', body, { headers: { [chainHeader]: chain } });
    }
  }
  t.equal((await readLog(system.bus, 'STORED', '>')).length, stored, 'nothing was written');
});

/** Logs in memory in which a segment and its commit come after the first look at any of them. */
const growing = (): Bus => {
  const sha256 = 'a'.repeat(64);
  const bodyOf = (to: number) =>
    encodeSegment(
      {
        partition: 0,
        from: to,
        to,
        metrics: { sequence: 0, received: 0, lines: -1 },
        taken: [],
        refused: {},
        missing: {},
        services: [],
        lineBytes: 0,
      },
      Buffer.alloc(0),
      [],
    );
  const chains = [noChain];
  for (const to of [1, 2]) chains.push(nextChain(chains[to - 1] as string, bodyOf(to)));
  let segments = 1;
  const message = (sequence: number, body: Uint8Array | string, chain = ''): LogMessage => ({
    subject: '',
    sequence,
    received: 0,
    body: Buffer.from(body),
    hasHeaders: true,
    header: (name) => (name === chainHeader ? chain : undefined),
  });
  const last = (stream: string, subject: string): LogMessage | undefined => {
    if (stream === 'SEGMENTS-0') return message(segments, bodyOf(segments), chains[segments]);
    const place = { sequence: segments, chain: chains[segments] };
    if (subject.startsWith('raw.'))
      return message(segments, JSON.stringify({ partition: 0, from: 0, to: segments, files: [], segments: place }));
    return subject.startsWith('table.')
      ? message(segments, JSON.stringify({ partition: 0, offset: segments, file: { path: '', bytes: 0, sha256 }, segments: place }))
      : undefined;
  };
  return {
    last: async (stream: string, subject: string) => {
      const found = last(stream, subject);
      await new Promise(setImmediate); // an answer takes a while: all that was asked together is as old as this one
      segments = 2;
      return found;
    },
    at: async (_: string, sequence: number) => message(sequence, bodyOf(sequence), chains[sequence]),
  } as unknown as Bus;
};

t.test('F4: STORED is read before SEGMENTS, so that a commit made in between is no mismatch', async (t) => {
  const history = await readHistory(growing(), 0);
  t.equal(history.raw?.message.to, 1);
  t.equal(history.segment?.sequence, 2);
});

const chainAt = (sequence: number): string => String(sequence).padStart(64, '0');
const said = (subject: string, sequence: number, segment: number, more: object): Logged => ({
  subject: `${subject}.0`,
  sequence,
  body: JSON.stringify({ partition: 0, from: 0, ...more, segments: { sequence: segment, chain: chainAt(segment) } }),
});
const part = (sequence: number, segment: number, to: number): Logged =>
  said('part.stored', sequence, segment, { to, rows: 0, refused: {}, missing: {} });
const place = (sequence: number, segment: number, from: number): Logged =>
  said('place.stored', sequence, segment, { from, refused: {}, missing: {} });

t.test('F4: beyond the last part its place stands for it: SEGMENTS is kept from there on', async (t) => {
  const logs = {
    STORED: [part(1, 2, 10), place(2, 5, 10)],
    'SEGMENTS-0': [5, 6].map((sequence) => emptySegment(sequence, chainAt(sequence))),
  };
  const history = await readHistory(logsInMemory(logs), 0);
  t.equal(history.place?.message.segments.sequence, 5);
  logs.STORED.pop();
  await t.rejects(readHistory(logsInMemory(logs), 0), { code: 'E_HISTORY' }, 'without a place its segment must be there');
});

t.test('F4: what was purged while the history was read is no other log', async (t) => {
  const logs = { STORED: [part(1, 2, 10)], 'SEGMENTS-0': [2, 3].map((sequence) => emptySegment(sequence, chainAt(sequence))) };
  const read = (goesOn: boolean) => {
    const bus = logsInMemory(logs, (what) => {
      if (what !== 'last segment.sealed.0') return;
      logs['SEGMENTS-0'].splice(0, 1);
      if (goesOn) logs.STORED.push(part(2, 3, 12));
    });
    return readHistory(bus, 0);
  };
  await t.rejects(read(true), { code: 'E_RETRY', message: /went on while its history was read/ });
  logs.STORED.pop();
  logs['SEGMENTS-0'].unshift(emptySegment(2, chainAt(2)));
  await t.rejects(read(false), { code: 'E_HISTORY' });
});
