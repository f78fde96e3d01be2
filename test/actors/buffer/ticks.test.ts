import { Subject, VirtualTimeScheduler } from 'rxjs';
import t from 'tap';
import { bufferTicks, sealTicks } from '../../../actors/buffer/ticks.js';

type At = readonly [ms: number, opening: number | undefined];

/** The ticks, with their virtual time, when the openings are seen at these times. */
const run = (
  openings: readonly At[],
  ticksOf: (opening: Subject<number | undefined>, clock: VirtualTimeScheduler) => ReturnType<typeof bufferTicks>,
  untilMs: number,
) => {
  const clock = new VirtualTimeScheduler(undefined, untilMs);
  const opening = new Subject<number | undefined>();
  const seen: [number, string][] = [];
  ticksOf(opening, clock).subscribe((tick) => seen.push([clock.now(), tick]));
  for (const [ms, value] of openings) clock.schedule(() => opening.next(value), ms);
  clock.flush();
  return seen;
};

const seals = (openings: readonly At[]): number[] =>
  run(openings, (opening, clock) => sealTicks(opening, 100, clock), 10_000).map(([ms]) => ms);

t.test('a buffer is sealed 100 ms after its first content', (t) => {
  t.same(
    seals([
      [0, undefined],
      [10, 0],
    ]),
    [110],
  );
  t.same(
    seals([
      [10, 0],
      [50, 0],
      [109, 0],
    ]),
    [110],
    'what comes later does not put it off',
  );
  t.same(
    seals([
      [10, 0],
      [60, undefined],
      [80, 1],
    ]),
    [180],
    'it was sealed by count: the next one has 100 ms of its own',
  );
  t.same(
    seals([
      [10, 0],
      [60, 1],
    ]),
    [160],
    'full and begun again in one step',
  );
  t.same(
    seals([
      [10, 0],
      [111, undefined],
      [150, 1],
      [251, undefined],
    ]),
    [110, 250],
  );
  t.end();
});

t.test('an empty buffer is never sealed by time', (t) => {
  t.same(
    seals([
      [0, undefined],
      [500, undefined],
      [3_000, undefined],
    ]),
    [],
  );
  t.same(
    seals([
      [0, 0],
      [99, undefined],
    ]),
    [],
    'it was sealed a moment before',
  );
  t.end();
});

t.test('B9: the position is looked at once a second, snapshot and purge as the settings say', (t) => {
  const all = run(
    [],
    (opening, clock) => bufferTicks(opening, { sealAfterMs: 100, snapshotEveryMs: 60_000, purgeEveryMs: 5_000 }, clock),
    120_000,
  );
  const times = (tick: string): number[] => all.filter(([, name]) => name === tick).map(([ms]) => ms);
  t.same(
    times('position'),
    Array.from({ length: 120 }, (_, i) => (i + 1) * 1_000),
  );
  t.same(times('snapshot'), [60_000, 120_000]);
  t.same(
    times('purge'),
    Array.from({ length: 24 }, (_, i) => (i + 1) * 5_000),
  );
  t.same(times('seal'), []);
  t.end();
});
