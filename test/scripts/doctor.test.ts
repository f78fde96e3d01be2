import { chmodSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t from 'tap';
import { ensureStreams } from '../../infra/bus/streams.js';
import { loadSettings } from '../../infra/config.js';
import { examine } from '../../scripts/doctor/doctor.js';
import type { Finding } from '../../scripts/doctor/finding.js';
import { growthOf, lookAtMemory, lookAtNode, lookAtPorts } from '../../scripts/doctor/machine.js';
import { freePorts, startNats, temporaryFolder } from '../servers.js';
import { runCli } from '../system/run-cli.js';

const stateOf = (findings: readonly Finding[], what: string): string | undefined => findings.find((one) => one.what === what)?.state;

t.test('an old Node, too little memory and a taken port are found', async (t) => {
  t.equal((await lookAtNode('18.19.1')).state, 'fail');
  t.equal((await lookAtNode('20.20.0')).state, 'ok');
  t.match(await lookAtMemory({ memoryMiB: 2 ** 40 }), { state: 'fail', mend: /--memory/ });
  const server = createServer();
  t.teardown(() => server.close());
  const taken = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (typeof address === 'object' && address) resolve(address.port);
    });
  });
  const [free, other] = (await freePorts(2)) as [number, number];
  const ports = { natsHost: '127.0.0.1', natsPort: free, natsHttpPort: other, httpPort: taken };
  t.match(await lookAtPorts(ports, false), { state: 'fail', found: `${taken} is taken by another program`, mend: /--http-port/ });
  t.equal((await lookAtPorts({ ...ports, httpPort: 0 }, false)).state, 'ok');
});

t.test('the forecast goes by when files were written, over at most a week', async (t) => {
  const data = temporaryFolder(t);
  t.equal(await growthOf(data), undefined, 'nothing to tell from');
  const folder = path.join(data, 'raw', '2020-01-01');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, '0-0-a.ndjson'), 'x'.repeat(1_000));
  t.equal(await growthOf(data), undefined, 'a minute is too short');
  const twoDaysOn = Date.now() + 2 * 86_400_000;
  const growth = await growthOf(data, twoDaysOn);
  t.ok(growth !== undefined && Math.abs(growth.bytesPerDay - 500) < 5, JSON.stringify(growth));
  writeFileSync(path.join(folder, '0-1-a.ndjson'), 'x'.repeat(1_000_000));
  utimesSync(path.join(folder, '0-1-a.ndjson'), 0, 0);
  t.equal(
    (await growthOf(data, twoDaysOn))?.bytesPerDay.toFixed(0),
    growth?.bytesPerDay.toFixed(0),
    'what is older than a week is left out',
  );
});

t.test('what a system stands on is well, and what is put wrong is found', async (t) => {
  const nats = await startNats(t);
  const given = loadSettings({ data: nats.data, nats: nats.url, natsHttpPort: String(nats.httpPort) }, { env: {} });
  await ensureStreams({ ...given.settings, nats: nats.url });
  const well = await examine(given);
  t.same(
    well.filter(({ state }) => state !== 'ok'),
    [],
  );
  for (const what of ['Node', 'memory', 'disk', 'DuckDB', 'storage', 'nats-server', 'clock', 'streams', 'leases'])
    t.equal(stateOf(well, what), 'ok', what);

  const connection = await connect({ servers: nats.url });
  t.teardown(() => connection.close());
  const manager = await jetstreamManager(connection);
  const { config } = await manager.streams.info('STORED');
  await manager.streams.delete('STORED');
  await manager.streams.add({ ...config, discard: 'old' } as typeof config);
  mkdirSync(path.join(nats.data, 'users'));
  writeFileSync(path.join(nats.data, 'users', 'buffer.nk'), 'x');
  chmodSync(path.join(nats.data, 'users', 'buffer.nk'), 0o644);
  const ill = await examine(given);
  t.match(
    ill.find(({ what }) => what === 'streams'),
    { state: 'fail', found: 'STORED has discard "old" and needs "new"' },
  );
  t.match(
    ill.find(({ what }) => what === 'keys'),
    { state: 'fail', found: /buffer\.nk may be read/, mend: /chmod 600/ },
  );
});

t.test('a server that is not there is found, and the command says so with exit code 4', async (t) => {
  const [port] = (await freePorts(1)) as [number];
  const flags = ['doctor', '--json', '--data', path.join(temporaryFolder(t), 'new'), '--nats', `nats://127.0.0.1:${port}`];
  const { code, stdout } = await runCli(flags);
  t.equal(code, 4);
  const findings = JSON.parse(stdout) as Finding[];
  t.equal(stateOf(findings, 'nats-server'), 'fail');
  t.equal(stateOf(findings, 'storage'), 'ok', 'a data folder that is not there yet is no fault');
});
