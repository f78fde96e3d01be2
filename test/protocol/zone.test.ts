import fc from 'fast-check';
import t from 'tap';
import { formatInstant, isZone, parseTimestamp, stepStart } from '../../protocol/time.js';

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
  ] as const)
    t.equal(formatInstant(stepStart(at(time), step, zone)), formatInstant(at(start)), `${step} of ${time} in ${zone}`);
  t.end();
});

t.test('in any zone: a beginning is not after, is its own beginning, and bears the same local date or hour', (t) => {
  const zones = [
    'Europe/Berlin',
    'America/New_York',
    'America/St_Johns',
    'Asia/Kathmandu',
    'Australia/Lord_Howe',
    'America/Havana',
    'Pacific/Apia',
  ];
  const formats = new Map(
    zones.map((timeZone) => [
      timeZone,
      new Intl.DateTimeFormat('sv-SE', {
        timeZone,
        year: 'numeric',
        month: '2-digit',
        day: '2-digit',
        hour: '2-digit',
        hourCycle: 'h23',
      }),
    ]),
  );
  const times = fc.integer({ min: Date.UTC(2012, 0, 1), max: Date.UTC(2037, 11, 31) });
  fc.assert(
    fc.property(times, fc.constantFrom(...zones), (ms, zone) => {
      const local = (at: number): string => (formats.get(zone) as Intl.DateTimeFormat).format(at);
      const hour = stepStart(ms, 'hour', zone);
      const day = stepStart(ms, 'day', zone);
      return (
        hour <= ms &&
        ms - hour < 5_400_000 &&
        stepStart(hour, 'hour', zone) === hour &&
        local(hour) === local(ms) &&
        day <= hour &&
        ms - day <= 25 * 3_600_000 &&
        stepStart(day, 'day', zone) === day &&
        local(day).slice(0, 10) === local(ms).slice(0, 10) &&
        local(day - 1).slice(0, 10) !== local(ms).slice(0, 10)
      );
    }),
    { numRuns: 3000 },
  );
  t.end();
});
