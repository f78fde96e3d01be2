/** The buffer's pure step, without a server: what it says about any messages, whole or cut anywhere. */
import fc from 'fast-check';
import { Subject, VirtualTimeScheduler } from 'rxjs';
import t from 'tap';
import { openSegment } from '../../../actors/buffer/open-segment.js';
import { emptyTable, type SourceTable } from '../../../actors/buffer/source-table.js';
import { type BufferState, buffer } from '../../../actors/buffer.js';
import type { Input } from '../../../infra/actor/fold.js';
import type { Output } from '../../../infra/actor/output.js';
import { segmentBytesMax } from '../../../infra/bus/streams.js';
import type { Segment } from '../../../protocol/segment.js';
import { at, counts, envOf, feed, type Given, line, messagesOf, newState, read, replay, tick } from './steps.js';

t.test('a buffer is sealed at its capacity, and what came together goes out together', (t) => {
  const one = { lines: line() };
  t.same(counts(feed([messagesOf(Array<Given>(49).fill(one))])), []);
  t.same(counts(feed([messagesOf(Array<Given>(49).fill(one)), messagesOf([one], 50)])), [50]);
  t.same(counts(feed([messagesOf(Array<Given>(130).fill(one))])), [130]);
  t.same(counts(feed([messagesOf([one]), { kind: 'stop', now: 0 }])), [1]);
  t.same(counts(feed([messagesOf([one, one]), tick('seal')])), [2]);
  t.same(counts(feed([tick('seal'), tick('position'), tick('snapshot'), { kind: 'stop', now: 0 }])), [], 'never while empty');
  t.end();
});

t.test("the clock that seals begins with a buffer's first content, and not before", (t) => {
  const clock = new VirtualTimeScheduler(undefined, 950);
  const states = new Subject<BufferState>();
  const seen: [number, string][] = [];
  buffer.ticks?.(states, envOf(), clock).subscribe((tick) => seen.push([clock.now(), tick]));
  const state = newState();
  const env = envOf();
  const at = (ms: number, input?: Input) =>
    clock.schedule(() => {
      if (input) buffer.step(state, input, env);
      states.next(state);
    }, ms);
  at(0);
  at(200, messagesOf([{ lines: line() }]));
  at(250, messagesOf([{ lines: line() }], 2));
  at(301, tick('seal'));
  at(400, messagesOf(Array<Given>(49).fill({ lines: line() }), 3));
  at(450, messagesOf([{ lines: line() }], 52)); // sealed by count
  at(460, messagesOf([{ lines: ' ' }], 53)); // nothing that a segment must say
  at(700, messagesOf([{ lines: '{' }], 54));
  clock.flush();
  t.same(
    seen.splice(0, 2),
    [
      [0, 'snapshot'],
      [0, 'purge'],
    ],
    'room is made before the first message',
  );
  t.same(seen, [[300, 'seal']]);
  t.end();
});

t.test('B1, B4: an acknowledgement names what the segments before it name, and nothing else', (t) => {
  const given = fc.record({
    agent: fc.constantFrom('a', 'b', undefined),
    n: fc.integer({ min: 1, max: 40 }),
    oldest: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined, freq: 8 }),
    lines: fc.array(
      fc.constantFrom(line(), line(), line({ cpu: -1 }), '', '{', line({ agent: 'own', n: 3 }), line({ agent: 'own', n: 9 })),
      { maxLength: 4 },
    ),
    subject: fc.constantFrom('web.h1', 'web.h1', 'gateway'),
    after: fc.constantFrom('', '', 'seal', 'position'),
  });
  fc.assert(
    fc.property(fc.array(given, { maxLength: 40 }), fc.integer({ min: 1, max: 8 }), (all, capacity) => {
      const inputs = all.flatMap(({ agent, n, oldest, lines, subject, after }, i): Input[] => [
        messagesOf(
          [
            {
              subject,
              lines: lines.join('\n'),
              headers: {
                ...(agent === undefined ? {} : { 'Tidemark-Agent': agent, 'Tidemark-N': n }),
                ...(oldest === undefined ? {} : { 'Tidemark-Oldest': oldest }),
              },
            },
          ],
          i + 1,
        ),
        ...(after === '' ? [] : [tick(after)]),
      ]);
      const { state, segments, records, told } = feed([...inputs, { kind: 'stop', now: 0 }], {
        env: envOf({ bufferCapacity: String(capacity) }),
      });
      // No n gives two records.
      const identities = records.filter(({ n }) => n !== undefined).map(({ subject, agent, n }) => `${subject} ${agent} ${n}`);
      if (new Set(identities).size !== identities.length) return false;
      // Replaying the heads makes the table whole; each acknowledgement is the table of that moment.
      const table: SourceTable = emptyTable();
      let replayed = 0;
      for (const { body, behind, subject } of told) {
        for (; replayed < behind; replayed++) replay(table, segments[replayed] as Segment);
        const entry = table.entries.get(`${body.subject} ${body.agent}`);
        t.same(body.sealed, entry?.taken, 'B1');
        t.equal(body.offset, (segments[behind - 1] as Segment).head.to);
        t.equal(subject, `reading.sealed.${body.agent}`, 'B3');
      }
      for (; replayed < segments.length; replayed++) replay(table, segments[replayed] as Segment);
      const whole = (of: SourceTable) =>
        [...of.entries.values()]
          .filter(({ taken }) => taken.length > 0)
          .map(({ subject, agent, taken }) => ({ subject, agent, taken }))
          .sort((a, b) => (`${a.subject} ${a.agent}` < `${b.subject} ${b.agent}` ? -1 : 1));
      t.same(whole(table), whole(state.table), 'B4');
      const missing = (of: SourceTable) => [...of.missing].filter(([, count]) => count > 0).sort();
      t.same(missing(table), missing(state.table));
      const said = new Map(segments.flatMap(({ head }) => Object.entries(head.missing)));
      for (const [service, count] of state.table.missing) t.equal(said.get(service) ?? 0, count, 'missing counts stand in the heads');
      // Everything is below the position of the last segment.
      return all.length === 0 || segments.at(-1)?.head.metrics.sequence === all.length;
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test('a message that had to be split goes on at its next line, wherever a life ends', (t) => {
  const given = [
    { lines: Array<string>(9_000).fill(line()).join('\n'), headers: { 'Tidemark-Agent': 'a', 'Tidemark-N': 1 } },
    { lines: line() },
  ];
  const whole = feed([messagesOf(given), { kind: 'stop', now: 0 }]);
  t.equal(whole.records.length, 9_001);
  const places = whole.segments.map(({ head }) => head.metrics);
  t.ok(
    places.some(({ lines }) => lines > 0),
    JSON.stringify(places),
  );
  for (let lives = 1; lives < whole.segments.length; lives++) {
    // A life that ended behind segment `lives`, and its successor.
    const { head } = whole.segments[lives - 1] as Segment;
    const { metrics } = head;
    const state = newState();
    state.open = openSegment(head.to);
    state.place = state.sealedPlace = metrics;
    state.skip = metrics.lines < 0 ? undefined : { sequence: metrics.sequence, lines: metrics.lines };
    const from = metrics.lines < 0 ? metrics.sequence + 1 : metrics.sequence;
    const input = messagesOf(given.slice(from - 1), from);
    const outputs = [...buffer.step(state, input, envOf())[1], ...buffer.step(state, { kind: 'stop', now: 0 }, envOf())[1]];
    const offsets = outputs.flatMap((output) =>
      output.do === 'publish' && output.message === 'segment.sealed'
        ? (Buffer.from(output.body as Uint8Array)
            .toString('latin1')
            .match(/"offset":\d+/g) ?? [])
        : [],
    );
    t.same(
      offsets,
      whole.records.slice(head.to).map(({ offset }) => `"offset":${offset}`),
      `after segment ${lives}`,
    );
  }
  t.end();
});

t.test('a segment never passes its bound', (t) => {
  const lots = (count: number, of: (i: number) => Given) =>
    feed([messagesOf(Array.from({ length: count }, (_, i) => of(i))), { kind: 'stop', now: 0 }]);
  const sizes = (outputs: readonly Output[]) =>
    outputs.flatMap((output) =>
      output.do === 'publish' && output.message === 'segment.sealed' ? [(output.body as Uint8Array).byteLength] : [],
    );
  const agent = (i: number): string => `${i}`.padStart(200, 'a');
  const cases = {
    'sources that only close': lots(5_000, (i) => ({
      lines: '',
      headers: { 'Tidemark-Agent': agent(i), 'Tidemark-N': 9, 'Tidemark-Oldest': 9 },
    })),
    'empty lines of many sources': lots(2_000, (i) => ({
      lines: ' ',
      headers: { 'Tidemark-Agent': agent(i), 'Tidemark-N': 9 },
    })),
    'refused lines of many sources': lots(2_000, (i) => ({
      lines: '{',
      headers: { 'Tidemark-Agent': agent(i), 'Tidemark-N': 9 },
    })),
    'one record each of many services': lots(2_000, (i) => ({
      subject: 'gateway',
      lines: line({ service: `${i} `.repeat(30), agent: agent(i), n: 5 }),
    })),
    'lines that are long': lots(20, () => ({ lines: line({ other: 'ü'.repeat(400_000) }) })),
  };
  for (const [name, { outputs, segments }] of Object.entries(cases)) {
    const found = sizes(outputs);
    t.ok(Math.max(...found) <= segmentBytesMax - 2_000, `${name}: ${found.join(' ')}`);
    t.equal(segments.at(-1)?.head.metrics.lines, -1);
  }
  t.end();
});

t.test('B9: when only copies came, a segment without records moves the position', (t) => {
  const given = { lines: line(), headers: { 'Tidemark-Agent': 'a', 'Tidemark-N': 1 } };
  const { segments } = feed([
    messagesOf([given]),
    tick('seal'),
    messagesOf([given, given], 2),
    tick('seal'),
    tick('position'),
    tick('position'),
    messagesOf([given], 4),
    { kind: 'stop', now: 0 },
  ]);
  t.same(
    segments.map(({ head, records }) => [records, head.metrics.sequence]),
    [
      [1, 1],
      [0, 3],
      [0, 4],
    ],
  );
  t.end();
});

t.test('B12: a refused line goes out before its segment, byte for byte, with an id of its own', (t) => {
  const { rejected, segments, told, state } = feed([
    messagesOf([
      { lines: line() },
      {
        lines: ` {"service":\r\n${line({ cpu: -1 })}\n${line({ n: 3, agent: 'a', ram: 'x' })}`,
        headers: { 'Tidemark-Agent': 'b', 'Tidemark-N': 7 },
      },
    ]),
    tick('seal'),
  ]);
  t.same(
    rejected.map(({ body }) => body),
    [' {"service":', line({ cpu: -1 }), line({ n: 3, agent: 'a', ram: 'x' })],
  );
  t.same(
    rejected.map(({ headers }) => headers['Tidemark-Reason']),
    ['not JSON', 'cpu below 0', 'ram not a number'],
  );
  t.same(
    rejected.map(({ headers }) => headers['Tidemark-Line']),
    ['0', '1', '2'],
  );
  t.same(
    rejected.map(({ id }) => id),
    [0, 1, 2].map((i) => `2-${at + 2}-${i}`),
  );
  t.ok(rejected.every(({ before }) => before === 0));
  t.same(segments[0]?.head.refused, { web: { 'not JSON': 1, 'cpu below 0': 1, 'ram not a number': 1 } });
  t.same(
    told.map(({ body }) => [body.agent, body.refused]),
    [
      [
        'b',
        [
          { n: 7, reason: 'not JSON' },
          { n: 8, reason: 'cpu below 0' },
        ],
      ],
      ['a', [{ n: 3, reason: 'ram not a number' }]],
    ],
  );
  t.equal(state.counts.refused, 3);
  t.end();
});

t.test('B9: the same number with another receipt time is another place', (t) => {
  const env = envOf();
  const placed = (received: number): number => {
    const state = newState();
    state.sealedPlace = { sequence: 5, received: 100, lines: -1 };
    state.place = { sequence: 5, received, lines: -1 };
    return read(buffer.step(state, { kind: 'tick', tick: 'position', now: at }, env)[1]).segments.length;
  };
  t.equal(placed(200), 1, 'a log that lost its tail gave the number again');
  t.equal(placed(100), 0);
  t.end();
});
