/** `tidemark demo`: fills a running system with made-up readings, history at once and then live. */
import { randomUUID } from 'node:crypto';
import type { NatsConnection } from '@nats-io/transport-node';
import { fromEvent, interval, lastValueFrom, merge, take, takeUntil, tap } from 'rxjs';
import { openSource, type Source } from '../../infra/client/source.js';
import { OutOfReachError, UsageError } from '../../infra/errors.js';
import { encodeName } from '../../protocol/name-code.js';
import type { RegisterCommand } from '../command.js';
import { isLate, type MadeUpService, madeUpLine, madeUpServices } from '../demo/made-up.js';
import { openProgress } from '../progress.js';
import { addSettings, connectionSettings } from '../settings-options.js';
import { connectSourceOf } from '../source-connection.js';

const dayMs = 86_400_000;
const historyEveryMs = 10_000;
/** Readings in a message of the history. */
const messageLines = 500;
const liveEveryMs = 100;
const patienceMs = 60_000;

interface Stream {
  readonly service: MadeUpService;
  readonly source: Source;
  late: string[];
}

const wholeNumber = (name: string, text: string, min: number, max: number): number => {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= min && value <= max)) {
    throw new UsageError(`--${name} ${text}: write a whole number from ${min} to ${max}`);
  }
  return value;
};

const openStreams = (connection: NatsConnection, services: readonly MadeUpService[]): Stream[] =>
  services.map((service) => ({
    service,
    late: [],
    source: openSource({
      connection,
      subject: `metrics.${encodeName(service.name)}.${encodeName(service.host)}`,
      agent: randomUUID(),
    }),
  }));

const sealedOf = (streams: readonly Stream[]): number => streams.reduce((sum, { source }) => sum + source.counts.sealed, 0);

/** @throws OutOfReachError when nothing is acknowledged any more */
const patiently = async (waited: Promise<unknown>, streams: readonly Stream[]): Promise<void> => {
  const done = waited.then(() => true);
  for (let sealed = sealedOf(streams); ; sealed = sealedOf(streams)) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), patienceMs);
    });
    const isDone = await Promise.race([done, late]);
    clearTimeout(timer);
    if (isDone) return;
    if (sealedOf(streams) === sealed) {
      throw new OutOfReachError(
        `nothing was acknowledged for ${patienceMs / 1000} s: does a buffer run? \`tidemark status\` says who does`,
      );
    }
  }
};

const add = async ({ source }: Stream, lines: readonly string[], streams: readonly Stream[]): Promise<void> => {
  if (!source.hasRoom) await patiently(source.room(), streams);
  source.add(lines);
};

/** Everything up to now, the oldest first, all services side by side; what is late comes behind what is newer. */
const publishHistory = async (streams: readonly Stream[], seed: number, days: number): Promise<void> => {
  const to = Math.floor(Date.now() / historyEveryMs) * historyEveryMs;
  const from = to - days * dayMs;
  const total = (days * dayMs * streams.length) / historyEveryMs;
  const progress = openProgress('history', total);
  let added = 0;
  try {
    for (let start = from; start < to; start += messageLines * historyEveryMs) {
      const end = Math.min(to, start + messageLines * historyEveryMs);
      for (const stream of streams) {
        const late = stream.late;
        stream.late = [];
        const lines: string[] = [];
        for (let at = start; at < end; at += historyEveryMs) {
          (isLate(seed, stream.service, at) ? stream.late : lines).push(madeUpLine(seed, stream.service, at));
        }
        if (end === to) lines.push(...late, ...stream.late.splice(0));
        else lines.push(...late);
        if (lines.length > 0) await add(stream, lines, streams);
        added += lines.length;
      }
      progress.show(added, `${sealedOf(streams).toLocaleString('en')} sealed`);
    }
    for (const { source } of streams) await patiently(source.drained(), streams);
    progress.show(total, `${sealedOf(streams).toLocaleString('en')} sealed`);
  } finally {
    progress.end();
  }
};

/** `rate` readings a second over all services, until somebody stops it. What there is no room for is left out. */
const publishLive = async (streams: readonly Stream[], seed: number, rate: number): Promise<void> => {
  const startedAtMs = Date.now();
  let published = 0;
  const stopped = merge(fromEvent(process, 'SIGINT'), fromEvent(process, 'SIGTERM')).pipe(take(1));
  process.stderr.write(`live: ${rate} readings a second, until Ctrl-C\n`);
  await lastValueFrom(
    interval(liveEveryMs).pipe(
      takeUntil(stopped),
      tap(() => {
        const now = Date.now();
        const due = Math.floor(((now - startedAtMs) / 1000) * rate);
        const lines = new Map<Stream, string[]>();
        for (; published < due; published++) {
          const stream = streams[published % streams.length] as Stream;
          const own = lines.get(stream) ?? [];
          // Several of one service in one tick are spread over it.
          own.push(madeUpLine(seed, stream.service, now - (published % liveEveryMs)));
          lines.set(stream, own);
        }
        for (const [stream, own] of lines) if (stream.source.hasRoom) stream.source.add(own);
      }),
    ),
    { defaultValue: 0 },
  );
};

export const register: RegisterCommand = (program) => {
  const command = program
    .command('demo')
    .description('publishes made-up readings to a running system: history at once, then live')
    .option('--services <N>', 'how many services', '4')
    .option('--days <N>', `days of history, a reading each ${historyEveryMs / 1000} s; 0: none`, '7')
    .option('--rate <N>', 'after that, so many readings a second until Ctrl-C')
    .option('--seed <N>', 'another number makes other readings', '1')
    .option('--json', 'how many were sealed, as JSON');
  addSettings(command, connectionSettings)
    .addHelpText(
      'after',
      '\nExample:\n  $ tidemark demo --services 4 --days 7 --rate 40\n\n' +
        'Each run is a new source: run twice, it adds its readings twice.',
    )
    .action(async (options: { services: string; days: string; rate?: string; seed: string; json?: boolean }) => {
      const services = madeUpServices(wholeNumber('services', options.services, 1, 10_000));
      const days = wholeNumber('days', options.days, 0, 3650);
      const seed = wholeNumber('seed', options.seed, 0, 2 ** 32 - 1);
      const rate = options.rate === undefined ? 0 : wholeNumber('rate', options.rate, 1, 1_000_000);
      const connection = await connectSourceOf(command);
      try {
        const streams = openStreams(connection, services);
        if (days > 0) await publishHistory(streams, seed, days);
        if (rate > 0) await publishLive(streams, seed, rate);
        for (const { source } of streams) await patiently(source.drained(), streams);
        const sealed = sealedOf(streams);
        process.stdout.write(
          options.json === true
            ? `${JSON.stringify({ sealed, services: services.map(({ name }) => name) })}\n`
            : `${sealed.toLocaleString('en')} readings of ${services.length} services are sealed: ${services
                .slice(0, 8)
                .map(({ name }) => name)
                .join(', ')}\n`,
        );
      } finally {
        await connection.close();
      }
    });
};
