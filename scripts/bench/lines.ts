/** The lines of `npm run bench`: what each runs, and the figures that come of it with what is required of them (decision in the README). */
import { type BatchResult, benchBatch } from './batch.js';
import { againstLimit, type Figure } from './figures.js';
import { benchFreshness } from './freshness.js';
import { benchGrowth } from './growth.js';
import { benchIngest } from './ingest.js';
import { benchMemory } from './memory.js';
import { benchQuery } from './query.js';
import { type AnswerTimes, benchViews } from './views.js';

export interface BenchOptions {
  /** How long the lines that publish do so. */
  readonly seconds: number | undefined;
  /** Raw records of the lines that need many. */
  readonly records: number;
  readonly tell: (line: string) => void;
}

export type RunLine = (options: BenchOptions) => Promise<Figure[]>;

const ingest =
  (line: string, linesPerMessage: number, required: number, goal: number): RunLine =>
  async ({ seconds = 60 }) => {
    const { readingsPerSecond, lagMs, cpuPercent, pssMiBMax, copies } = await benchIngest(linesPerMessage, seconds);
    return [
      againstLimit({
        line,
        what: `durable ingest, ${linesPerMessage} line${linesPerMessage === 1 ? '' : 's'} a message, ${seconds} s`,
        measured: readingsPerSecond,
        unit: 'readings/s',
        is: 'least',
        required,
        goal,
        more: {
          'lag sealed ms': lagMs.sealed,
          'in view ms': lagMs.viewed,
          'uploaded ms': lagMs.uploaded,
          'PSS MiB': pssMiBMax,
          copies,
          ...Object.fromEntries(Object.entries(cpuPercent).map(([name, percent]) => [`cpu % ${name}`, percent])),
        },
      }),
    ];
  };

const freshness: RunLine = async ({ seconds = 30 }) => {
  const { p50Ms, p99Ms, maxMs, probes, messagesPerSecond } = await benchFreshness(seconds, 5_000);
  const common = { line: 'freshness', unit: 'ms', is: 'most' } as const;
  return [
    againstLimit({
      ...common,
      what: 'publish to view.updated, p50',
      measured: p50Ms,
      required: 120,
      goal: 60,
      more: { 'messages/s': messagesPerSecond, probes },
    }),
    againstLimit({
      ...common,
      what: 'publish to view.updated, p99',
      measured: p99Ms,
      required: 300,
      goal: 120,
      more: { 'max ms': maxMs },
    }),
  ];
};

const batchFigure = (records: number, { batch, bare }: BatchResult): Figure => ({
  line: 'batch',
  what: `batch view from ${records.toLocaleString('en-US')} raw records`,
  measured: batch.cpuSeconds,
  unit: 's CPU',
  against: `DuckDB barely, ${bare.cpuSeconds.toFixed(2)} s CPU`,
  againstMeasured: bare.cpuSeconds,
  is: 'most',
  required: 1.5,
  goal: 1.1,
  more: {
    'map s CPU': batch.mapCpuSeconds,
    'wall s': batch.seconds,
    'bare wall s': bare.seconds,
    rows: batch.rows,
    'RSS MiB': batch.rssMiBMax,
  },
});

const batch: RunLine = async ({ records, tell }) => [batchFigure(records, await benchBatch(records, { next: false, tell }))];

const nextBatch: RunLine = async ({ records, tell }) => {
  const result = await benchBatch(records, { tell });
  const first = result.batch;
  const figures = [
    ['after the week', result.next],
    ['late, all over the week', result.late],
  ] as const;
  return figures.flatMap(([where, report]) =>
    report === undefined
      ? []
      : [
          {
            line: 'next-batch',
            what: `1 % more, ${where}`,
            measured: report.cpuSeconds,
            unit: 's CPU',
            against: `the batch from zero, ${first.cpuSeconds.toFixed(2)} s CPU`,
            againstMeasured: first.cpuSeconds,
            is: 'most' as const,
            required: 0.15,
            goal: 0.06,
            more: {
              'map s CPU': report.mapCpuSeconds,
              'wall s': report.seconds,
              rows: report.rows,
              'batch from zero / DuckDB barely': first.cpuSeconds / result.bare.cpuSeconds,
            },
          },
        ],
  );
};

const queryLimits = [
  [200, 80],
  [40, 15],
  [150, 50],
] as const;

const query: RunLine = async () =>
  (await benchQuery(100)).map(({ name, rows, first, p50, p99, cpuAsking, cpuMerger }, i): Figure => {
    const [required, goal] = queryLimits[i] as (typeof queryLimits)[number];
    return againstLimit({
      line: 'query',
      what: `${name}, p99 of 100`,
      measured: p99,
      unit: 'ms',
      is: 'most',
      required,
      goal,
      more: { 'p50 ms': p50, 'first ms': first, 'CPU ms asking': cpuAsking, 'CPU ms merger': cpuMerger, rows },
    });
  });

const memory: RunLine = async ({ seconds = 60 }) => {
  const { first, later } = await benchMemory(seconds, 20_000);
  const peak = first.pssMB > later.pssMB ? first : later;
  return [
    againstLimit({
      line: 'memory',
      what: 'PSS of all processes at 20,000 messages/s, peak over batches',
      measured: peak.pssMB,
      unit: 'MB',
      is: 'most',
      required: 400,
      goal: 250,
      more: { 'RSS MB': peak.rssMB, readings: peak.readings, of: peak.processes },
    }),
    {
      line: 'memory',
      what: 'the same after ten times as many messages',
      measured: later.pssMB,
      unit: 'MB',
      against: `before, ${first.pssMB} MB`,
      againstMeasured: first.pssMB,
      is: 'most',
      required: 1.05,
      goal: 1,
      more: { 'RSS MB': later.rssMB, readings: later.readings, of: later.processes },
    },
  ];
};

const growth: RunLine = async ({ records, seconds = 20 }) => {
  const { few, many } = await benchGrowth(records, seconds);
  return [
    {
      line: 'growth',
      what: `CPU per message with ${many.kept.toLocaleString('en-US')} records kept`,
      measured: many.tidemark,
      unit: 'µs',
      against: `with ${few.kept.toLocaleString('en-US')}, ${few.tidemark.toFixed(1)} µs`,
      againstMeasured: few.tidemark,
      is: 'most',
      required: 1.1,
      goal: 1,
      more: { 'nats µs before': few.nats, 'nats µs': many.nats },
    },
  ];
};

const viewsFigure = (what: string, times: AnswerTimes, required: number, goal: number, more: Figure['more'] = {}): Figure =>
  againstLimit({
    line: 'views',
    what: `${what}, p99`,
    measured: times.p99,
    unit: 'ms',
    is: 'most',
    required,
    goal,
    more: {
      'p50 ms': times.p50,
      'max ms': times.max,
      'answers/s': times.perSecond,
      'KiB each': times.bytes / 1024,
      ...Object.fromEntries(Object.entries(times.cpuPercent).map(([name, percent]) => [`cpu % ${name}`, percent])),
      ...more,
    },
  });

const views: RunLine = async ({ seconds = 20, tell }) => {
  const { hours, sameHours, minutes, messagesPerSecond } = await benchViews(seconds, 10_000, tell);
  const day = '/views, a day of 20 services';
  return [
    viewsFigure(`${day} by hour, 50 connections, each question another day`, hours, 100, 50, { 'messages/s': messagesPerSecond }),
    viewsFigure(`${day} by hour, 50 connections, the same day`, sameHours, 100, 50),
    viewsFigure(`${day} by minute, 5 a second, each another day`, minutes, 250, 120),
  ];
};

export const lines: ReadonlyMap<string, RunLine> = new Map([
  ['ingest', ingest('ingest', 1, 35_000, 60_000)],
  ['ingest-100', ingest('ingest-100', 100, 100_000, 200_000)],
  ['freshness', freshness],
  ['batch', batch],
  ['next-batch', nextBatch],
  ['query', query],
  ['views', views],
  ['memory', memory],
  ['growth', growth],
]);
