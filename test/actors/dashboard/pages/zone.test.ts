/** The clocks of the pages, held against those of the server, which were written apart. */
import fc from 'fast-check';
import t from 'tap';
import { stepStart } from '../../../../protocol/zone.js';
import { loadPageModule, type RangeModule, type TicksModule, type ZoneModule } from './page-modules.js';

const { clock, date, dayStart, fromField, instantOf, isZone, localOf, nextDay, offsetText, previousDay, toField } =
  await loadPageModule<ZoneModule>('zone.js');
const { instantOfWord, isMoving, presets, resized, spanOf } = await loadPageModule<RangeModule>('range.js');
const { ticksOf, tickTexts } = await loadPageModule<TicksModule>('ticks.js');

const hourMs = 3_600_000;
const berlin = 'Europe/Berlin';
/** Half and quarter hours, no change at all, at midnight (Beirut), twice midnight (Havana), half an hour (Lord Howe). */
const zones = [
  'UTC',
  berlin,
  'America/New_York',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Asia/Beirut',
  'America/Havana',
  'Australia/Lord_Howe',
  'Pacific/Apia',
];
const anyInstant = fc.integer({ min: Date.UTC(2005, 0), max: Date.UTC(2030, 0) });

t.test("days begin where the server's days begin, in every zone", (t) => {
  fc.assert(
    fc.property(anyInstant, fc.constantFrom(...zones), (at, zone) => {
      const start = dayStart(at, zone);
      t.equal(start, stepStart(at, 'day', zone), `${new Date(at).toISOString()} in ${zone}`);
      const next = nextDay(start, zone);
      if (start > at || next <= at || previousDay(next, zone) !== start) t.fail(`day around ${new Date(at).toISOString()} in ${zone}`);
    }),
    { numRuns: 150 },
  );
  t.end();
});

t.test('a local time is the first instant at which clocks show it', (t) => {
  fc.assert(
    fc.property(anyInstant, fc.constantFrom(...zones), (at, zone) => {
      const first = instantOf(localOf(at, zone), zone);
      if (localOf(first, zone) !== localOf(at, zone) || first > at) t.fail(`${new Date(at).toISOString()} in ${zone}`);
    }),
    { numRuns: 300 },
  );
  t.equal(fromField('2026-10-25T02:30', berlin), Date.UTC(2026, 9, 25, 0, 30), 'twice there: the first');
  t.equal(fromField('2026-03-29T02:30', berlin), Date.UTC(2026, 2, 29, 1), 'skipped: where the clocks leap');
  t.equal(fromField('', berlin), undefined);
  t.equal(fromField('2026-11-24', berlin), undefined);
  t.equal(toField(Date.UTC(2026, 10, 24, 9, 15), berlin), '2026-11-24T10:15');
  t.end();
});

t.test('days have 23, 24 and 25 hours', (t) => {
  const hoursOf = (year: number, month: number, day: number): number => {
    const start = dayStart(Date.UTC(year, month - 1, day, 12), berlin);
    return (nextDay(start, berlin) - start) / hourMs;
  };
  t.same([hoursOf(2026, 3, 29), hoursOf(2026, 3, 30), hoursOf(2026, 10, 25)], [23, 24, 25]);
  const now = Date.UTC(2026, 9, 26, 9);
  const yesterday = spanOf({ from: 'yesterday', to: 'today' }, now, berlin);
  t.same(yesterday, { from: Date.UTC(2026, 9, 24, 22), to: Date.UTC(2026, 9, 25, 23) }, 'yesterday had 25 hours');
  t.same(spanOf({ from: 'today', to: 'now' }, now, 'UTC'), { from: Date.UTC(2026, 9, 26), to: now });
  t.end();
});

t.test('times are written as the clocks show them', (t) => {
  const at = Date.UTC(2026, 10, 24, 9, 5, 7, 30);
  t.equal(clock(at, 'UTC'), '09:05');
  t.equal(clock(at, berlin, 'second'), '10:05:07');
  t.equal(clock(at, 'Asia/Kathmandu', 'ms'), '14:50:07.030');
  t.equal(date(at, 'UTC', at), '24 Nov');
  t.equal(date(at, 'UTC', Date.UTC(2027, 1)), '24 Nov 2026');
  t.equal(offsetText(at, 'UTC'), 'UTC');
  t.equal(offsetText(at, 'America/New_York'), 'UTC-5');
  t.equal(offsetText(at, 'Asia/Kathmandu'), 'UTC+5:45');
  t.ok(isZone('local'));
  t.notOk(isZone('Mars/Olympus'));
  t.end();
});

t.test('a range is words or instants', (t) => {
  const now = Date.UTC(2026, 10, 24, 10);
  t.equal(instantOfWord('now-6h', now, 'UTC'), now - 6 * hourMs);
  t.equal(instantOfWord('now+2d', now, 'UTC'), now + 48 * hourMs);
  t.equal(instantOfWord('2026-11-24T09:00:00Z', now, 'UTC'), now - hourMs);
  for (const word of [
    '',
    'later',
    'now-',
    'now-6',
    'now-6x',
    '2026-11-24',
    '2026-13-24T09:00:00Z',
    '2026-11-24T09:00:00',
    '1e9',
    'today-1d',
  ])
    t.equal(instantOfWord(word, now, 'UTC'), undefined, word);
  t.equal(spanOf({ from: 'now', to: 'now-1h' }, now, 'UTC'), undefined, 'backwards');
  t.equal(isMoving({ from: '2026-11-24T09:00:00Z', to: '2026-11-24T10:00:00Z' }), false);
  t.ok(presets.every((preset) => isMoving(preset) && spanOf(preset, now, berlin) !== undefined));
  t.equal(presets.length, 8);
  t.same(resized({ from: 0, to: 4 * hourMs }, 0.5), { from: hourMs, to: 3 * hourMs });
  t.same(resized({ from: 0, to: 4 * hourMs }, 1, -0.5), { from: -2 * hourMs, to: 2 * hourMs });
  t.same(resized({ from: 0, to: 60_000 }, 0.5), { from: 0, to: 60_000 }, 'a minute is the least');
  t.end();
});

t.test('ticks stand at round times of the clocks', (t) => {
  const [from, to] = [Date.UTC(2026, 9, 24, 22), Date.UTC(2026, 9, 25, 23)];
  const texts = ticksOf(from, to, berlin, 9).map((at) => clock(at, berlin));
  t.same(texts, ['00:00', '03:00', '06:00', '09:00', '12:00', '15:00', '18:00', '21:00', '00:00'], 'a day of 25 hours');
  const days = ticksOf(Date.UTC(2026, 2, 27, 23), Date.UTC(2026, 2, 30, 22), berlin, 4);
  t.same(
    days.map((at) => clock(at, berlin)),
    ['00:00', '00:00', '00:00', '00:00'],
    'days begin at midnight on both sides of a change',
  );
  t.same(
    ticksOf(0, 15 * 60_000, 'Asia/Kathmandu', 4).map((at) => clock(at, 'Asia/Kathmandu')),
    ['05:30', '05:35', '05:40', '05:45'],
  );
  t.same(tickTexts([Date.UTC(2026, 10, 23, 18), Date.UTC(2026, 10, 24), Date.UTC(2026, 10, 24, 6)], 'UTC'), [
    '18:00\n23 Nov',
    '24 Nov',
    '06:00',
  ]);
  for (const lengthMs of [60_000, hourMs, 24 * hourMs, 720 * hourMs, 8_760 * hourMs, 87_600 * hourMs]) {
    const { length } = ticksOf(from, from + lengthMs, berlin, 10);
    t.ok(length > 0 || lengthMs > 8_760 * hourMs, `some in ${lengthMs} ms`);
    t.ok(length <= 11 || lengthMs > 8_760 * hourMs, `${length} in ${lengthMs} ms`);
  }
  t.end();
});
