/** What the pages do without a document: links, gaps, events. */
import fc from 'fast-check';
import t from 'tap';
import { type AlignModule, type EventsModule, type LinkModule, type LinkState, loadPageModule } from './page-modules.js';

const { readLink, writeLink } = await loadPageModule<LinkModule>('link.js');
const { alignedValues, timesOf } = await loadPageModule<AlignModule>('align.js');
const { eventParser } = await loadPageModule<EventsModule>('event-stream.js');

t.test('a link holds the whole state, whatever the names are', (t) => {
  const anyState: fc.Arbitrary<LinkState> = fc.record({
    from: fc.constantFrom('now-1h', 'today', '2026-11-24T09:00:00Z'),
    to: fc.constantFrom('now', '2026-11-24T10:00:00Z'),
    zone: fc.constantFrom('UTC', 'local', 'Europe/Berlin'),
    services: fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), { maxLength: 5 }),
    zoom: fc.constantFrom(undefined, { from: '2026-11-24T09:10:00Z', to: '2026-11-24T09:20:00Z' }),
    sort: fc.constantFrom('service', '-cpu.max'),
    position: fc.constantFrom(undefined, '120,88,0,431'),
    etag: fc.constantFrom(undefined, '"a/b+c="'),
  });
  fc.assert(
    fc.property(anyState, (state) => {
      t.same(readLink(writeLink(state)), state);
    }),
    { numRuns: 100 },
  );
  const odd = ['<img src=x onerror=alert(1)>', '../up', '__proto__', 'a&service=b', '100%', '#', 'שלום'];
  const [state] = fc.sample(anyState, 1) as [LinkState];
  t.same(readLink(writeLink({ ...state, services: odd })).services, odd);
  t.end();
});

t.test('a link that was written by hand is read as far as it can be', (t) => {
  t.same(readLink(''), {
    from: 'now-1h',
    to: 'now',
    zone: 'UTC',
    services: [],
    zoom: undefined,
    sort: 'service',
    position: undefined,
    etag: undefined,
  });
  t.equal(readLink('?zone=Mars').zone, 'UTC');
  t.equal(readLink('?zoom=1').zoom, undefined);
  t.same(readLink('?service=a&service=a&service=b').services, ['a', 'b']);
  t.end();
});

t.test('a gap is a gap: null, and never 0 or a line across', (t) => {
  const columns = (values: number[]) => ({ mean: values, max: values.map((value) => value + 1) });
  const services = [
    { time: [0, 60, 300, 360], cpu: columns([1, 2, 3, 4]) },
    { time: [60, 120], cpu: columns([5, 6]) },
  ];
  const times = timesOf(services, 60);
  t.same(times, [0, 60, 120, 180, 300, 360], 'one more behind the last before a gap of all');
  t.same(alignedValues(services, 'cpu', times), [
    [1, 2, null, null, 3, 4],
    [2, 3, null, null, 4, 5],
    [null, 5, 6, null, null, null],
    [null, 6, 7, null, null, null],
  ]);
  t.same(timesOf([], 60), []);
  t.end();
});

t.test('events are read from any pieces of text', (t) => {
  const stream = ': hello\n\nevent: view\nid: 1,2\ndata: {"a":\ndata: 1}\n\n: heartbeat\n\nevent: proved\r\ndata: {}\r\n\r\ndata: x\n\n';
  const whole = [
    { event: 'view', text: '{"a":\n1}', id: '1,2' },
    { event: 'proved', text: '{}', id: '1,2' },
    { event: 'message', text: 'x', id: '1,2' },
  ];
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 60 }), (sizes) => {
      const seen: unknown[] = [];
      const parse = eventParser((event) => seen.push(event));
      let from = 0;
      for (const size of [...sizes, stream.length]) {
        // CR and LF that come apart are two line ends to nobody who sends whole events; the server sends LF only.
        if (stream[from + size - 1] === '\r') continue;
        parse(stream.slice(from, from + size));
        from += size;
      }
      t.same(seen, whole);
    }),
    { numRuns: 50 },
  );
  t.end();
});
