import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { openLocalStorage } from '../../../infra/storage/local.js';
import { freePorts, temporaryFolder } from '../../servers.js';
import { runCli } from '../../system/run-cli.js';

const fileOf = (root: string): string => path.join(root, 'tidemark.json');

t.test('whoever opens the data first says its format; several at once agree', async (t) => {
  const root = temporaryFolder(t);
  const opened = await Promise.all(Array.from({ length: 6 }, () => openLocalStorage(root)));
  t.equal(readFileSync(fileOf(root), 'utf8'), '{"format":1}\n');
  await Promise.all(opened.map((storage) => storage.close()));
  const again = await openLocalStorage(root);
  await again.close();
  t.equal(readFileSync(fileOf(root), 'utf8'), '{"format":1}\n');
});

t.test('data of a newer format is refused, with what to do, and nothing is left behind', async (t) => {
  const root = temporaryFolder(t);
  writeFileSync(fileOf(root), '{"format":2,"more":"of it"}');
  await t.rejects(openLocalStorage(root), { code: 'E_SETTINGS' });
  await t.rejects(openLocalStorage(root), {
    message: /format 2.*knows up to 1: run the version that made it or a newer one/,
  });
  t.same(readdirSync(path.join(root, 'work')), []);
  t.equal(readFileSync(fileOf(root), 'utf8'), '{"format":2,"more":"of it"}');
});

t.test('a format that cannot be read is not guessed', async (t) => {
  for (const text of ['', '{"format":"1"}', '{"format":0}', 'null', '{"form']) {
    const root = temporaryFolder(t);
    writeFileSync(fileOf(root), text);
    await t.rejects(openLocalStorage(root), { code: 'E_SETTINGS' }, text);
  }
});

t.test('start refuses data of a newer format before a server runs on it', async (t) => {
  const root = temporaryFolder(t);
  writeFileSync(fileOf(root), '{"format":9}');
  const [port, httpPort] = await freePorts(2);
  const { code, stderr } = await runCli(['start', '--data', root, '--nats-port', `${port}`, '--nats-http-port', `${httpPort}`]);
  t.equal(code, 3);
  t.match(stderr, /format 9/);
  t.notOk(existsSync(path.join(root, 'nats')));
});
