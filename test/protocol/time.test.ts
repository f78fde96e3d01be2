import fc from 'fast-check';
import t from 'tap';
import {
  dateOf, formatInstant, formatMinute, isZone, monthOf, parseAsked, parseDurationMs, parseTimestamp, stepStart,
} from '../../protocol/time.js';

const fourDigitYears = fc.integer({ min: Date.UTC(0, 0, 1) - 1899 * 365 * 86_400_000, max: Date.UTC(9999, 11, 31) });

t.test('what is written is what Date writes', (t) => {
  fc.assert(fc.property(fourDigitYears, (ms) => {
    const iso = new Date(ms).toISOString();
    return formatInstant(ms) === iso && formatMinute(Math.floor(ms / 60_000) * 60_000) === `${iso.slice(0, 16)}:00Z` &&
      dateOf(ms) === iso.slice(0, 10) && monthOf(ms) === iso.slice(0, 7);
  }));
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
  fc.assert(fc.property(spelling, ({ ms, separator, shape, point, digits, offsetMinutes, offset }) => {
    const iso = new Date(ms).toISOString();
    const fraction = `${iso.slice(20, 23)}456789`.slice(0, digits);
    const time = { minutes: iso.slice(11, 16), seconds: iso.slice(11, 19), fraction: `${iso.slice(11, 19)}${point}${fraction}` }[shape];
    const away = Math.abs(offsetMinutes);
    const hours = String(Math.floor(away / 60)).padStart(2, '0');
    const minutes = offset === 'hh' ? '00' : String(away % 60).padStart(2, '0');
    const sign = offsetMinutes < 0 ? '-' : '+';
    const written = offset.replace('hh', sign + hours).replace('mm', minutes);
    const expected = Date.parse(`${iso.slice(0, 10)}T${shape === 'minutes' ? `${time}:00` : iso.slice(0, 19).slice(11)}.` +
      `${shape === 'fraction' ? fraction.slice(0, 3).padEnd(3, '0') : '000'}${offset.startsWith('h') ? `${sign}${hours}:${minutes}` : 'Z'}`);
    const read = parseTimestamp(`${iso.slice(0, 10)}${separator}${time}${written}`);
    return new Date(expected).getUTCFullYear() > 9999 ? read === undefined : read === expected;
  }), { numRuns: 2000 });
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
    ['2026-11-23T10:15:00.123Z', at + 123], ['2026-11-23 10:15', at], ['2026-11-23t10:15z', at],
    ['2026-11-23T10:15:00,1', at + 100], ['2026-11-23T10:15:00.12399999', at + 123], ['2026-11-23T12:15:00+02', at],
    ['2026-11-23T15:45:00+0530', at], ['2026-11-23T04:45-05:30', at], ['2026-11-23T10:15-00:00', at],
    [at, at], [at + 0.9, at], [at / 1000, at], [at / 1000 + 0.0014, at + 1], [at / 1000 + 0.0016, at + 2],
    [1e11, 1e11], [1e11 - 1, (1e11 - 1) * 1000], [0, 0], [-0, 0], [1.5, 1500],
    ['0000-01-01T00:00Z', -62_167_219_200_000], ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
  ] as const) t.equal(parseTimestamp(given), ms, JSON.stringify(given));
  t.ok(Object.is(parseTimestamp(-0), 0), 'no -0');
  t.end();
});

t.test('times that are none', (t) => {
  for (const given of [
    '2026-02-30T10:15:00Z', '2026-02-29T00:00Z', '1900-02-29T00:00Z', '2026-04-31T00:00', '2026-11-23T24:00:00Z', '2026-11-23T10:60Z',
    '2026-11-23T10:15:60Z', '2026-00-01T00:00', '2026-13-01T00:00', '2026-01-00T00:00', '2026-11-23', '2026-11-23T', '2026-11-23T10',
    '2026-11-23T10:15:', '2026-11-23T10:15:0', '2026-11-23T10:15:00.', '2026-11-23T10:15:00.Z', '2026-11-23T10:15.5Z', '2026-11-23T10:15:00 Z',
    '2026-11-23T10:15:00ZZ', '2026-11-23T10:15:00+2', '2026-11-23T10:15:00+24', '2026-11-23T10:15:00+02:60', '2026-11-23T10:15:00+02:0',
    '2026-11-23T10:15:00+020', '2026-11-23T10:15:00+02000', '2026-11-23T10:15:00+02:000', '2026-11-23T10:15:00+02-00',
    ' 2026-11-23T10:15:00Z', '2026-11-23T10:15:00Z ', '2026/11/23T10:15:00Z', '2026-11-23_10:15:00Z', '26-11-23T10:15:00Z', '+002026-11-23T10:15:00Z',
    '20261123T101500Z', '2026-11-23T10.15.00Z', '2026-1-23T10:15:00Z', '２０２６-11-23T10:15:00Z', '0000-01-01T00:00+01', '9999-12-31T23:59-01',
    '1790000000', '', 'now', null, undefined, true, {}, [], ['2026-11-23T10:15:00Z'], Number.NaN, Infinity, -Infinity, 1e300, -1e300, 3e11 * 1000,
  ]) t.equal(parseTimestamp(given), undefined, JSON.stringify(given));
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
    ['now', now], ['now-6h', now - 6 * 3_600_000], ['now-90s', now - 90_000], ['now-15m', now - 900_000], ['now-7d', now - 7 * 86_400_000],
    ['now-2w', now - 14 * 86_400_000], ['now+1h', now + 3_600_000], ['2026-11-23', Date.UTC(2026, 10, 23)],
    ['2026-11-23T10:15+01:00', Date.UTC(2026, 10, 23, 9, 15)], [now, now], [String(now), now], [String(now / 1000), now], ['1.5', 1500],
    ['now-', undefined], ['now6h', undefined], ['now-6', undefined], ['now-6y', undefined], ['now--6h', undefined], ['yesterday', undefined], ['', undefined],
    ['2026-02-30', undefined], ['1e9', undefined], ['now-999999999999w', undefined], [Number.NaN, undefined],
  ] as const) t.equal(parseAsked(given, now), ms, JSON.stringify(given));
  t.end();
});

t.test('durations', (t) => {
  for (const [text, ms] of [
    ['100ms', 100], ['30s', 30_000], ['5m', 300_000], ['1h', 3_600_000], ['24h', 86_400_000], ['7d', 604_800_000], ['2w', 1_209_600_000],
    ['1.5s', 1500], ['0s', 0], ['', undefined], ['30', undefined], ['s', undefined], ['-1s', undefined], ['1 s', undefined], ['1s1s', undefined], ['1S', undefined],
  ] as const) t.equal(parseDurationMs(text), ms, text);
  t.end();
});

t.test('zones that there are', (t) => {
  for (const zone of ['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'Australia/Lord_Howe']) t.ok(isZone(zone), zone);
  for (const zone of ['', 'Mars/Olympus', '../etc', 'Europe']) t.notOk(isZone(zone), JSON.stringify(zone));
  t.throws(() => stepStart(0, 'day', 'Mars/Olympus'), RangeError);
  t.end();
});

t.test('where days and hours begin, on days that are not of 24 hours, and in odd zones', (t) => {
  const at = (text: string): number => parseTimestamp(text) as number;
  for (const [time, step, zone, start] of [
    ['2026-11-23T10:15:30.5Z', 'minute', 'Asia/Kolkata', '2026-11-23T10:15Z'],
    ['2026-11-23T10:15Z', 'hour', 'UTC', '2026-11-23T10:00Z'],
    ['2026-11-23T10:15Z', 'day', 'UTC', '2026-11-23T00:00Z'],
    ['1969-12-31T23:59Z', 'day', 'UTC', '1969-12-31T00:00Z'],
    ['2026-11-23T10:15Z', 'hour', 'Asia/Kolkata', '2026-11-23T09:30Z'],
    ['2026-11-23T10:15Z', 'day', 'Asia/Kolkata', '2026-11-22T18:30Z'],
    ['2026-11-23T10:10Z', 'hour', 'Asia/Kathmandu', '2026-11-23T09:15Z'],
    // 23 hours: 29 March 2026 in Berlin
    ['2026-03-29T00:30Z', 'day', 'Europe/Berlin', '2026-03-28T23:00Z'],
    ['2026-03-29T21:59Z', 'day', 'Europe/Berlin', '2026-03-28T23:00Z'],
    ['2026-03-29T22:00Z', 'day', 'Europe/Berlin', '2026-03-29T22:00Z'],
    // 25 hours: 25 October 2026
    ['2026-10-25T22:59Z', 'day', 'Europe/Berlin', '2026-10-24T22:00Z'],
    ['2026-10-25T23:00Z', 'day', 'Europe/Berlin', '2026-10-25T23:00Z'],
    ['2026-10-25T00:30Z', 'hour', 'Europe/Berlin', '2026-10-25T00:00Z'],
    ['2026-10-25T01:30Z', 'hour', 'Europe/Berlin', '2026-10-25T01:00Z'],
    // midnight is leapt over: 26 March 2023 in Beirut; 00:00 to 01:00
    ['2023-03-26T12:00Z', 'day', 'Asia/Beirut', '2023-03-25T22:00Z'],
    // midnight comes twice: 2 November 2025 in Havana; 01:00 back to 00:00
    ['2025-11-02T12:00Z', 'day', 'America/Havana', '2025-11-02T04:00Z'],
    ['2025-11-02T05:30Z', 'day', 'America/Havana', '2025-11-02T04:00Z'],
    ['2025-11-02T03:59Z', 'day', 'America/Havana', '2025-11-01T04:00Z'],
    // 30 December 2011 was not in Apia
    ['2011-12-30T09:59Z', 'day', 'Pacific/Apia', '2011-12-29T10:00Z'],
    ['2011-12-30T10:00Z', 'day', 'Pacific/Apia', '2011-12-30T10:00Z'],
    ['2011-12-31T09:59Z', 'day', 'Pacific/Apia', '2011-12-30T10:00Z'],
    // the clock is set by half an hour: Lord Howe, 5 April 2026 at 02:00 back to 01:30, 4 October at 02:00 on to 02:30
    ['2026-04-04T15:20Z', 'hour', 'Australia/Lord_Howe', '2026-04-04T14:00Z'],
    ['2026-04-04T15:30Z', 'hour', 'Australia/Lord_Howe', '2026-04-04T15:30Z'],
    ['2026-10-03T15:40Z', 'hour', 'Australia/Lord_Howe', '2026-10-03T15:30Z'],
    ['2026-10-03T15:29Z', 'hour', 'Australia/Lord_Howe', '2026-10-03T14:30Z'],
    ['2026-10-03T20:00Z', 'day', 'Australia/Lord_Howe', '2026-10-03T13:30Z'],
  ] as const) t.equal(formatInstant(stepStart(at(time), step, zone)), formatInstant(at(start)), `${step} of ${time} in ${zone}`);
  t.end();
});

t.test('in any zone: a beginning is not after, is its own beginning, and bears the same local date or hour', (t) => {
  const zones = ['Europe/Berlin', 'America/New_York', 'America/St_Johns', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'America/Havana', 'Pacific/Apia'];
  const formats = new Map(zones.map((timeZone) => [timeZone, new Intl.DateTimeFormat('sv-SE', {
    timeZone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', hourCycle: 'h23',
  })]));
  const times = fc.integer({ min: Date.UTC(2012, 0, 1), max: Date.UTC(2037, 11, 31) });
  fc.assert(fc.property(times, fc.constantFrom(...zones), (ms, zone) => {
    const local = (at: number): string => (formats.get(zone) as Intl.DateTimeFormat).format(at);
    const hour = stepStart(ms, 'hour', zone);
    const day = stepStart(ms, 'day', zone);
    return hour <= ms && ms - hour < 5_400_000 && stepStart(hour, 'hour', zone) === hour && local(hour) === local(ms) &&
      day <= hour && ms - day <= 25 * 3_600_000 && stepStart(day, 'day', zone) === day &&
      local(day).slice(0, 10) === local(ms).slice(0, 10) && local(day - 1).slice(0, 10) !== local(ms).slice(0, 10);
  }), { numRuns: 3000 });
  t.end();
});
