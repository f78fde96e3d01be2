/** The lines of `npm run bench -- --hdfs`: the same system with its files in a real HDFS and its leases in a real ZooKeeper. */
import { againstLimit, type Figure } from './figures.js';
import { benchHdfsBatch } from './hdfs-batch.js';
import { type BenchStack, startBenchStack } from './hdfs-stack.js';
import { benchUploads } from './hdfs-uploads.js';
import type { RunLine } from './lines.js';

const messagesPerSecond = 20_000;

const onStack =
  (run: (options: Parameters<RunLine>[0], stack: BenchStack) => Promise<Figure[]>): RunLine =>
  async (options) => {
    const stack = await startBenchStack(options.tell);
    try {
      return await run(options, stack);
    } finally {
      await stack.stop();
    }
  };

const uploads = onStack(async ({ seconds = 600, tell }, stack) => {
  const flags = ['--storage', stack.storage(), '--coordinator', stack.coordinator()];
  tell(`${messagesPerSecond} messages a second for ${seconds} s, on HDFS`);
  const hdfs = await benchUploads(seconds, messagesPerSecond, flags);
  const localSeconds = Math.min(seconds, 120);
  tell(`the same for ${localSeconds} s, on the local folder`);
  const local = await benchUploads(localSeconds, messagesPerSecond, []);
  const rounded = (value: number): number => Math.round(value * 10) / 10;
  return [
    againstLimit({
      line: 'hdfs-uploads',
      what: `messages/s while uploads go to 3 replicas, ${seconds} s`,
      measured: hdfs.readingsPerSecond,
      unit: 'messages/s',
      is: 'least',
      required: messagesPerSecond * 0.98,
      goal: messagesPerSecond * 0.99,
      more: { 'drained ms': hdfs.drainedMs, readings: hdfs.readings, 'local, messages/s': local.readingsPerSecond },
    }),
    {
      line: 'hdfs-uploads',
      what: 'how far uploads are behind, last third of the time',
      measured: hdfs.growth,
      unit: 'times',
      against: 'the first third',
      againstMeasured: 1,
      is: 'most',
      required: 1.2,
      goal: 1,
      more: { 'behind p50 s': rounded(hdfs.behindSeconds.p50), 'max s': rounded(hdfs.behindSeconds.max) },
    },
    {
      line: 'hdfs-uploads',
      what: 'PSS of the actors meanwhile',
      measured: hdfs.pssMiBMax,
      unit: 'MiB',
      against: `on the local folder, ${local.pssMiBMax} MiB`,
      againstMeasured: local.pssMiBMax,
      is: 'most',
      required: 1.15,
      goal: 1,
      more: {},
    },
  ];
});

const batch = onStack(async ({ records, tell }, stack) => {
  const { local, hdfs } = await benchHdfsBatch(records, stack.storage(), tell);
  return [
    {
      line: 'hdfs-batch',
      what: `batch view from ${records.toLocaleString('en-US')} raw records in HDFS`,
      measured: hdfs.seconds,
      unit: 's',
      against: `from the local folder, ${local.seconds.toFixed(1)} s`,
      againstMeasured: local.seconds,
      is: 'most',
      required: 2,
      goal: 1.3,
      more: { 's CPU': hdfs.cpuSeconds, 'local s CPU': local.cpuSeconds, 'RSS MiB': hdfs.rssMiBMax, 'local RSS MiB': local.rssMiBMax },
    },
  ];
});

export const hdfsLines: ReadonlyMap<string, RunLine> = new Map([
  ['hdfs-uploads', uploads],
  ['hdfs-batch', batch],
]);
