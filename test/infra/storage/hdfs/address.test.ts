import { writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { isAllowed, parseHdfsAddress, readToken } from '../../../../infra/storage/hdfs/address.js';
import { temporaryFolder } from '../../../servers.js';

t.test('an address: NameNodes, folder, and who we are', (t) => {
  t.same(parseHdfsAddress('hdfs://namenode:9870/tidemark?user=web'), {
    namenodes: [{ host: 'namenode', port: 9870 }],
    root: '/tidemark',
    user: 'web',
    tokenFile: undefined,
    redirects: ['namenode'],
  });
  const two = parseHdfsAddress(
    'hdfs://nn1.hadoop.example:9870,nn2.hadoop.example:9871/a/b%20c/?token-file=/etc/token&redirect=dn1,*.dn.example',
  );
  t.same(two.namenodes, [
    { host: 'nn1.hadoop.example', port: 9870 },
    { host: 'nn2.hadoop.example', port: 9871 },
  ]);
  t.equal(two.root, '/a/b c');
  t.equal(two.tokenFile, '/etc/token');
  t.same(two.redirects, ['dn1', '*.dn.example']);
  t.equal(parseHdfsAddress('hdfs://127.0.0.1:9870').root, '');
  t.end();
});

t.test('what is no address is refused, with what is wrong', (t) => {
  for (const [text, says] of [
    ['hdfs://namenode/tidemark', /"namenode" is not HOST:PORT/],
    ['hdfs://namenode:0/tidemark', /HOST:PORT/],
    ['hdfs://namenode:70000/tidemark', /HOST:PORT/],
    ['hdfs://a:1,b/tidemark', /"b" is not HOST:PORT/],
    ['hdfs:///tidemark', /no address of an HDFS/],
    ['hdfs://a:1/x?usr=web', /usr is none of user, token-file, redirect/],
    ['local', /no address/],
  ] as const) {
    t.throws(() => parseHdfsAddress(text), { code: 'E_SETTINGS', message: says }, text);
  }
  t.end();
});

t.test('H3: redirects go to the NameNodes, to their domain, or to what is named, and nowhere else', (t) => {
  const inDomain = parseHdfsAddress('hdfs://nn.hadoop.example:9870/');
  t.ok(isAllowed('nn.hadoop.example', inDomain));
  t.ok(isAllowed('DN7.hadoop.example', inDomain));
  for (const host of ['hadoop.example', 'evilhadoop.example', 'dn.hadoop.example.evil.test', '127.0.0.1', ''])
    t.notOk(isAllowed(host, inDomain), host);
  const bare = parseHdfsAddress('hdfs://10.0.0.1:9870/');
  t.ok(isAllowed('10.0.0.1', bare));
  t.notOk(isAllowed('10.0.0.2', bare), 'an address is in no domain');
  const named = parseHdfsAddress('hdfs://nn:9870/?redirect=dn1,*.example');
  t.ok(isAllowed('dn1', named));
  t.ok(isAllowed('x.example', named));
  t.notOk(isAllowed('nn', named), 'a list of ones own is the whole list');
  t.end();
});

t.test('a token is what its file holds', (t) => {
  const file = path.join(temporaryFolder(t), 'token');
  writeFileSync(file, 'HAAEcm9vdA\n');
  t.equal(readToken(file), 'HAAEcm9vdA');
  t.throws(() => readToken(`${file}-none`), { code: 'E_SETTINGS' });
  t.end();
});
