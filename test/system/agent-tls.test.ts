/** `tidemark agent` as a process, at another address than loopback, over TLS and as a user of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { hostname, networkInterfaces } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { openBus } from '../../infra/bus/nats.js';
import { credentialsFor } from '../../infra/bus/users.js';
import { queryView } from '../../infra/client/query.js';
import { readReadingSealed } from '../../protocol/messages/readers.js';
import { encodeName } from '../../protocol/name-code.js';
import { makeCertificates } from '../certificates.js';
import { freePorts, guard, temporaryFolder } from '../servers.js';
import { until } from '../until.js';
import { runCli } from './run-cli.js';
import { answered } from './system.js';

const cli = path.join(import.meta.dirname, '../../scripts/cli.js');

/** An address of this machine at which other hosts reach it; without one it is tried at one of loopback's others. */
const address =
  Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal)?.address ?? '127.0.0.2';

/** A command that goes on until it is told to stop; what it says on stderr is kept. */
const launch = (
  t: Test,
  cwd: string,
  words: readonly string[],
): { child: ChildProcess; said: () => string; end: () => Promise<number | null> } => {
  const child = spawn(process.execPath, [cli, ...words], { cwd, stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const unguard = guard(child.pid as number);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const end = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    const code = await ended;
    unguard();
    return code;
  };
  t.teardown(end);
  return { child, said: () => text, end };
};

t.setTimeout(180_000);

t.test('other hosts do not come in without TLS: start refuses it, with what to do', async (t) => {
  const [port, httpPort, pages] = (await freePorts(3)) as [number, number, number];
  const ports = ['--nats-port', `${port}`, '--nats-http-port', `${httpPort}`, '--http-port', `${pages}`];
  const { code, stderr } = await runCli(['start', '--data', temporaryFolder(t), '--nats-host', '0.0.0.0', ...ports]);
  t.equal(code, 3);
  t.match(stderr, /--nats-host 0\.0\.0\.0 lets other hosts in, and that takes TLS: name a certificate and its key/);
});

t.test('an agent at another address: over TLS and as its own user its readings are sealed, otherwise it is refused', async (t) => {
  const certificates = makeCertificates(t, [address]);
  if (certificates === undefined) return;
  const { ca, certificate, key } = certificates;
  const data = temporaryFolder(t);
  const elsewhere = temporaryFolder(t); // an agent's machine has no data folder
  const [port, httpPort, pages] = (await freePorts(3)) as [number, number, number];
  const ports = ['--nats-port', `${port}`, '--nats-http-port', `${httpPort}`, '--http-port', `${pages}`];
  const tls = ['--nats-host', '0.0.0.0', '--nats-cert', certificate, '--nats-key', key, '--nats-ca', ca];
  const system = launch(t, elsewhere, ['start', '--data', data, ...ports, ...tls, '--log-level', 'warn']);
  const nats = `tls://${address}:${port}`;
  const asOperator = () => openBus({ nats, natsCa: ca, natsCreds: credentialsFor({ data }, 'operator') }, 'test');
  const bus = await answered(asOperator, 600);
  t.teardown(() => bus.close());
  const service = 'Ticketing Service';
  const added = await runCli(['user', 'add', 'ticketing', '--agent', service, '--host', hostname(), '--data', data]);
  t.equal(added.code, 0, added.stderr);
  const creds = added.stdout.trim().split('\n').at(-1) as string;
  const sealed = new Map<number, true>();
  const subject = `metrics.${encodeName(service)}.${encodeName(hostname())}`;
  bus.hear('reading.sealed.*', ({ body }) => {
    const seal = readReadingSealed(body);
    if (seal.subject !== subject) return;
    for (const [from, to] of seal.sealed) for (let n = from; n < to; n += 1) sealed.set(n, true);
  });
  const words = ['agent', '--service', service, '--every', '200ms', '--nats', nats, '--log-level', 'warn'];
  const agent = launch(t, elsewhere, [...words, '--nats-creds', creds, '--nats-ca', ca]);
  const hourMs = 3_600_000;
  const rows = async () => {
    const now = Date.now();
    const question = { from: now - hourMs, to: now + hourMs, services: [service], step: 'range' } as const;
    return (await answered(() => queryView(bus, question))).rows;
  };
  await until(async () => (sealed.size >= 5 ? true : undefined));
  t.equal(await agent.end(), 0, agent.said());
  t.notMatch(agent.said(), 'not sealed', 'nothing was left');
  const [row] = await until(async () => {
    const found = await rows();
    return (found[0]?.msg_num ?? 0) >= sealed.size ? found : undefined;
  });
  t.equal(row?.msg_num, sealed.size, 'the view has the readings that were acknowledged');

  for (const [what, more] of [
    ['without credentials', ['--nats-ca', ca]],
    ['without the authority', ['--nats-creds', creds]],
  ] as const) {
    const { code, stderr } = await runCli([...words, ...more, '--data', elsewhere]);
    t.equal(code, 4, what);
    t.match(stderr, `no NATS server at ${nats}`, what);
  }
  t.equal(await system.end(), 0, system.said());
});
