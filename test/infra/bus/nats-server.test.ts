import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import t, { type Test } from 'tap';
import { atLeast, greetingOf, hostOf, inspectServer, monitoringOf } from '../../../infra/bus/nats-inspect.js';
import { findNatsServer, type Installer } from '../../../infra/bus/nats-program.js';
import { serverTrouble, startNatsServer } from '../../../infra/bus/nats-server.js';
import { messageOf, OutOfReachError } from '../../../infra/errors.js';
import { isAlive } from '../../../infra/process.js';
import { freePorts, startNats, temporaryFolder } from '../../servers.js';
import { until } from '../../until.js';

const refusal = async (attempt: Promise<unknown>): Promise<string> => {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof OutOfReachError) return error.message;
    throw error;
  }
  return 'nothing was refused';
};

/** A program that says the version and does nothing else. */
const programOf = (folder: string, version: string): string => {
  mkdirSync(folder, { recursive: true });
  const program = path.join(folder, 'nats-server');
  writeFileSync(program, `#!/bin/sh\necho nats-server: v${version}\n`);
  chmodSync(program, 0o755);
  return program;
};

/** Answers every connection with these bytes. */
const listenerSaying = async (t: Test, said: string): Promise<number> => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).resume();
    socket.write(said);
  });
  const [port] = (await freePorts(1)) as [number];
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  return port;
};

t.test('a started server answers, syncs always, is on loopback, and stops', async (t) => {
  const nats = await startNats(t);
  const greeting = await greetingOf(nats.url);
  t.ok(greeting.jetstream);
  t.ok(atLeast(greeting.version, '2.15.0'));
  t.equal(greeting.payloadBytesMax, 1_048_576);
  t.equal((await monitoringOf(nats.monitoringUrl)).syncAlways, true);
  t.match(readFileSync(path.join(nats.data, 'nats.conf'), 'utf8'), /^host: "127\.0\.0\.1"$/m);
  t.equal(Number(readFileSync(path.join(nats.data, 'nats.pid'), 'utf8')), nats.pid);
  await nats.stop();
  t.notOk(isAlive(nats.pid));
  t.match(await refusal(greetingOf(nats.url)), 'no NATS server answers');
});

t.test('a killed server starts again on the same store and ports', async (t) => {
  const nats = await startNats(t);
  const before = nats.pid;
  await nats.kill();
  await nats.start();
  t.not(nats.pid, before);
  t.ok((await greetingOf(nats.url)).jetstream);
});

t.test('a server that runs on the store already is taken on, whatever ports are asked for', async (t) => {
  const nats = await startNats(t);
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const second = await startNatsServer({ data: nats.data, port, httpPort });
  t.ok(second.takenOn);
  t.equal(second.pid, nats.pid);
  t.equal(second.url, nats.url);
  await second.stop();
  t.notOk(isAlive(nats.pid));
  t.match(await second.ended, /is gone/);
});

t.test('a server whose pid file names somebody who has ended is taken on all the same, and the file is put right', async (t) => {
  const nats = await startNats(t);
  const { pid } = nats;
  writeFileSync(path.join(nats.data, 'nats.pid'), '4194305'); // above the highest pid there can be
  const again = await startNatsServer({ data: nats.data, port: nats.port, httpPort: nats.httpPort });
  t.match(again, { pid, takenOn: true, url: nats.url });
  t.equal(readFileSync(path.join(nats.data, 'nats.pid'), 'utf8'), String(pid));
});

t.test('what an old server left behind is no server', async (t) => {
  const nats = await startNats(t);
  await nats.kill();
  writeFileSync(path.join(nats.data, 'nats.pid'), String(process.pid)); // the pid went to somebody else
  const next = await startNatsServer({ data: nats.data, port: nats.port, httpPort: nats.httpPort });
  t.teardown(() => next.stop());
  t.notOk(next.takenOn);
});

t.test('a taken port is refused with who has it, and the other server is left alone', async (t) => {
  const other = await startNats(t);
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const taken = await refusal(startNatsServer({ data: temporaryFolder(t), port: other.port, httpPort }));
  t.match(taken, new RegExp(`port ${other.port} is taken by a nats-server \\(2.*--nats-port.*--nats nats://127.0.0.1:${other.port}`));
  const monitoring = await refusal(startNatsServer({ data: temporaryFolder(t), port, httpPort: other.httpPort }));
  t.match(monitoring, new RegExp(`port ${other.httpPort} is taken by a nats-server's monitoring.*--nats-http-port`));
  const busy = await listenerSaying(t, 'SSH-2.0\r\n');
  t.match(await refusal(startNatsServer({ data: temporaryFolder(t), port: busy, httpPort })), `port ${busy} is taken by another program`);
  t.ok(isAlive(other.pid));
});

t.test('a server that ends at its start is refused with its last words', async (t) => {
  const data = temporaryFolder(t);
  writeFileSync(path.join(data, 'nats'), 'a file where the store should be');
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  t.match(
    await refusal(startNatsServer({ data, port, httpPort })),
    /nats-server ended at its start .*nats\.log:\n.*(not a directory|JetStream)/s,
  );
});

t.test('a server that runs already is inspected: proven, or unproven and why', async (t) => {
  const nats = await startNats(t);
  const report = await inspectServer(nats.url, nats.httpPort);
  t.equal(report.unproven, undefined);
  const [nobody] = (await freePorts(1)) as [number];
  t.match((await inspectServer(nats.url, nobody)).unproven, /no nats-server's monitoring answers.*--nats-http-port/);
  const other = await startNats(t);
  t.match((await inspectServer(nats.url, other.httpPort)).unproven, /is another server's/);
  t.equal((await inspectServer(`nats://127.0.0.1:${nobody},${nats.url}`, nats.httpPort)).serverId, report.serverId);
});

t.test('its program and its configuration are the whole command that starts it again', async (t) => {
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const server = await startNatsServer({ data: temporaryFolder(t), port, httpPort });
  await server.stop();
  const again = spawn(server.program, ['-c', server.configuration], { stdio: 'ignore' });
  const ended = once(again, 'exit');
  t.teardown(async () => {
    again.kill('SIGKILL');
    await ended;
  });
  await until(() => greetingOf(server.url).catch(() => undefined));
  t.equal((await monitoringOf(server.monitoringUrl)).syncAlways, true);
});

t.test('who does not answer yet is waited for', async (t) => {
  const [port, httpPort] = (await freePorts(2)) as [number, number];
  const data = temporaryFolder(t);
  let starting: ReturnType<typeof startNatsServer> | undefined;
  t.teardown(async () => (await starting)?.stop());
  const waits = (): void => {
    starting = startNatsServer({ data, port, httpPort });
  };
  await t.rejects(inspectServer(`nats://127.0.0.1:${port}`, httpPort), { code: 'E_OUT_OF_REACH' });
  const { version } = await inspectServer(`nats://127.0.0.1:${port}`, httpPort, { waitMsMax: 30_000, waits });
  t.match(version, /^2\./);
});

t.test('what a server says is wrong with it', async (t) => {
  t.equal(await serverTrouble((await startNats(t)).data), undefined);
  const data = temporaryFolder(t);
  t.equal(await serverTrouble(data), undefined, 'there is none');
  const body = JSON.stringify({ status: 'unavailable', error: 'no space left on device' });
  const port = await listenerSaying(t, `HTTP/1.1 503 no\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  writeFileSync(path.join(data, 'nats.conf'), `http: "127.0.0.1:${port}"\n`);
  t.equal(await serverTrouble(data, 10_000), 'no space left on device');
});

t.test('an old server, one without JetStream, none and something else are refused', async (t) => {
  const info = (version: string, jetstream: boolean) =>
    `INFO ${JSON.stringify({ version, server_id: 'x', server_name: 'x', jetstream, max_payload: 1 })} \r\n`;
  const at = async (said: string) => refusal(inspectServer(`127.0.0.1:${await listenerSaying(t, said)}`, 1));
  t.match(await at(info('2.9.10', true)), /is 2\.9\.10: Tidemark needs 2\.15\.0 or newer/);
  t.match(await at(info('2.15.1', false)), /has no JetStream/);
  t.match(await at('HTTP/1.1 400 Bad Request\r\n'), /says something else/);
  const [nobody] = (await freePorts(1)) as [number];
  t.match(await refusal(inspectServer(`nats://127.0.0.1:${nobody}`, 1)), /no NATS server answers at 127\.0\.0\.1.*ECONNREFUSED/);
});

t.test('versions and addresses', (t) => {
  t.ok(atLeast('2.15.0', '2.15.0'));
  t.ok(atLeast('v2.100.0', '2.15.0'));
  t.ok(atLeast('2.15.0-beta.1', '2.15.0'));
  t.notOk(atLeast('2.9.10', '2.15.0'));
  t.notOk(atLeast('1.99', '2.15.0'));
  t.same(hostOf('tls://u:p@example.org'), { host: 'example.org', port: 4222 });
  t.same(hostOf('[::1]:99'), { host: '::1', port: 99 });
  t.end();
});

t.test('a program is found, new enough ones only, else installed, else the refusal says how to get one', async (t) => {
  const folder = temporaryFolder(t);
  const old = programOf(path.join(folder, 'old'), '2.9.10');
  const good = programOf(path.join(folder, 'good'), '2.16.0');
  const cacheFolder = path.join(folder, 'cache');
  t.equal(await findNatsServer({ onPath: good, cacheFolder }), good);
  t.equal(await findNatsServer({ program: good, onPath: old, cacheFolder }), good);
  t.match(await refusal(findNatsServer({ program: old, onPath: good, cacheFolder })), /is 2\.9\.10: Tidemark needs/);

  const failing: Installer = { name: 'pip', install: () => Promise.reject(new OutOfReachError('no network')) };
  const stale: Installer = {
    name: 'apt',
    install: async (at) => {
      programOf(path.join(at, 'bin'), '2.9.10');
    },
  };
  const nothing = await refusal(findNatsServer({ onPath: old, cacheFolder, installers: [failing, stale] }));
  t.match(nothing, /pip: no network\n.*apt: what it installed does not run[\s\S]*--nats-server FILE[\s\S]*--nats URL/);

  const told: string[] = [];
  const working: Installer = {
    name: 'go',
    install: async (at) => {
      programOf(path.join(at, 'bin'), '2.15.2');
    },
  };
  const options = {
    onPath: old,
    cacheFolder,
    installers: [failing, working],
    tell: (line: string) => {
      told.push(line);
    },
  };
  const installed = await findNatsServer(options);
  t.ok(existsSync(installed));
  t.equal(told.length, 2);
  t.equal(await findNatsServer(options), installed, 'the second time it is there');
  t.equal(told.length, 2);
  t.match(messageOf(await findNatsServer({ program: path.join(folder, 'none') }).catch((error: unknown) => error)), 'ENOENT');
});
