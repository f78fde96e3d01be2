import zookeeperClient from 'node-zookeeper-client';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Coordinator } from '../../../infra/coordination/coordinator.js';
import { openZookeeper } from '../../../infra/coordination/zookeeper.js';
import { parseZookeeperAddress } from '../../../infra/coordination/zookeeper-address.js';
import { isZookeeperCode, type SessionOptions, ZookeeperSession } from '../../../infra/coordination/zookeeper-session.js';
import { jarsOrSkip, startTestZookeeper } from '../../stack.js';
import { until } from '../../until.js';
import { coordinatorContract, Member } from './coordinator.contract.js';
import { startProxy, type TcpProxy } from './tcp-proxy.js';

t.setTimeout(240_000);

t.test('an address names servers and a folder', (t) => {
  const parse = parseZookeeperAddress;
  t.same(parse('zookeeper://zk'), { servers: 'zk:2181', folder: '/tidemark' });
  t.same(parse('zookeeper://a:1,b,c:3/eu/tides/'), { servers: 'a:1,b:2181,c:3', folder: '/eu/tides' });
  for (const wrong of [
    'zk:2181',
    'zookeeper://',
    'zookeeper://a:0',
    'zookeeper://a:b',
    'zookeeper://a,,b',
    'zookeeper://a/../b',
    'zookeeper://u:p@a',
  ])
    t.throws(() => parse(wrong), { code: 'E_USAGE' }, wrong);
  t.end();
});

t.test('an error code that the client does not know is an error, not the end of the process', (t) => {
  const { Exception } = zookeeperClient as unknown as { Exception: { create(code: number): { getName(): string } } };
  t.equal(Exception.create(-125).getName(), 'SYSTEM_ERROR', 'a quota is reached');
  t.equal(Exception.create(-101).getName(), 'NO_NODE');
  t.end();
});

const silent = pino({ level: 'silent' });
const sessionMs = 2_000;
/** Of the one server. */
let port = 0;

interface Opened {
  readonly coordinator: Coordinator;
  readonly proxy: TcpProxy;
  vanish(): Promise<void>;
}

/** A coordinator behind a proxy of its own. */
const open = async (t: Test, options: Partial<SessionOptions> = {}): Promise<Opened> => {
  const proxy = await startProxy(t, port);
  const coordinator = await openZookeeper({ servers: `127.0.0.1:${proxy.port}`, folder: '/contract', sessionMs, ...options }, silent);
  t.teardown(() => coordinator.close());
  return { coordinator, proxy, vanish: async () => proxy.cut() };
};

/** @param isWatched whether a server that says nothing is left */
const openSession = async (t: Test, options: Partial<SessionOptions> = {}, isWatched = true) => {
  const heard: string[] = [];
  let tell = (): void => undefined;
  const note = (what: string) => () => {
    heard.push(what);
    tell();
  };
  const until = async (what: string): Promise<void> => {
    while (!heard.includes(what))
      await new Promise<void>((resolve) => {
        tell = resolve;
      });
  };
  const session = new ZookeeperSession(
    { servers: `127.0.0.1:${port}`, folder: '/', sessionMs, ...options },
    { connected: note('connected'), disconnected: note('disconnected'), ended: note('ended') },
  );
  t.teardown(() => session.close());
  const watching = setInterval(() => isWatched && session.watchOver(), 50);
  t.teardown(() => clearInterval(watching));
  return { session, heard, until };
};

const onRealServer = (t: Test): void => {
  coordinatorContract(t, 'zookeeper', open);

  t.test('Z1: a call to a server that hangs ends in time', async (t) => {
    const proxy = await startProxy(t, port);
    const { session, until } = await openSession(t, { servers: `127.0.0.1:${proxy.port}` });
    await until('connected');
    t.ok(await session.children('/'));
    proxy.hold();
    const before = performance.now();
    await t.rejects(session.children('/'), { code: /^E_ZOOKEEPER_(LATE|CONNECTION_LOSS)$/ });
    t.ok(performance.now() - before < sessionMs, 'before the session is over');
  });

  t.test('Z2: a session is sure from its first answer on, and no longer than two thirds of its time-out after the last', async (t) => {
    const proxy = await startProxy(t, port);
    const { session, until } = await openSession(t, { servers: `127.0.0.1:${proxy.port}` }, false);
    await until('connected');
    t.notOk(session.isSure, 'nothing was answered yet');
    await session.children('/');
    t.ok(session.isSure);
    const before = performance.now();
    while (session.isSure) await new Promise((resolve) => setTimeout(resolve, 5)); // pings go on: they prove nothing to us
    const sureMs = performance.now() - before;
    t.ok(sureMs < (sessionMs * 2) / 3 + 500, `${Math.round(sureMs)} ms`);
    await session.children('/');
    proxy.cut();
    await until('disconnected');
    t.notOk(session.isSure, 'without a connection it is not');
  });

  t.test('Z3: a server that hangs is left for another, within the session', async (t) => {
    const hanging = await startProxy(t, port);
    const { session, heard, until } = await openSession(t, { servers: `127.0.0.1:${hanging.port},127.0.0.1:${hanging.port}` });
    await until('connected');
    const { id } = session;
    await session.createEphemeral('/here');
    hanging.hold();
    await until('disconnected');
    hanging.pass();
    heard.length = 0;
    await until('connected');
    t.equal(session.id, id, 'the same session');
    t.ok((await session.children('/')).includes('here'));
  });

  t.test('Z3: a process that stands in no line keeps its connection', async (t) => {
    const lost: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lost.push(line) });
    const coordinator = await openZookeeper({ servers: `127.0.0.1:${port}`, folder: '/idle', sessionMs }, log);
    t.teardown(() => coordinator.close());
    const over = performance.now() + 2 * sessionMs; // unheard it would be left four times
    await until(() => (performance.now() > over ? true : undefined));
    t.ok(lost.length <= 1, lost.join('')); // a loaded machine may lose it once
  });

  t.test('Z4: shares are lost at once with the connection, and had again with it, in the same session', async (t) => {
    const { coordinator, proxy } = await open(t, { folder: '/z4' });
    const member = new Member('first', coordinator);
    await member.join('role', 3);
    await member.until(() => member.held.size === 3);
    const before = performance.now();
    proxy.cut();
    await member.until(() => member.held.size === 0);
    const lostMs = performance.now() - before;
    t.ok(lostMs < (sessionMs * 2) / 3, `${Math.round(lostMs)} ms`);
    proxy.pass();
    await member.until(() => member.held.size === 3);
  });

  t.test('Z2: shares are lost by the own clock when the server hangs, before others see the session expired', async (t) => {
    const { coordinator, proxy } = await open(t, { folder: '/z2' });
    const member = new Member('first', coordinator);
    await member.join('role', 3);
    await member.until(() => member.held.size === 3);
    const before = performance.now();
    proxy.hold();
    await member.until(() => member.held.size === 0);
    const lostMs = performance.now() - before;
    t.ok(lostMs < sessionMs, `${Math.round(lostMs)} ms`);
  });

  t.test('Z5: after its session is over a member has a new one, behind those who stood in line meanwhile', async (t) => {
    const one = await open(t, { folder: '/z5' });
    const two = await open(t, { folder: '/z5' });
    const first = new Member('first', one.coordinator);
    const second = new Member('second', two.coordinator);
    await first.join('lead', 1);
    await first.until(() => first.held.size === 1);
    await second.join('lead', 1);
    one.proxy.cut();
    await second.until(() => second.held.size === 1); // others see it expired
    t.equal(first.held.size, 0, 'it had stopped before');
    one.proxy.pass();
    const third = new Member('third', one.coordinator); // of the new session
    await third.join('other', 1);
    await third.until(() => third.held.size === 1);
    t.equal(first.held.size, 0);
    await second.membership?.leave();
    await first.until(() => first.held.size === 1);
  });

  t.test('with a user and password the nodes are theirs alone, and who has others is told so', async (t) => {
    const { coordinator } = await open(t, { folder: '/owned/tides', auth: 'tide:mark' });
    const member = new Member('first', coordinator);
    await member.join('role', 2);
    await member.until(() => member.held.size === 2);
    const { session, until } = await openSession(t);
    await until('connected');
    await t.rejects(session.children('/owned/tides/role/line'), { code: 'E_ZOOKEEPER_NO_AUTH' });
    const address = { servers: `127.0.0.1:${port}`, folder: '/owned/tides', sessionMs };
    await t.rejects(openZookeeper({ ...address, folder: '/owned/others' }, silent), { code: 'E_SETTINGS', message: /zookeeper-auth/ });
    await t.rejects(openZookeeper({ ...address, auth: 'tide:other' }, silent), { code: 'E_SETTINGS', message: /zookeeper-auth/ });
    t.ok(isZookeeperCode(await session.children('/owned').catch((error: unknown) => error), 'NO_AUTH'));
  });

  t.test('without a server it waits some seconds, goes on, and has its shares when one comes', async (t) => {
    const proxy = await startProxy(t, port);
    proxy.cut();
    const coordinator = await openZookeeper({ servers: `127.0.0.1:${proxy.port}`, folder: '/late', sessionMs }, silent);
    t.teardown(() => coordinator.close());
    const member = new Member('first', coordinator);
    await member.join('role', 2);
    t.equal(member.held.size, 0);
    proxy.pass();
    await member.until(() => member.held.size === 2);
    await coordinator.close();
    const { session, until } = await openSession(t);
    await until('connected');
    t.same(await session.children('/late/role/line'), [], 'who closes leaves nothing behind');
  });
};

const jars = await jarsOrSkip(t);
if (jars !== undefined) {
  const zookeeper = await startTestZookeeper(t, { jars, servers: 1, tickMs: 500 });
  port = zookeeper.clientPorts[0] as number;
  onRealServer(t);
}
