/**
 * Crash points: at each of its durable steps every actor kills itself, before it and after it, and a fresh instance goes on.
 * Six processes die side by side under load, each at a point of its own; in the end everything acknowledged is counted, to the bit.
 * With --all every point there is, without it some of each actor.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { buffer } from '../../actors/buffer.js';
import { merger } from '../../actors/merger.js';
import { scheduler } from '../../actors/scheduler.js';
import { uploader } from '../../actors/uploader.js';
import { windower } from '../../actors/windower.js';
import { connectSource } from '../../infra/client/connect.js';
import { queryExact } from '../../infra/client/query.js';
import { openSource } from '../../infra/client/source.js';
import { packageFolder } from '../../infra/package-folder.js';
import { askBatch } from '../../scripts/ask-batch.js';
import { startUnderLoad, type UnderLoad } from './under-load.js';

const isAll = process.argv.includes('--all');
t.setTimeout(isAll ? 1_800_000 : 280_000);

/** A step, and the how manieth time of it: some come only now and then, some many times a second. */
interface Point {
  readonly step: string;
  readonly time?: number;
  /** Also without --all: before it, after it. */
  readonly always?: 'before' | 'after';
}

interface Group {
  readonly actors: readonly string[];
  readonly points: readonly Point[];
  /** Inside of a step: no before and after. */
  readonly within?: readonly string[];
}

const groups: readonly Group[] = [
  {
    actors: ['buffer'],
    points: [
      { step: 'buffer.segment.sealed', time: 5, always: 'after' },
      { step: 'buffer.reading.rejected', time: 2 },
      { step: 'buffer.store the table of sources', time: 2 },
      { step: 'buffer.table.stored', time: 2, always: 'before' },
      { step: 'buffer.remove older snapshots', time: 2 },
      { step: 'buffer.purge METRICS', time: 2 },
      { step: 'buffer.purge SEGMENTS', time: 2 },
    ],
  },
  {
    actors: ['uploader'],
    points: [
      { step: 'uploader.append to raw files', time: 3, always: 'after' },
      { step: 'uploader.raw.stored', time: 3, always: 'after' },
    ],
    within: ['storage.append.written:3', 'storage.named:2'],
  },
  {
    actors: ['windower'],
    points: [
      { step: 'windower.realtime.updated', time: 5 },
      { step: 'windower.store a part', always: 'before' },
      { step: 'windower.part.stored', always: 'after' },
      { step: 'windower.purge REALTIME' },
    ],
    within: ['storage.named'],
  },
  {
    actors: ['scheduler'],
    points: [
      { step: 'scheduler.answer batch.asked' },
      { step: 'scheduler.batch.requested' },
      { step: 'scheduler.range.assigned', always: 'before' },
      { step: 'scheduler.batch.abandoned' },
      { step: 'scheduler.services.assigned' },
      { step: 'scheduler.write the manifest' },
      { step: 'scheduler.batch.ready', always: 'after' },
      { step: 'scheduler.look where the segments end' },
      { step: 'scheduler.sweep' },
      { step: 'scheduler.clean up' },
    ],
    within: ['storage.named'],
  },
  {
    actors: ['mapper', 'reducer'],
    points: [
      { step: 'mapper.range.assigned' },
      { step: 'mapper.range.mapped', always: 'before' },
      { step: 'reducer.services.assigned' },
      { step: 'reducer.services.reduced', always: 'after' },
    ],
    within: ['storage.named'],
  },
  {
    actors: ['merger'],
    points: [
      { step: 'merger.follow', time: 20 },
      { step: 'merger.follow BATCH' },
      { step: 'merger.add a stored part' },
      { step: 'merger.publish changed rows', time: 3 },
      { step: 'merger.answer view.asked', time: 3, always: 'before' },
      { step: 'merger.view.proved', always: 'after' },
      { step: 'merger.copy the manifest to latest.json' },
    ],
  },
];

/** Only where nothing but refused readings comes: after the load. */
const quiet: Group = {
  actors: ['windower'],
  points: [{ step: 'windower.place.stored' }, { step: 'windower.purge STORED of older places' }],
};

/** No points of their own, or none that could be reached, with the reason. */
const without: Readonly<Record<string, string>> = {
  'buffer.warn of a source that starts again': 'only logs',
  'scheduler.log': 'only logs',
  'scheduler.take on a proved batch': 'ends the life by itself',
  'buffer.look why SEGMENTS does not go on': 'ends the life by itself',
  'buffer.reading.sealed': 'told, not published: nothing is durable',
  'scheduler.part.asked': 'told, not published: nothing is durable',
  'merger.view.updated': 'published within "publish changed rows"',
};

/** Before and after only where there is something between: a worker's task has no end of its own. */
const hasAfter = (step: string): boolean => !/^(mapper\.range\.assigned|reducer\.services\.assigned)$/.test(step);

const pointsOf = ({ points, within = [] }: Group): string[] => [
  ...points.flatMap(({ step, time = 1, always }) =>
    (['before', 'after'] as const)
      .filter((side) => (isAll ? side === 'before' || hasAfter(step) : side === always))
      .map((side) => `${step}.${side}:${time}`),
  ),
  ...(isAll ? within : []),
];

/** A process that dies at each of its points, and is started again for the next one. */
const dieAtEach = async (system: UnderLoad, group: Group, t: Test): Promise<void> => {
  for (const point of pointsOf(group)) {
    const child = await system.start(`${group.actors.join('+')} until ${point}`, group.actors, { TIDEMARK_CRASH_AT: point });
    const startedAt = performance.now();
    while (child.isRunning && performance.now() - startedAt < 90_000) await sleep(20);
    t.notOk(child.isRunning, `${point} after ${Math.round(performance.now() - startedAt)} ms`);
    await child.kill(); // where it did not get there: the others go on
  }
};

const countDeaths = (logFile: string): number => readFileSync(logFile, 'utf8').match(/^\{"crashPoint":/gm)?.length ?? 0;

/** Until it is stopped: batches are asked for, and the view. What fails meanwhile is asked again. */
const keepAsking = (system: UnderLoad): (() => Promise<void>) => {
  let isAsking = true;
  const again = async (ask: () => Promise<unknown>): Promise<void> => {
    while (isAsking) {
      await ask().catch(() => undefined);
      await sleep(100);
    }
  };
  const asking = [
    again(() => askBatch(system.bus, 'batch', 5_000)),
    again(() => queryExact(system.bus, { from: 0, to: 4_102_444_800_000, step: 'range', waitMs: 1_000 })),
  ];
  return async () => {
    isAsking = false;
    await Promise.all(asking);
  };
};

/** Lines that are refused, until it is stopped: segments without a record. */
const keepRefused = async ({ nats }: UnderLoad): Promise<() => Promise<void>> => {
  const connection = await connectSource({ nats: nats.url }, 'test');
  const source = openSource({ connection, subject: 'metrics.web.h1', agent: 'refused-only' });
  const timer = setInterval(() => source.hasRoom && source.add(['{"service":']), 100);
  return async () => {
    clearInterval(timer);
    await source.drained();
    source.close();
    await connection.close();
  };
};

t.test(`killed before and after ${isAll ? 'every' : 'some of the'} durable steps of every actor, all goes on, exactly`, async (t) => {
  const system = await startUnderLoad(t, { seed: 41 });
  // Who has died at all of its points goes on as another would: the others' points need what it does.
  const dying = groups.map(async (group) => {
    await dieAtEach(system, group, t);
    return { actors: group.actors, child: await system.start(group.actors.join('+'), group.actors) };
  });
  while (!(await system.bus.logs()).some(({ name }) => name === 'VIEWS')) await sleep(20);
  await system.load.start(system.nats.url);
  const stopAsking = keepAsking(system);
  const fresh = await Promise.all(dying);
  if (isAll) {
    await system.load.drain();
    for (const { actors, child } of fresh) if (actors.includes('windower')) await child.kill();
    const stopRefused = await keepRefused(system);
    await dieAtEach(system, quiet, t);
    await system.start('windower', ['windower']);
    await stopRefused();
  }
  await stopAsking();
  const wanted = [...groups, ...(isAll ? [quiet] : [])].flatMap(pointsOf).length;
  t.equal(countDeaths(system.logFile), wanted, `${wanted} processes killed themselves`);
  await system.isExact(t);
  t.comment({ points: wanted, readings: system.load.accepted.length, copies: system.load.counts.copies });
});

t.test('every step of every actor has its crash points here, or a reason why not', (t) => {
  const folder = path.join(packageFolder, 'actors');
  const works = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const text = readFileSync(path.join(folder, name), 'utf8');
      return [...text.matchAll(/\bwhat: '([^']+)'/g)].map(([, what]) => `${name.split(/[./]/)[0]}.${what}`);
    });
  const publishes = [buffer, uploader, windower, scheduler, merger].flatMap(({ name, produces }) =>
    produces.map((one) => `${name}.${one}`),
  );
  const known = new Set([...groups, quiet].flatMap(({ points }) => points.map(({ step }) => step)).concat(Object.keys(without)));
  const steps = [...new Set([...works, ...publishes])];
  t.same(
    steps.filter((step) => !known.has(step)),
    [],
  );
  t.ok(steps.length > 25, `${steps.length} steps are seen`);
  t.end();
});
