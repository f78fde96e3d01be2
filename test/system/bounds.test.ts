/** Messages that are made to be too much: nothing that they lead to passes what a message may hold, and nothing stops. */
import t, { type Test } from 'tap';
import { checkAnswer, whenCounted } from '../../scripts/hostile/check.js';
import { Expected, type Message } from '../../scripts/hostile/expected.js';
import { publishMessages } from '../../scripts/hostile/publish.js';
import { codeOf } from '../../scripts/hostile/verdict.js';
import { type System, startSystem } from './system.js';

t.setTimeout(240_000);

const now = Date.now();
const reading = (service: string, more: object = {}): string =>
  JSON.stringify({ service, timestamp: now, cpu: 1, ram: 2, disk: 3, ...more });

const sent = async (system: System, messages: readonly Message[], expected = new Expected()): Promise<Expected> => {
  for (const message of messages) expected.add(message, now);
  await whenCounted(system.bus, new Expected(), 20_000).catch(() => undefined); // the streams are there
  await publishMessages(system.bus, messages);
  await whenCounted(system.bus, expected, 20_000);
  return expected;
};

const proved = async (t: Test, system: System, expected: Expected): Promise<void> => {
  t.match(await checkAnswer(system.bus, expected, 'answer'), { differences: 0, examples: [] });
  t.match(await system.batch(), { differences: 0, records: expected.accepted });
  t.match(await checkAnswer(system.bus, expected, 'after the batch'), { differences: 0, examples: [] });
};

t.test('a segment stays below its size where names take six times their bytes', async (t) => {
  const system = await startSystem(t);
  const name = (i: number): string => String(i).padStart(4, '0') + '\u0001'.repeat(196);
  const lines = Array.from({ length: 3_000 }, (_, i) => reading(name(i % 1_000), { host: name(i), agent: name(i), n: 1 }));
  const bodies = Array.from({ length: 30 }, (_, i) => lines.slice(i * 100, i * 100 + 100).join('\n'));
  const expected = await sent(
    system,
    bodies.map((body) => ({ subject: 'metrics.controls', body: Buffer.from(body) })),
  );
  t.equal(expected.accepted, 3_000);
  await proved(t, system, expected);
});

t.test('refused lines of 30,000 made-up services stop nothing, and are all counted', async (t) => {
  const system = await startSystem(t);
  const name = (i: number): string => `made up \u0001 ${i}`;
  const messages = Array.from({ length: 60 }, (_, i) => {
    const lines = Array.from({ length: 500 }, (_, k) => reading(name(i * 500 + k), { cpu: -1 }));
    return { subject: `metrics.many-${i % 8}`, body: Buffer.from([...lines, reading('web')].join('\n')) };
  });
  const expected = await sent(system, messages);
  t.equal(expected.refused, 30_000);
  await proved(t, system, expected);
});

t.test('12,000 sources of made-up services that miss something stop nothing, and it is all counted', async (t) => {
  const system = await startSystem(t);
  const messages = Array.from({ length: 12_000 }, (_, i) => {
    const service = `s \u0001 ${i}`;
    return {
      subject: `metrics.${codeOf(service)}.h`,
      header: { agent: 'a', n: 2 + (i % 3) },
      body: Buffer.from(reading(service, { cpu: i % 2 ? 1 : -1 })),
    };
  });
  const late = messages.slice(0, 4_000).map((message) => ({ ...message, header: { agent: 'a', n: 1 } }));
  const expected = await sent(system, messages);
  t.match(await checkAnswer(system.bus, expected, 'answer'), { differences: 0, examples: [] });
  await sent(system, late, expected);
  t.match(await checkAnswer(system.bus, expected, 'some holes are filled'), { differences: 0, examples: [] });
  t.ok(expected.missing > 8_000);
  await system.stop();
  system.start(['buffer', 'windower', 'merger']);
  await whenCounted(system.bus, expected, 20_000);
  t.match(await checkAnswer(system.bus, expected, 'and after a restart'), { differences: 0, examples: [] });
});

t.test('the largest n, of several sources of one service, is taken like any other', async (t) => {
  const system = await startSystem(t);
  const n = Number.MAX_SAFE_INTEGER;
  const messages = [1, 2, 3].flatMap((i): Message[] => [
    { subject: 'metrics.web.h', body: Buffer.from(reading('web', { agent: `line ${i}`, n })) },
    {
      subject: 'metrics.web.h',
      header: { agent: `header ${i}`, n: n - 1 },
      body: Buffer.from(`${reading('web')}\n${reading('web')}\n${reading('web')}\n\n \n`),
    },
    { subject: 'metrics.web.h', body: Buffer.from(reading('web', { agent: `line ${i}`, n })) },
  ]);
  const expected = new Expected();
  for (const message of messages) expected.add(message, now);
  t.equal(expected.accepted, 12);
  await whenCounted(system.bus, new Expected(), 20_000);
  await publishMessages(system.bus, messages);
  await whenCounted(system.bus, expected, 20_000);
  const { rows, terms } = await system.rows();
  t.equal(rows[0]?.[11], 12);
  t.equal(terms.missing, n, 'as many as can be said');
  t.match(await system.batch(), { differences: 0, records: 12 });
});
