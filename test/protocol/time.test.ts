import fc from 'fast-check';
import t from 'tap';
import { dateOf, formatInstant, formatMinute, monthOf, parseAsked, parseDurationMs, parseTimestamp } from '../../protocol/time.js';

const fourDigitYears = fc.integer({ min: Date.UTC(0, 0, 1) - 1899 * 365 * 86_400_000, max: Date.UTC(9999, 11, 31) });

t.test('what is written is what Date writes', (t) => {
  fc.assert(
    fc.property(fourDigitYears, (ms) => {
      const iso = new Date(ms).toISOString();
      return (
        formatInstant(ms) === iso &&
        formatMinute(Math.floor(ms / 60_000) * 60_000) === `${iso.slice(0, 16)}:00Z` &&
        dateOf(ms) === iso.slice(0, 10) &&
        monthOf(ms) === iso.slice(0, 7)
      );
    }),
  );
  t.equal(formatMinute(Date.UTC(2026, 10, 23, 10, 15)), '2026-11-23T10:15:00Z');
  t.equal(formatInstant(Date.UTC(2026, 10, 23, 10, 15, 0, 7)), '2026-11-23T10:15:00.007Z');
  t.end();
});

t.test('what is written is read again', (t) => {
  fc.assert(fc.property(fourDigitYears, (ms) => parseTimestamp(formatInstant(ms)) === ms));
  t.end();
});

t.test('valid times are what Date says, in every spelling', (t) => {
  const spelling = fc.record({
    ms: fourDigitYears,
    separator: fc.constantFrom('T', 't', ' '),
    shape: fc.constantFrom('minutes', 'seconds', 'fraction'),
    point: fc.constantFrom('.', ','),
    digits: fc.integer({ min: 1, max: 9 }),
    offsetMinutes: fc.integer({ min: -1439, max: 1439 }),
    offset: fc.constantFrom('', 'Z', 'z', 'hh', 'hhmm', 'hh:mm'),
  });
  fc.assert(
    fc.property(spelling, ({ ms, separator, shape, point, digits, offsetMinutes, offset }) => {
      const iso = new Date(ms).toISOString();
      const fraction = `${iso.slice(20, 23)}456789`.slice(0, digits);
      const time = {
        minutes: iso.slice(11, 16),
        seconds: iso.slice(11, 19),
        fraction: `${iso.slice(11, 19)}${point}${fraction}`,
      }[shape];
      const away = Math.abs(offsetMinutes);
      const hours = String(Math.floor(away / 60)).padStart(2, '0');
      const minutes = offset === 'hh' ? '00' : String(away % 60).padStart(2, '0');
      const sign = offsetMinutes < 0 ? '-' : '+';
      const written = offset.replace('hh', sign + hours).replace('mm', minutes);
      const expected = Date.parse(
        `${iso.slice(0, 10)}T${shape === 'minutes' ? `${time}:00` : iso.slice(0, 19).slice(11)}.` +
          `${shape === 'fraction' ? fraction.slice(0, 3).padEnd(3, '0') : '000'}${offset.startsWith('h') ? `${sign}${hours}:${minutes}` : 'Z'}`,
      );
      const read = parseTimestamp(`${iso.slice(0, 10)}${separator}${time}${written}`);
      return new Date(expected).getUTCFullYear() > 9999 ? read === undefined : read === expected;
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('every day of 400 years is a date, and no other', (t) => {
  const two = (n: number): string => String(n).padStart(2, '0');
  let wrong = 0;
  for (let year = 1900; year < 2300; year++) {
    for (let month = 0; month <= 13; month++) {
      for (let day = 0; day <= 32; day++) {
        const date = new Date(Date.UTC(year, month - 1, day));
        const exists = date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
        const read = parseTimestamp(`${year}-${two(month)}-${two(day)}T00:00Z`);
        if (read !== (exists ? date.getTime() : undefined)) wrong += 1;
      }
    }
  }
  t.equal(wrong, 0);
  t.end();
});

t.test('times that are read', (t) => {
  const at = Date.UTC(2026, 10, 23, 10, 15);
  for (const [given, ms] of [
    ['2026-11-23T10:15:00.123Z', at + 123],
    ['2026-11-23 10:15', at],
    ['2026-11-23t10:15z', at],
    ['2026-11-23T10:15:00,1', at + 100],
    ['2026-11-23T10:15:00.12399999', at + 123],
    ['2026-11-23T12:15:00+02', at],
    ['2026-11-23T15:45:00+0530', at],
    ['2026-11-23T04:45-05:30', at],
    ['2026-11-23T10:15-00:00', at],
    [at, at],
    [at + 0.9, at],
    [at / 1000, at],
    [at / 1000 + 0.0014, at + 1],
    [at / 1000 + 0.0016, at + 2],
    [1e11, 1e11],
    [1e11 - 1, (1e11 - 1) * 1000],
    [0, 0],
    [-0, 0],
    [1.5, 1500],
    ['0000-01-01T00:00Z', -62_167_219_200_000],
    ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
  ] as const)
    t.equal(parseTimestamp(given), ms, JSON.stringify(given));
  t.ok(Object.is(parseTimestamp(-0), 0), 'no -0');
  t.end();
});

t.test('times that are none', (t) => {
  for (const given of [
    '2026-02-30T10:15:00Z',
    '2026-02-29T00:00Z',
    '1900-02-29T00:00Z',
    '2026-04-31T00:00',
    '2026-11-23T24:00:00Z',
    '2026-11-23T10:60Z',
    '2026-11-23T10:15:60Z',
    '2026-00-01T00:00',
    '2026-13-01T00:00',
    '2026-01-00T00:00',
    '2026-11-23',
    '2026-11-23T',
    '2026-11-23T10',
    '2026-11-23T10:15:',
    '2026-11-23T10:15:0',
    '2026-11-23T10:15:00.',
    '2026-11-23T10:15:00.Z',
    '2026-11-23T10:15.5Z',
    '2026-11-23T10:15:00 Z',
    '2026-11-23T10:15:00ZZ',
    '2026-11-23T10:15:00+2',
    '2026-11-23T10:15:00+24',
    '2026-11-23T10:15:00+02:60',
    '2026-11-23T10:15:00+02:0',
    '2026-11-23T10:15:00+020',
    '2026-11-23T10:15:00+02000',
    '2026-11-23T10:15:00+02:000',
    '2026-11-23T10:15:00+02-00',
    ' 2026-11-23T10:15:00Z',
    '2026-11-23T10:15:00Z ',
    '2026/11/23T10:15:00Z',
    '2026-11-23_10:15:00Z',
    '26-11-23T10:15:00Z',
    '+002026-11-23T10:15:00Z',
    '20261123T101500Z',
    '2026-11-23T10.15.00Z',
    '2026-1-23T10:15:00Z',
    '２０２６-11-23T10:15:00Z',
    '0000-01-01T00:00+01',
    '9999-12-31T23:59-01',
    '1790000000',
    '',
    'now',
    null,
    undefined,
    true,
    {},
    [],
    ['2026-11-23T10:15:00Z'],
    Number.NaN,
    Infinity,
    -Infinity,
    1e300,
    -1e300,
    3e11 * 1000,
  ])
    t.equal(parseTimestamp(given), undefined, JSON.stringify(given));
  t.end();
});

t.test('one bad time between good ones of the same day changes nothing (the last date is kept)', (t) => {
  t.equal(parseTimestamp('2026-02-28T00:00Z'), Date.UTC(2026, 1, 28));
  t.equal(parseTimestamp('2026-02-30T00:00Z'), undefined);
  t.equal(parseTimestamp('2026x02-28T00:00Z'), undefined);
  t.equal(parseTimestamp('2026-02-28T00:00Z'), Date.UTC(2026, 1, 28));
  t.end();
});

t.test('times that a person asks for', (t) => {
  const now = Date.UTC(2026, 10, 23, 10, 15, 30);
  for (const [given, ms] of [
    ['now', now],
    ['now-6h', now - 6 * 3_600_000],
    ['now-90s', now - 90_000],
    ['now-15m', now - 900_000],
    ['now-7d', now - 7 * 86_400_000],
    ['now-2w', now - 14 * 86_400_000],
    ['now+1h', now + 3_600_000],
    ['2026-11-23', Date.UTC(2026, 10, 23)],
    ['2026-11-23T10:15+01:00', Date.UTC(2026, 10, 23, 9, 15)],
    [now, now],
    [String(now), now],
    [String(now / 1000), now],
    ['1.5', 1500],
    ['now-', undefined],
    ['now6h', undefined],
    ['now-6', undefined],
    ['now-6y', undefined],
    ['now--6h', undefined],
    ['yesterday', undefined],
    ['', undefined],
    ['2026-02-30', undefined],
    ['1e9', undefined],
    ['now-999999999999w', undefined],
    [Number.NaN, undefined],
  ] as const)
    t.equal(parseAsked(given, now), ms, JSON.stringify(given));
  t.end();
});

t.test('durations', (t) => {
  for (const [text, ms] of [
    ['100ms', 100],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    ['1.5s', 1500],
    ['0s', 0],
    ['', undefined],
    ['30', undefined],
    ['s', undefined],
    ['-1s', undefined],
    ['1 s', undefined],
    ['1s1s', undefined],
    ['1S', undefined],
  ] as const)
    t.equal(parseDurationMs(text), ms, text);
  t.end();
});
