import fc from 'fast-check';
import t from 'tap';
import type { ViewQuestion } from '../../../actors/dashboard/parameters.js';
import { bucketMinutesOf, readSeries } from '../../../actors/dashboard/series.js';
import type { Asks } from '../../../actors/dashboard/view-reader.js';
import { answerWriter } from '../../../actors/merger/answer-writer.js';
import { addRecord, emptyRow, minuteMs } from '../../../protocol/minute-row.js';

interface Minute {
  readonly service: string;
  readonly at: number;
  /** millionths */
  readonly values: readonly number[];
}

const terms = { batch: null, cut: [], position: [], newest: null, missing: 0, refused: 0, late: 0 };
const dayMs = 86_400_000;

/** Answers with these minutes, in two chunks. */
const answering = (minutes: readonly Minute[]): Asks => ({
  ask: async (_question, take) => {
    const sorted = [...minutes].sort((a, b) => (a.service < b.service ? -1 : a.service > b.service ? 1 : a.at - b.at));
    const half = Math.floor(sorted.length / 2);
    for (const part of [sorted.slice(0, half), sorted.slice(half)]) {
      const writer = answerWriter('blocks');
      let naming: string | undefined;
      for (const { service, at, values } of part) {
        if (service !== naming) writer.service(service);
        naming = service;
        const row = emptyRow();
        for (const [i, value] of values.entries()) addRecord(row, at + i, value, 1, 2);
        writer.row(at, row);
      }
      for (const body of writer.bodies(terms)) take(body as Uint8Array);
    }
    return terms;
  },
});

const ask = (minutes: readonly Minute[], from: number, to: number, points: number, zone = 'UTC', services?: string[]) =>
  readSeries(
    answering(minutes),
    { from, to, services, step: 'minute', zone: 'UTC', after: [], waitMs: 1 } satisfies ViewQuestion,
    zone,
    points,
  );

t.test('against a count by brute force: sums, lowest means and peaks of every bucket, no bucket without a message', async () => {
  const from = Date.UTC(2026, 10, 23);
  const minute = fc.record({
    service: fc.constantFrom('web', 'db', '__proto__'),
    at: fc.nat(2 * 1_440 - 1).map((i) => from + i * minuteMs),
    values: fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }).map((values) => values.map((value) => value * 1_000_000)),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(minute, { selector: ({ service, at }) => `${service} ${at}`, minLength: 1, maxLength: 80 }),
      fc.constantFrom(10, 100, 5_000),
      async (minutes, points) => {
        const { bucketMinutes, services } = await ask(minutes, from, from + 2 * dayMs, points);
        const bucketMs = bucketMinutes * minuteMs;
        for (const series of services) {
          const own = minutes.filter(({ service }) => service === series.service);
          const starts = [...new Set(own.map(({ at }) => Math.floor(at / bucketMs) * bucketMs))].sort((a, b) => a - b);
          if (JSON.stringify(series.time) !== JSON.stringify(starts.map((start) => start / 1_000))) return false;
          for (const [i, start] of starts.entries()) {
            const inside = own.filter(({ at }) => at >= start && at < start + bucketMs);
            const readings = inside.flatMap(({ at, values }) => values.map((value, n) => ({ value: value / 1e6, at: at + n })));
            const highest = Math.max(...readings.map(({ value }) => value));
            const first = Math.min(...readings.filter(({ value }) => value === highest).map(({ at }) => at));
            const means = inside.map(({ values }) => values.reduce((a, b) => a + b) / 1e6 / values.length);
            const { mean, min, max, maxTime } = series.cpu;
            if (series.msg_num[i] !== readings.length || max[i] !== highest || maxTime[i] !== new Date(first).toISOString()) return false;
            if (Math.abs((min[i] ?? 0) - Math.min(...means)) > 1e-9) return false;
            if (Math.abs((mean[i] ?? 0) - readings.reduce((sum, { value }) => sum + value, 0) / readings.length) > 1e-9) return false;
          }
        }
        return (
          services.reduce((sum, { msg_num }) => sum + msg_num.reduce((a, b) => a + b, 0), 0) ===
          minutes.reduce((sum, { values }) => sum + values.length, 0)
        );
      },
    ),
    { numRuns: 60 },
  );
});

t.test('buckets begin with the days of the zone, also on days with 23 and 25 hours', async (t) => {
  const every = (from: number, to: number): Minute[] =>
    Array.from({ length: (to - from) / (10 * minuteMs) }, (_, i) => ({ service: 'web', at: from + i * 10 * minuteMs, values: [1] }));
  // Berlin: 29 March 2026 has 23 hours, 25 October 2026 has 25.
  for (const [day, hours] of [
    [Date.UTC(2026, 2, 28, 23), 23],
    [Date.UTC(2026, 9, 24, 22), 25],
  ] as const) {
    const to = day + hours * 3_600_000;
    const daily = await ask(every(day - 3 * dayMs, to + 3 * dayMs), day - 3 * dayMs, to + 3 * dayMs, 10, 'Europe/Berlin');
    t.equal(daily.bucketMinutes, 1_440);
    const index = daily.services[0]?.time.indexOf(day / 1_000) ?? -1;
    t.ok(index > 0, 'a bucket begins at midnight in Berlin');
    t.equal(daily.services[0]?.msg_num[index], hours * 6);
    t.equal(daily.services[0]?.time[index + 1], to / 1_000);
    const six = await ask(every(day, to), day, to, 10, 'Europe/Berlin');
    t.equal(six.bucketMinutes, 180);
    t.equal(
      six.services[0]?.msg_num.reduce((a, b) => a + b),
      hours * 6,
    );
  }
});

t.test('as few points as were asked for; what was asked for and has no message is there, empty', async (t) => {
  for (const [days, points] of [
    [1, 10],
    [30, 1_000],
    [365, 300],
  ] as const) {
    const minutes = bucketMinutesOf(0, days * dayMs, points);
    t.ok((days * 1_440) / minutes <= points, `${days} days into ${points} points: ${minutes} minutes each`);
  }
  t.equal(bucketMinutesOf(0, 1_000 * minuteMs, 1_000), 1, 'minutes where they fit');
  const { services, grain } = await ask([], 0, dayMs, 100, 'UTC', ['gone']);
  t.match(services, [{ service: 'gone', time: [], cpu: { mean: [], max: [] } }]);
  t.equal(grain, 'minute');
});
