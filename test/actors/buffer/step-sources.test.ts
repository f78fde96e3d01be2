import t from 'tap';
import { buffer } from '../../../actors/buffer.js';
import { hasNumber, type Range } from '../../../protocol/range.js';
import { envOf, feed, type Given, line, messagesOf, newState, tick } from './steps.js';

t.test('B2: a copy of a sealed reading is acknowledged again and never counts', (t) => {
  const first = { lines: `${line()}\n${line()}`, headers: { 'Tidemark-Agent': 'a', 'Tidemark-N': 1 } };
  const state = newState();
  const before = feed([messagesOf([first]), tick('seal')], { state });
  t.same(
    before.told.map(({ body }) => body.sealed),
    [[[1, 3]]],
  );
  const outputs = buffer.step(state, messagesOf([first], 2), envOf())[1];
  t.same(
    outputs.map((output) => output.do),
    ['tell'],
    'at once, without a segment',
  );
  t.match(JSON.parse((outputs[0] as { body: string }).body), {
    subject: 'metrics.web.h1',
    agent: 'a',
    sealed: [[1, 3]],
    offset: 2,
    refused: [],
  });
  const unsealed = feed([messagesOf([first, first])]);
  t.same(unsealed.outputs, [], 'B1: a copy of what is not sealed yet waits for its seal');
  t.end();
});

t.test('B3: two subjects under one agent id are two sources', (t) => {
  const headers = { 'Tidemark-Agent': 'a', 'Tidemark-N': 1 };
  const { told, records } = feed([
    messagesOf([
      { lines: line(), headers },
      { lines: line({ host: 'h2' }), subject: 'web.h2', headers },
    ]),
    tick('seal'),
  ]);
  t.same(
    told.map(({ body }) => [body.subject, body.agent]),
    [
      ['metrics.web.h1', 'a'],
      ['metrics.web.h2', 'a'],
    ],
  );
  t.equal(records.length, 2);
  t.end();
});

t.test('B6: a reading that would open a 65th range is neither taken nor acknowledged, until there is room', (t) => {
  const single = (n: number, more: Record<string, number> = {}): Given => ({
    lines: line(),
    headers: { 'Tidemark-Agent': 'a', 'Tidemark-N': n, ...more },
  });
  const state = newState();
  const spread = feed([messagesOf(Array.from({ length: 66 }, (_, i) => single(i * 2 + 1))), tick('seal')], { state });
  t.equal(spread.records.length, 64);
  t.equal(state.counts.notTaken, 2);
  t.equal(spread.told.at(-1)?.body.sealed.length, 64);
  const outputs = [messagesOf([single(131), single(2), single(129)], 67), tick('seal')].flatMap(
    (input) => buffer.step(state, input, envOf())[1],
  );
  const ack = outputs.findLast((output) => output.do === 'tell');
  const { sealed } = JSON.parse((ack as { body: string }).body) as { sealed: Range[] };
  t.ok(hasNumber(sealed, 129) && hasNumber(sealed, 2), '2 filled a hole, so there was room for 129');
  t.notOk(hasNumber(sealed, 131), '131 came when there was none');
  t.end();
});

t.test('B6: what lies below Tidemark-Oldest is closed, and a copy that still arrives is dropped', (t) => {
  const given = (n: number, oldest?: number): Given => ({
    lines: line(),
    headers: { 'Tidemark-Agent': 'a', 'Tidemark-N': n, ...(oldest === undefined ? {} : { 'Tidemark-Oldest': oldest }) },
  });
  const { records, segments, told } = feed([
    messagesOf([given(1), given(10)]),
    tick('seal'),
    messagesOf([given(11, 8)], 3),
    tick('seal'),
    messagesOf([given(5)], 4),
    tick('seal'),
  ]);
  t.same(
    records.map(({ n }) => n),
    [1, 10, 11],
  );
  t.same(
    segments.map(({ head }) => head.missing),
    [{ web: 8 }, { web: 2 }],
  );
  t.same(told.at(-1)?.body.sealed, [
    [1, 8],
    [10, 12],
  ]);
  t.end();
});

t.test("B6: Tidemark-Oldest speaks for the headers' agent alone, not for those whose lines it passes on", (t) => {
  const { segments } = feed([
    messagesOf([
      {
        subject: 'gateway',
        lines: line({ agent: 'passed on', n: 50 }),
        headers: { 'Tidemark-Agent': 'gateway', 'Tidemark-N': 40, 'Tidemark-Oldest': 40 },
      },
    ]),
    tick('seal'),
  ]);
  t.same(
    segments[0]?.head.taken.map(({ agent, ranges }) => [agent, ranges]),
    [
      ['gateway', [[1, 41]]],
      ['passed on', [[50, 51]]],
    ],
  );
  t.same(segments[0]?.head.missing, { '': 49 });
  const alone = feed([messagesOf([{ lines: line({ agent: 'a', n: 50 }), headers: { 'Tidemark-Oldest': 40 } }]), tick('seal')]);
  t.same(alone.segments[0]?.head.taken, [
    {
      subject: 'metrics.web.h1',
      agent: 'a',
      ranges: [
        [1, 40],
        [50, 51],
      ],
    },
  ]);
  t.end();
});

t.test("B8: an empty line's n is taken, a final line break makes no line", (t) => {
  const { records, segments } = feed([
    messagesOf([{ lines: `${line()}\n \t\n\r\n${line()}\r\n`, headers: { 'Tidemark-Agent': 'a', 'Tidemark-N': 5 } }]),
    tick('seal'),
  ]);
  t.same(
    records.map(({ n }) => n),
    [5, 8],
  );
  t.same(
    segments[0]?.head.taken.map(({ ranges }) => ranges),
    [[[5, 9]]],
  );
  t.same(segments[0]?.head.refused, {});
  t.same(feed([messagesOf([{ lines: '\n\n' }]), tick('seal')]).segments, [], 'without an identity empty lines are nothing');
  t.end();
});
