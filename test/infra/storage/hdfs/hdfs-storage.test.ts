/** Storage on a real HDFS, a NameNode and three DataNodes: the contract, and what servers and networks may do to it. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { parseHdfsAddress } from '../../../../infra/storage/hdfs/address.js';
import { HdfsFiles } from '../../../../infra/storage/hdfs/hdfs-files.js';
import type { HdfsStorage } from '../../../../infra/storage/hdfs/hdfs-storage.js';
import { openHdfs } from '../../../../infra/storage/hdfs/open.js';
import { WebHdfs } from '../../../../infra/storage/hdfs/webhdfs.js';
import type { Hdfs } from '../../../../scripts/stack/hdfs.js';
import { temporaryFolder } from '../../../servers.js';
import { everyFault, jarsOrSkip, startTestHdfs } from '../../../stack.js';
import { until } from '../../../until.js';
import { storageContract } from '../storage.contract.js';
import { type Fault, type HdfsProxy, type Passing, startProxy } from './proxy.js';

let opened = 0;

/** A folder of HDFS of its own, with a name that has to be encoded. */
const open = async (t: Test, hosts: string): Promise<HdfsStorage> => {
  opened += 1;
  const storage = await openHdfs({
    storage: `hdfs://${hosts}/test%20${process.pid}-${opened}+?user=tidemark`,
    data: temporaryFolder(t),
    copiesBytesMax: 2 ** 20,
  });
  t.teardown(() => storage.close());
  return storage;
};

const openThrough = async (t: Test, hdfs: Hdfs): Promise<{ storage: HdfsStorage; proxy: HdfsProxy }> => {
  const proxy = await startProxy(t, hdfs.ports.namenode.http);
  return { proxy, storage: await open(t, `127.0.0.1:${proxy.port}`) };
};

/** The fault once, for the first request that it is meant for. */
const faultOnce = (proxy: HdfsProxy, meant: (passing: Passing) => boolean, fault: Fault): (() => boolean) => {
  let done = false;
  proxy.fault = (passing) => {
    if (done || !meant(passing)) return undefined;
    done = true;
    return fault;
  };
  return () => done;
};

const faults = (t: Test, hdfs: Hdfs): void => {
  t.test('H1: a false answer, a redirect, and an answer of another shape are no success', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    for (const answer of [
      { status: 200, body: { boolean: false } },
      { status: 307, body: {}, headers: { location: `http://127.0.0.1:${hdfs.ports.namenode.http}/` } },
      { status: 200, body: { something: 'else' } },
      { status: 502, body: 'a gateway says this' },
    ]) {
      faultOnce(proxy, ({ operation }) => operation === 'MKDIRS', answer);
      await t.rejects(storage.create(`in/folder${answer.status}/x`, Buffer.from('x')), { code: 'E_STORAGE' }, JSON.stringify(answer));
    }
    faultOnce(proxy, ({ operation }) => operation === 'GETFILESTATUS', { status: 200, body: { FileStatus: {} } });
    await t.rejects(storage.length('x'), { code: 'E_STORAGE' });
  });

  t.test('H2: a call ends within its time when the server answers nothing', async (t) => {
    const { proxy } = await openThrough(t, hdfs);
    const address = parseHdfsAddress(`hdfs://127.0.0.1:${proxy.port}/?user=tidemark`);
    const web = new WebHdfs(address, { callMsMax: 300 });
    proxy.fault = () => 'hang';
    await t.rejects(web.call('GET', 'GETFILESTATUS', '/'), { code: 'E_HDFS_UNANSWERED', message: /within 300 ms/ });
    proxy.fault = () => undefined;
    await new WebHdfs(address).call('GET', 'GETFILESTATUS', '/');
  });

  t.test('H3: a redirect to a host that is not allowed is not followed, and the refusal says what to do', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    let heard = 0;
    const foreign = createServer((_, answer) => {
      heard += 1;
      answer.writeHead(201).end();
    }).listen(0, '127.0.0.2');
    t.teardown(() => foreign.close());
    await once(foreign, 'listening');
    const location = `http://127.0.0.2:${(foreign.address() as AddressInfo).port}/webhdfs/v1/x?op=CREATE`;
    proxy.fault = ({ operation, bytes }) => (operation === 'CREATE' && !bytes ? { status: 200, body: { Location: location } } : undefined);
    await t.rejects(storage.create('views/x', Buffer.from('secret')), { message: /127\.0\.0\.2.*redirect=/ });
    proxy.fault = ({ operation, bytes }) => (operation === 'APPEND' && !bytes ? { status: 200, body: { Location: location } } : undefined);
    await storage.create('views/y', Buffer.from('one'));
    await t.rejects(storage.append('views/y', Buffer.from('secret'), 3), { message: /127\.0\.0\.2/ });
    t.equal(heard, 0);
    t.equal(await storage.length('views/x'), undefined);
  });

  t.test('H4: whatever answer of a create is lost, the file is there once and whole', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    for (const [i, meant] of [
      ({ operation, bytes }: Passing) => operation === 'CREATE' && bytes,
      ({ operation }: Passing) => operation === 'RENAME',
      ({ operation }: Passing) => operation === 'MKDIRS',
    ].entries()) {
      const lost = faultOnce(proxy, meant, 'lose');
      await storage.create(`views/lost${i}/x`, Buffer.from('whole'));
      t.ok(lost());
      t.equal((await storage.read(`views/lost${i}/x`)).toString(), 'whole');
      await t.rejects(storage.create(`views/lost${i}/x`, Buffer.from('other')), { code: 'E_FILE_EXISTS' });
    }
  });

  t.test('H4, U3: an append whose answer is lost is in doubt, and so is one that is longer or shorter than it was', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    await storage.create('raw/d/f', Buffer.from('one\n'));
    const lost = faultOnce(proxy, ({ operation, bytes }) => operation === 'APPEND' && bytes, 'lose');
    await t.rejects(storage.append('raw/d/f', Buffer.from('two\n'), 4), { code: 'E_APPEND' });
    t.ok(lost());
    t.equal(await storage.length('raw/d/f'), 8, 'it was written, and nobody was told');
    faultOnce(proxy, ({ operation, bytes }) => operation === 'APPEND' && bytes, { status: 200, body: {} });
    await t.rejects(storage.append('raw/d/f', Buffer.from('three\n'), 8), { code: 'E_APPEND' }, 'an answer without the deed');
  });

  t.test('H5: a read goes on from the byte it has reached when the connection breaks', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    const content = Buffer.from(Array.from({ length: 50_000 }, (_, i) => `line ${i}\n`).join(''));
    await storage.create('raw/d/f', content);
    let cuts = 0;
    proxy.fault = ({ operation, bytes }) => (operation === 'OPEN' && bytes && ++cuts <= 3 ? { cut: 100_000 } : undefined);
    t.ok((await storage.read('raw/d/f')).equals(content));
    t.ok(cuts > 3);
    cuts = 0;
    t.ok((await storage.read('raw/d/f', 1_000, 400_000)).equals(content.subarray(1_000, 400_000)));
  });

  t.test('H6: fewer bytes than were asked for are an error, however often it is tried; more are one too', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    await storage.create('raw/d/f', Buffer.from('0123456789'));
    proxy.fault = ({ operation, bytes }) => (operation === 'OPEN' && bytes ? { cut: 0 } : undefined);
    await t.rejects(storage.read('raw/d/f'), { code: 'E_STORAGE' });
    await t.rejects(storage.local('raw/d/f'), { code: 'E_STORAGE' });
    proxy.fault = ({ operation, bytes }) => (operation === 'OPEN' && bytes ? { status: 200, body: 'a page of another server' } : undefined);
    await t.rejects(storage.read('raw/d/f', 2, 5), { code: 'E_STORAGE' });
    proxy.fault = () => undefined;
    t.equal((await storage.read('raw/d/f', 2, 5)).toString(), '234');
  });

  t.test('H7: of a file that cannot be read for being left open HDFS is asked to close it, and nothing in it changes', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    await storage.create('raw/d/f', Buffer.from('one\n'));
    const exception = { exception: 'CannotObtainBlockLengthException', message: 'Cannot obtain block length' };
    const answered = faultOnce(proxy, ({ operation, bytes }) => operation === 'OPEN' && bytes, {
      status: 403,
      body: { RemoteException: exception },
    });
    await t.rejects(storage.read('raw/d/f', 0, 4), { code: 'E_STORAGE', message: /CannotObtainBlockLength/ });
    t.ok(answered());
    t.equal(proxy.seen.get('APPEND'), 2, 'an append of nothing, in two steps');
    t.equal((await storage.read('raw/d/f')).toString(), 'one\n');
  });

  t.test('of two NameNodes the one that answers is asked', async (t) => {
    const storage = await open(t, `127.0.0.1:1,${hdfs.address}`);
    await storage.create('views/x', Buffer.from('content'));
    t.equal((await storage.read('views/x')).toString(), 'content');
    const proxy = await startProxy(t, hdfs.ports.namenode.http);
    proxy.fault = () => ({
      status: 403,
      body: { RemoteException: { exception: 'StandbyException', message: 'Operation category READ is not supported in state standby' } },
    });
    const files = new HdfsFiles(new WebHdfs(parseHdfsAddress(`hdfs://127.0.0.1:${proxy.port},${hdfs.address}/?user=tidemark`)), '/tmp');
    await files.makeFolder('/tmp');
    t.ok(await files.name(await files.write(Buffer.from('x')), '/tmp/renamed'), 'a rename too: a standby has not done it');
  });

  // A NameNode without Kerberos passes over tokens: what is shown is that ours is sent, and what follows a refusal.
  t.test('a delegation token goes in place of the user; refused as no longer valid, its file is read again', async (t) => {
    const proxy = await startProxy(t, hdfs.ports.namenode.http);
    const tokenFile = path.join(temporaryFolder(t), 'token');
    writeFileSync(tokenFile, 'first\n');
    const hosts = `127.0.0.1:${proxy.port}`;
    const storage = await openHdfs({
      storage: `hdfs://${hosts}/owned?token-file=${tokenFile}`,
      data: temporaryFolder(t),
      copiesBytesMax: 1,
    });
    t.teardown(() => storage.close());
    await storage.create('views/x', Buffer.from('content'));
    const sent = new Set<string>();
    proxy.fault = ({ bytes, parameters }) => {
      if (bytes) return undefined;
      const token = parameters.get('delegation') ?? 'none';
      sent.add(`${token} ${parameters.get('user.name')}`);
      if (token !== 'first') return undefined;
      return { status: 403, body: { RemoteException: { exception: 'InvalidToken', message: 'token (first) is expired' } } };
    };
    writeFileSync(tokenFile, 'second');
    await t.rejects(storage.read('views/x'), { code: 'E_STORAGE', message: /InvalidToken: token \(first\) is expired/ });
    t.equal((await storage.read('views/x')).toString(), 'content');
    t.same(sent, new Set(['first null', 'second null']));
  });

  t.test('copies: checked, shared by who asks at once, and bounded', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    const content = Buffer.alloc(300_000, 'x');
    await storage.create('views/x', content);
    const named = { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
    const [first, second] = await Promise.all([storage.local('views/x', named), storage.local('views/x', named)]);
    t.equal(first, second);
    t.equal(proxy.seen.get('OPEN'), 2, 'read once, in two steps');
    t.ok(readFileSync(first).equals(content));
    proxy.fault = () => 'lose';
    t.equal(await storage.local('views/x', named), first, 'checked once, it is there while no server is');
    await t.rejects(storage.local('views/x', { ...named, sha256: '0'.repeat(64) }), { code: 'E_STORAGE' });
  });

  t.test('a corrupt block on one DataNode: another replica is read; on all of them: an error, never wrong bytes', async (t) => {
    const storage = await open(t, hdfs.address);
    const content = Buffer.from(`corrupt me ${'0123456789'.repeat(5_000)}`);
    await storage.create('views/x', content);
    const blocks = hdfs.servers.filter((name) => name !== 'namenode').map((name) => blockFileOf(path.join(hdfs.folder, name), content));
    t.ok(blocks.every((block) => block !== undefined));
    const corrupt = (block: string | undefined): void => {
      const bytes = readFileSync(block as string);
      bytes[20_000] = 0x58;
      writeFileSync(block as string, bytes);
    };
    corrupt(blocks[0]);
    for (let i = 0; i < 6; i++) t.ok((await storage.read('views/x')).equals(content));
    if (!everyFault) return; // HDFS looks for a good one for half a minute
    corrupt(blocks[1]);
    corrupt(blocks[2]);
    await t.rejects(storage.read('views/x'), { code: 'E_STORAGE' });
  });
};

/** Minutes, so only with `npm run test:hdfs`: HDFS holds a file for whoever wrote it until he was silent for 60 s. */
const leftOpen = (t: Test, hdfs: Hdfs): void => {
  t.test('H7: a file that is left open because all DataNodes went in an append can be read again after a minute', async (t) => {
    const { storage, proxy } = await openThrough(t, hdfs);
    await storage.create('raw/d/f', Buffer.from('one\n'));
    const datanodes = hdfs.servers.filter((name) => name !== 'namenode');
    faultOnce(proxy, ({ operation, bytes }) => operation === 'APPEND' && bytes, {
      halfway: async () => {
        await until(() => datanodes.every((name) => isWriting(path.join(hdfs.folder, name))) || undefined);
        await Promise.all(datanodes.map((name) => hdfs.end(name, 'SIGKILL')));
      },
    });
    await t.rejects(storage.append('raw/d/f', Buffer.alloc(200_000, 'x'), 4), { code: 'E_APPEND' });
    for (const name of datanodes) await hdfs.start(name);
    const begun = performance.now();
    const refusals = new Set<string>();
    const read = await until(async () => {
      try {
        return (await storage.read('raw/d/f', 0, 4)).toString();
      } catch (error) {
        refusals.add(/\w+Exception/.exec((error as Error).message)?.[0] ?? 'none');
        await sleep(1_000);
        return undefined;
      }
    });
    t.equal(read, 'one\n');
    t.comment(`readable after ${Math.round((performance.now() - begun) / 1000)} s; until then ${[...refusals].join(', ')}`);
    t.ok(refusals.has('CannotObtainBlockLengthException'), 'it was not to be read before');
  });
};

/** Whether a DataNode has bytes of a block that is being written. */
const isWriting = (folder: string): boolean =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).some(
    (entry) => entry.isFile() && /^blk_\d+$/.test(entry.name) && path.basename(entry.parentPath) === 'rbw',
  );

/** Where a DataNode keeps the block that begins as this content does. */
const blockFileOf = (folder: string, content: Buffer): string | undefined =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /^blk_\d+$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .find((file) => {
      try {
        return readFileSync(file).subarray(0, 11).equals(content.subarray(0, 11));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false; // a block of a file that was removed goes when it goes
        throw error;
      }
    });

const jars = await jarsOrSkip(t);
if (jars !== undefined) {
  const hdfs = await startTestHdfs(t, { jars });
  storageContract(t, (t) => open(t, hdfs.address), { filesAtOnce: 8 }); // none is held open
  faults(t, hdfs);
  if (everyFault) leftOpen(t, hdfs);
}
