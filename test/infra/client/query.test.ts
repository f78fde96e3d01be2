import t, { type Test } from 'tap';
import type { PlainMessage } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { connect, query } from '../../../infra/client/index.js';
import type { ViewAsked } from '../../../protocol/messages/view.js';
import { startNats } from '../../servers.js';
import { blocksOf, oneRow } from './stand-in.js';

const terms = { batch: null, cut: [0], position: [7], newest: null, missing: 0, refused: 0, late: 0 };

/** A stand-in for the merger. */
const answerer = async (t: Test, answer: (asked: ViewAsked, message: PlainMessage) => void): Promise<string> => {
  const { url } = await startNats(t);
  const bus = await openBus({ nats: url }, 'a stand-in');
  bus.hear('view.asked', (message) => answer(JSON.parse(Buffer.from(message.body).toString('utf8')) as ViewAsked, message));
  await bus.flush();
  t.teardown(() => bus.close());
  return url;
};

t.test('an answer is put together from its chunks; the question says what was asked', async (t) => {
  let heard: ViewAsked | undefined;
  const nats = await answerer(t, (asked, message) => {
    heard = asked;
    for (let i = 0; i < 3; i++) {
      message.respond(blocksOf([oneRow(`s${i}`), oneRow(`t${i}`)], terms), { 'Tidemark-Chunk': `${i + 1}/3` });
    }
  });
  const asked = {
    from: 'now-1h',
    to: 'now',
    services: ['web'],
    step: 'hour' as const,
    zone: 'Europe/Berlin',
    after: [3],
    waitMs: 700,
  };
  const answer = await query({ nats, ...asked });
  t.same(
    answer.rows.map(({ service }) => service),
    ['s0', 't0', 's1', 't1', 's2', 't2'],
  );
  t.same(answer.terms, terms);
  t.same(heard, { ...asked, shape: 'blocks', progress: true });
});

t.test('a chunk that does not come fails the answer: none is given that is not whole', async (t) => {
  const nats = await answerer(t, (asked, message) => {
    const missing = asked.from === 1 ? 1 : 2;
    for (let i = 0; i < 3; i++) if (i !== missing) message.respond(blocksOf([], terms), { 'Tidemark-Chunk': `${i + 1}/3` });
  });
  const client = await connect({ nats });
  t.teardown(() => client.close());
  await t.rejects(client.query({ from: 1, to: 9 }), { code: 'E_OUT_OF_REACH', message: /chunk 2/ }, 'one in the middle');
  await t.rejects(client.query({ from: 2, to: 9 }), { code: 'E_OUT_OF_REACH', message: /chunk 3/ }, 'the last one, after 5 s');
});

t.test('while the answer is made it waits for as long as that is said, and no longer', async (t) => {
  const nats = await answerer(t, (asked, message) => {
    const saying = setInterval(() => message.respond('', { 'Tidemark-Working': '1' }), 1_500);
    setTimeout(
      () => {
        clearInterval(saying);
        if (asked.from === 1) message.respond(blocksOf([oneRow('s')], terms), { 'Tidemark-Chunk': '1/1' });
      },
      asked.from === 1 ? 6_500 : 1_600,
    );
  });
  const client = await connect({ nats });
  t.teardown(() => client.close());
  const waits = { to: 9, waitMs: 0 }; // a word within 5 s
  const [answer] = await Promise.all([
    client.query({ from: 1, ...waits }),
    t.rejects(client.query({ from: 2, ...waits }), { code: 'E_OUT_OF_REACH' }),
  ]);
  t.equal(answer.rows.length, 1);
});

t.test('a refusal is the error that it names', async (t) => {
  const nats = await answerer(t, (asked, message) =>
    message.respond(JSON.stringify({ error: `no zone ${asked.zone}`, code: asked.from === 1 ? 'E_USAGE' : 'E_OUT_OF_REACH' })),
  );
  await t.rejects(query({ nats, from: 1, to: 9, zone: 'Mars' }), { code: 'E_USAGE', message: 'no zone Mars' });
  await t.rejects(query({ nats, from: 2, to: 9, zone: 'Mars' }), { code: 'E_OUT_OF_REACH' });
});

t.test('nobody there is said at once', async (t) => {
  const { url } = await startNats(t);
  await t.rejects(query({ nats: url, from: 1, to: 9 }), { code: 'E_OUT_OF_REACH' });
  await t.rejects(query({ nats: 'nats://127.0.0.1:1', from: 1, to: 9 }), { code: 'E_OUT_OF_REACH' });
});
