import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import t, { type Test } from 'tap';
import { connectionOptions, openBus } from '../../../infra/bus/nats.js';
import { type NatsServer, renewUsers, startNatsServer } from '../../../infra/bus/nats-server.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { type Access, addUser, credentialsFor, keyFile, ownUsers, removeUser } from '../../../infra/bus/users.js';
import { messageOf } from '../../../infra/errors.js';
import { catalogue, type MessageEntry } from '../../../protocol/catalogue.js';
import { makeCertificates } from '../../certificates.js';
import { freePorts, temporaryFolder } from '../../servers.js';
import { until } from '../../until.js';

const partitions = 2;

interface Guarded {
  readonly data: string;
  readonly server: NatsServer;
  /** As this user, else without credentials. */
  connect(t: Test, user?: string): Promise<Visitor>;
}

/** A connection that notes what the server refused it. */
class Visitor {
  readonly refused: string[] = [];

  constructor(readonly connection: NatsConnection) {
    void (async () => {
      for await (const status of connection.status()) if (status.type === 'error') this.refused.push(messageOf(status.error));
    })();
  }

  async may(act: (connection: NatsConnection) => void): Promise<boolean> {
    const before = this.refused.length;
    act(this.connection);
    await this.connection.flush(); // the refusal comes before the answer to the ping
    await new Promise((resolve) => setImmediate(resolve));
    return this.refused.length === before;
  }

  mayPublish(subject: string): Promise<boolean> {
    return this.may((connection) => connection.publish(subject, '{}'));
  }

  mayHear(subject: string, queue?: string): Promise<boolean> {
    return this.may((connection) =>
      connection.subscribe(subject, { callback: () => undefined, ...(queue === undefined ? {} : { queue }) }),
    );
  }
}

const startGuarded = async (t: Test, access: Partial<Access> = {}): Promise<Guarded> => {
  const data = temporaryFolder(t);
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const server = await startNatsServer({ data, port, httpPort, access: { partitions, host: '127.0.0.1', ...access } });
  t.teardown(() => server.stop(2_000));
  return {
    data,
    server,
    connect: async (t, user) => {
      const natsCreds = user === undefined ? undefined : credentialsFor({ data }, user);
      const connection = await connect({ ...connectionOptions({ nats: server.url, natsCreds }, 'test'), reconnect: false });
      t.teardown(() => connection.close());
      return new Visitor(connection);
    },
  };
};

t.test('R1: an actor publishes and hears what the catalogue says of it, and nothing else', async (t) => {
  const guarded = await startGuarded(t);
  const { server, data } = guarded;
  await ensureStreams({
    nats: server.url,
    natsCreds: credentialsFor({ data }, 'operator'),
    partitions,
    metricsBytesMax: 2 ** 24,
    segmentsBytesMax: 2 ** 24,
  });
  const example = (subject: string): string =>
    subject
      .split(' or ')[0]
      ?.replace('<p>', '1')
      .replace(/<[^>]+>/g, 'x') ?? subject;
  const entries: readonly MessageEntry[] = Object.values(catalogue);
  for (const { name, role } of ownUsers()) {
    if (role.kind !== 'actor') continue;
    const visitor = await guarded.connect(t, name);
    for (const { subject, senders, receivers } of entries.filter((entry) => !entry.subject.startsWith('$'))) {
      const [sends, hears] = [senders.includes(name), receivers.includes(name)];
      t.equal(await visitor.mayPublish(example(subject)), sends, `${name} ${sends ? 'publishes' : 'cannot publish'} ${subject}`);
      t.equal(await visitor.mayHear(example(subject)), hears, `${name} ${hears ? 'hears' : 'cannot hear'} ${subject}`);
    }
    t.notOk(await visitor.mayPublish('$JS.API.STREAM.DELETE.METRICS'), `${name} deletes no stream`);
    t.notOk(await visitor.mayPublish('$JS.API.STREAM.UPDATE.STORED'), `${name} changes no stream`);
    t.equal(await visitor.mayPublish('$JS.API.STREAM.PURGE.SEGMENTS-0'), name === 'buffer', `${name} and SEGMENTS' purge`);
    t.notOk(await visitor.mayHear('_INBOX.>'), `${name} hears no other's answers`);
    t.notOk(await visitor.mayHear('>'), `${name} does not hear everything`);
  }
});

t.test('R1: every actor can read its logs and say what it does', async (t) => {
  const { server, data } = await startGuarded(t);
  const settings = {
    nats: server.url,
    natsCreds: credentialsFor({ data }, 'operator'),
    partitions,
    metricsBytesMax: 2 ** 24,
    segmentsBytesMax: 2 ** 24,
  };
  await ensureStreams(settings);
  const reads: Record<string, string[]> = {
    buffer: ['METRICS', 'SEGMENTS-1', 'STORED'],
    uploader: ['SEGMENTS-0', 'STORED'],
    windower: ['SEGMENTS-1', 'STORED', 'REALTIME'],
    scheduler: ['STORED', 'BATCH', 'SEGMENTS-0', 'METRICS'],
    mapper: ['BATCH'],
    reducer: ['BATCH'],
    merger: ['BATCH', 'STORED', 'REALTIME', 'VIEWS'],
  };
  for (const [name, streams] of Object.entries(reads)) {
    const bus = await openBus({ nats: server.url, natsCreds: credentialsFor({ data }, name) }, name);
    t.teardown(() => bus.close());
    for (const stream of streams) {
      await t.resolves(bus.extent(stream), `${name}: the extent of ${stream}`);
      await t.resolves(
        bus.read(stream, { start: 'first' }).then((reader) => reader.close()),
        `${name} reads ${stream}`,
      );
    }
    const bucket = await bus.bucket('LEASES', { ttlMs: 5_000 });
    t.ok((await bucket.create(`${name}.0`, 'it')) !== undefined, `${name} takes a lease`);
    t.ok((await bucket.all()).has(`${name}.0`), `${name} sees who has which`);
  }
  const buffer = await openBus({ nats: server.url, natsCreds: credentialsFor({ data }, 'buffer') }, 'buffer');
  t.teardown(() => buffer.close());
  t.equal(await buffer.publish('segment.sealed.0', 'x', { expectedLast: 0 }), 1);
  await t.resolves(buffer.purge('METRICS', 'metrics.0.>', 1));
  const uploader = await openBus({ nats: server.url, natsCreds: credentialsFor({ data }, 'uploader') }, 'uploader');
  t.teardown(() => uploader.close());
  t.equal((await uploader.last('SEGMENTS-0', 'segment.sealed.0'))?.sequence, 1);
});

t.test('R2: an agent publishes on its own subject and hears acknowledgements and its inbox', async (t) => {
  const guarded = await startGuarded(t);
  addUser(guarded.data, { name: 'web-h1', role: { kind: 'agent', service: 'Ticketing Service', host: 'h1' } });
  addUser(guarded.data, { name: 'relay', role: { kind: 'gateway', name: 'relay' } });
  addUser(guarded.data, { name: 'reader', role: { kind: 'subscriber' } });
  t.ok(await renewUsers(guarded.data), 'the server that runs takes them over');
  const agent = await until(() => guarded.connect(t, 'web-h1').catch(() => undefined));
  t.ok(await agent.mayPublish('metrics.Ticketing%20Service.h1'));
  t.ok(await agent.mayHear('reading.sealed.>'));
  t.ok(
    await agent.may(
      (connection) => void connection.request('metrics.Ticketing%20Service.h1', '{}', { timeout: 200 }).catch(() => undefined),
    ),
  );
  for (const subject of [
    'metrics.Ticketing%20Service.h2',
    'metrics.web.h1',
    'metrics.relay',
    'reading.sealed.x',
    'view.asked',
    'segment.sealed.0',
  ]) {
    t.notOk(await agent.mayPublish(subject), subject);
  }
  for (const subject of ['metrics.>', 'view.updated.>', 'segment.sealed.>', '_INBOX.>', '_INBOX_*.>', '>'])
    t.notOk(await agent.mayHear(subject), subject);
  t.notOk(await agent.mayPublish('$JS.API.STREAM.INFO.METRICS'));
  const relay = await guarded.connect(t, 'relay');
  t.ok(await relay.mayPublish('metrics.relay'));
  t.notOk(await relay.mayPublish('metrics.other'));
  t.notOk(await relay.mayPublish('metrics.web.h1'));
  const reader = await guarded.connect(t, 'reader');
  t.ok(await reader.mayPublish('view.asked'));
  for (const subject of ['view.updated.>', 'view.proved']) t.ok(await reader.mayHear(subject), subject);
  for (const subject of ['metrics.web.h1', 'view.updated.web', 'view.proved', 'batch.asked', 'part.asked', '$JS.API.STREAM.PURGE.VIEWS']) {
    t.notOk(await reader.mayPublish(subject), subject);
  }
  for (const subject of ['view.asked', 'reading.sealed.>', 'metrics.>', 'segment.sealed.>'])
    t.notOk(await reader.mayHear(subject), subject);
  removeUser(guarded.data, 'reader');
  await renewUsers(guarded.data);
  await until(async () => (reader.connection.isClosed() ? true : undefined));
  t.throws(() => removeUser(guarded.data, 'reader'), { code: 'E_SETTINGS' });
  t.throws(() => addUser(guarded.data, { name: 'relay', role: { kind: 'subscriber' } }), { code: 'E_SETTINGS' }, 'a name is taken once');
  t.throws(() => addUser(guarded.data, { name: '../up', role: { kind: 'subscriber' } }), { code: 'E_SETTINGS' }, 'a name is no path');
});

t.test('R1: on loopback whoever comes without credentials publishes readings, asks and watches', async (t) => {
  const guarded = await startGuarded(t);
  const local = await guarded.connect(t);
  for (const subject of ['metrics.web.h1', 'metrics.relay', 'view.asked']) t.ok(await local.mayPublish(subject), subject);
  for (const subject of ['reading.sealed.>', 'view.updated.>', 'view.proved', '_INBOX.>']) t.ok(await local.mayHear(subject), subject);
  for (const subject of [
    'segment.sealed.0',
    'raw.stored.0',
    'reading.sealed.x',
    'view.proved',
    'batch.asked',
    '$JS.API.STREAM.DELETE.METRICS',
    '$KV.LEASES.x',
  ]) {
    t.notOk(await local.mayPublish(subject), subject);
  }
  for (const subject of ['metrics.>', 'segment.sealed.>', 'batch.*', '$JS.>', '>']) t.notOk(await local.mayHear(subject), subject);
});

t.test('keys are of mode 0600, and the configuration holds public ones alone', async (t) => {
  const { data } = await startGuarded(t);
  const configuration = readFileSync(path.join(data, 'nats.conf'), 'utf8');
  for (const { name } of ownUsers()) {
    const file = keyFile(data, name);
    t.equal(statSync(file).mode & 0o777, 0o600, name);
    t.notMatch(configuration, readFileSync(file, 'utf8').trim());
  }
  t.match(configuration, `metrics.*.${hostname()}`);
});

t.test('other hosts come in with TLS and credentials only', async (t) => {
  const data = temporaryFolder(t);
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const open = { data, port, httpPort, access: { partitions, host: '0.0.0.0' } };
  await t.rejects(startNatsServer(open), { message: /--nats-host 0\.0\.0\.0 lets other hosts in, and that takes TLS/ });
  const certificates = makeCertificates(t);
  if (certificates === undefined) return;
  const { ca, certificate, key } = certificates;
  const server = await startNatsServer({ ...open, access: { partitions, host: '0.0.0.0', tls: { certificate, key } } });
  t.teardown(() => server.stop(2_000));
  const natsCreds = credentialsFor({ data }, 'agents');
  const agent = new Visitor(await connect({ ...connectionOptions({ nats: server.url, natsCreds, natsCa: ca }, 'test'), reconnect: false }));
  t.teardown(() => agent.connection.close());
  t.ok(await agent.mayPublish(`metrics.web.${hostname()}`));
  t.notOk(await agent.mayPublish('metrics.web.elsewhere'));
  await t.rejects(openBus({ nats: server.url, natsCa: ca }, 'without credentials'), { code: 'E_OUT_OF_REACH' });
  await t.rejects(openBus({ nats: server.url, natsCreds }, 'without the authority'), { code: 'E_OUT_OF_REACH' });
});
