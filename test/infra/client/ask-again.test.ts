/** A question that is lost with whoever had it in hand is asked again; one answer is read, from its first word to its last. */
import t, { type Test } from 'tap';
import type { Bus, PlainMessage } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { askAgain } from '../../../infra/client/ask-again.js';
import { startNats } from '../../servers.js';

const nats = await startNats(t);

const open = async (t: Test): Promise<Bus> => {
  const bus = await openBus({ nats: nats.url }, 'test');
  t.teardown(() => bus.close());
  return bus;
};

/** An instance that does what the test says with the questions that it gets. */
const instance = async (t: Test, subject: string, heard: (message: PlainMessage, number: number) => void): Promise<Bus> => {
  const bus = await open(t);
  let number = 0;
  bus.hear(subject, (message) => heard(message, ++number), { queue: 'instances' });
  await bus.flush();
  return bus;
};

const textOf = (message: PlainMessage): string => Buffer.from(message.body).toString();

t.test('a question that was lost with an instance is answered by another', async (t) => {
  const bus = await open(t);
  const killed = await instance(t, 'lost', () => void killed.close());
  const asked = askAgain(bus, 'lost', 'who?', { timeoutMs: 60_000 });
  const first = asked.next();
  await killed.closed;
  await instance(t, 'lost', (message) => message.respond(`I, to ${textOf(message)}`));
  const { value } = await first;
  t.equal(value && textOf(value), 'I, to who?');
  await asked.return(undefined);
});

t.test('an instance that was stopped and answers after all is not read, and one answer is read to its end', async (t) => {
  const bus = await open(t);
  const late: PlainMessage[] = [];
  await instance(t, 'slow', (message, number) => {
    if (number === 1) {
      late.push(message);
      return;
    }
    for (const part of ['a', 'b', 'c']) message.respond(`${number}${part}`);
  });
  const read: string[] = [];
  for await (const message of askAgain(bus, 'slow', '', { timeoutMs: 60_000 })) {
    late.shift()?.respond('1a');
    read.push(textOf(message));
    if (read.length === 3) break;
  }
  t.same(read, ['2a', '2b', '2c']);
});

t.test('with nobody there it fails at once, with nobody who answers when the time is up', async (t) => {
  const bus = await open(t);
  const ask = async (subject: string): Promise<void> => {
    for await (const _ of askAgain(bus, subject, '', { timeoutMs: 1_500 })) t.fail('an answer');
  };
  await t.rejects(ask('nobody.home'), { code: 'E_OUT_OF_REACH', message: /nobody is there/ });
  let asked = 0;
  await instance(t, 'deaf', () => {
    asked += 1;
  });
  await t.rejects(ask('deaf'), { code: 'E_OUT_OF_REACH', message: /no answer within 1500 ms/ });
  t.equal(asked, 2);
});
