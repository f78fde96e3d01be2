/** The contract of storage: every home of it must pass. */
import { createHash } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { FileExistsError, RetryableError } from '../../../infra/errors.js';
import type { Storage } from '../../../infra/storage/storage.js';

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

const collect = async (chunks: AsyncIterable<Buffer>): Promise<string> => {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString('utf8');
};

/**
 * Runs the whole contract, each test on a storage of its own that `open` gives.
 * @param filesAtOnce more than this home holds open for appending
 */
export const storageContract = (t: Test, open: (t: Test) => Promise<Storage>, { filesAtOnce = 80 } = {}): void => {
  t.test('create: the file is there, whole', async (t) => {
    const storage = await open(t);
    await storage.create('raw/2026-11-23/0-000000000000-a.ndjson', bytes('one\n'));
    t.equal((await storage.read('raw/2026-11-23/0-000000000000-a.ndjson')).toString(), 'one\n');
    t.equal(await storage.length('raw/2026-11-23/0-000000000000-a.ndjson'), 4);
    await storage.create('empty', bytes(''));
    t.equal(await storage.length('empty'), 0);
  });

  t.test('create: what is there stays', async (t) => {
    const storage = await open(t);
    await storage.create('views/x', bytes('first'));
    await t.rejects(storage.create('views/x', bytes('second')), { code: 'E_FILE_EXISTS' });
    t.equal((await storage.read('views/x')).toString(), 'first');
  });

  t.test('create: of eight at once one wins', async (t) => {
    const storage = await open(t);
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => storage.create('views/raced/x', bytes(`writer ${i}`))));
    const winners = outcomes.flatMap((outcome, i) => (outcome.status === 'fulfilled' ? [i] : []));
    t.equal(winners.length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') t.type(outcome.reason, FileExistsError);
    }
    t.equal((await storage.read('views/raced/x')).toString(), `writer ${winners[0]}`);
  });

  t.test('append: goes on where the file ends', async (t) => {
    const storage = await open(t);
    await storage.create('raw/d/f', bytes('one\n'));
    await storage.append('raw/d/f', bytes('two\n'), 4);
    await storage.append('raw/d/f', bytes('three\n'), 8);
    t.equal((await storage.read('raw/d/f')).toString(), 'one\ntwo\nthree\n');
  });

  t.test('U3: append refuses a file of another length, and leaves it as it is', async (t) => {
    const storage = await open(t);
    await storage.create('raw/d/f', bytes('one\n'));
    await t.rejects(storage.append('raw/d/f', bytes('two\n'), 3), { code: 'E_APPEND' });
    await t.rejects(storage.append('raw/d/f', bytes('two\n'), 5), { code: 'E_APPEND' });
    t.equal((await storage.read('raw/d/f')).toString(), 'one\n');
  });

  t.test('U3: append never makes a file', async (t) => {
    const storage = await open(t);
    await storage.create('raw/d/other', bytes('one\n'));
    await t.rejects(storage.append('raw/d/none', bytes('two\n'), 0), { code: 'E_APPEND' });
    t.equal(await storage.length('raw/d/none'), undefined);
  });

  t.test('U3: append notices that its file was replaced or removed since the last append', async (t) => {
    const storage = await open(t);
    await storage.create('raw/d/f', bytes('one\n'));
    await storage.append('raw/d/f', bytes('two\n'), 4);
    await storage.remove('raw/d/f');
    await t.rejects(storage.append('raw/d/f', bytes('three\n'), 8), { code: 'E_APPEND' });
    await storage.create('raw/d/g', bytes('one\n'));
    await storage.append('raw/d/g', bytes('two\n'), 4);
    await storage.replace('raw/d/g', bytes('ONE\nTWO\n'));
    await storage.append('raw/d/g', bytes('three\n'), 8).catch((error: unknown) => t.type(error, RetryableError));
    t.match((await storage.read('raw/d/g')).toString(), /^ONE\nTWO\n/);
  });

  t.test('append: many files in turn, more than are held open', async (t) => {
    const storage = await open(t);
    const paths = Array.from({ length: filesAtOnce }, (_, i) => `raw/d/f${i}`);
    for (const path of paths) await storage.create(path, bytes('a'));
    for (let length = 1; length < 4; length++) {
      for (const path of paths) await storage.append(path, bytes('b'), length);
    }
    for (const path of paths) t.equal((await storage.read(path)).toString(), 'abbb');
  });

  t.test('adopt: the local file becomes the stored one, named with length and sha256', async (t) => {
    const storage = await open(t);
    const made = join(storage.workFolder, 'made.parquet');
    await writeFile(made, 'content');
    t.strictSame(await storage.adopt(made, 'views/batch/web/2026-11.000001.parquet'), {
      path: 'views/batch/web/2026-11.000001.parquet',
      bytes: 7,
      sha256: sha256('content'),
      existed: false,
    });
    await t.rejects(stat(made), { code: 'ENOENT' });
    t.equal((await storage.read('views/batch/web/2026-11.000001.parquet')).toString(), 'content');
  });

  t.test('S3: adopt never replaces an output; it reports what is there', async (t) => {
    const storage = await open(t);
    await storage.create('minutes/000001/3.parquet', bytes('first'));
    const made = join(storage.workFolder, 'again.parquet');
    await writeFile(made, 'second, slower');
    t.strictSame(await storage.adopt(made, 'minutes/000001/3.parquet'), {
      path: 'minutes/000001/3.parquet',
      bytes: 5,
      sha256: sha256('first'),
      existed: true,
    });
    await t.rejects(stat(made), { code: 'ENOENT' });
    t.equal((await storage.read('minutes/000001/3.parquet')).toString(), 'first');
  });

  t.test('replace: who reads meanwhile has the content of before or after, whole', async (t) => {
    const storage = await open(t);
    const contents = [bytes('short'), bytes('long '.repeat(20_000))];
    const known = contents.map((content) => content.toString());
    await storage.replace('views/batch/latest.json', contents[0] as Uint8Array);
    let isReplacing = true;
    const replacing = (async () => {
      for (let i = 1; i < 30; i++) await storage.replace('views/batch/latest.json', contents[i % 2] as Uint8Array);
    })().finally(() => {
      isReplacing = false;
    });
    let torn = 0;
    while (isReplacing) {
      const read = await storage.read('views/batch/latest.json').catch((error: unknown) => {
        if (error instanceof RetryableError) return contents[0] as Buffer; // replaced too often: it says so
        throw error;
      });
      if (!known.includes(read.toString())) torn += 1;
    }
    await replacing;
    t.equal(torn, 0);
  });

  t.test('replace: the new content in one step, whether or not there was one', async (t) => {
    const storage = await open(t);
    await storage.replace('views/batch/latest.json', bytes('{"batch":"000001"}'));
    await storage.replace('views/batch/latest.json', bytes('{}'));
    t.equal((await storage.read('views/batch/latest.json')).toString(), '{}');
    t.strictSame(await storage.list('views/batch'), ['views/batch/latest.json']);
  });

  t.test('read and stream: a range of bytes, from included, to excluded', async (t) => {
    const storage = await open(t);
    await storage.create('raw/d/f', bytes('0123456789'));
    for (const [from, to, text] of [
      [0, 10, '0123456789'],
      [3, 7, '3456'],
      [3, undefined, '3456789'],
      [9, 10, '9'],
      [4, 4, ''],
      [8, 20, '89'],
      [0, 0, ''],
    ] as const) {
      t.equal((await storage.read('raw/d/f', from, to)).toString(), text, `read ${from} to ${to}`);
      t.equal(await collect(storage.stream('raw/d/f', from, to)), text, `stream ${from} to ${to}`);
    }
    const large = 'x'.repeat(1_000_000);
    await storage.create('raw/d/large', bytes(large));
    t.equal(await collect(storage.stream('raw/d/large')), large);
  });

  t.test('what is missing is said to be missing', async (t) => {
    const storage = await open(t);
    await t.rejects(storage.read('none'), { code: 'E_FILE_MISSING' });
    await t.rejects(storage.read('none', 1, 2), { code: 'E_FILE_MISSING' });
    await t.rejects(collect(storage.stream('none/at/all')), { code: 'E_FILE_MISSING' });
    await t.rejects(collect(storage.stream('none', 3, 3)), { code: 'E_FILE_MISSING' });
    await t.rejects(storage.local('none'), { code: 'E_FILE_MISSING' });
    await t.rejects(storage.local('none', { bytes: 0, sha256: sha256('') }), { code: 'E_FILE_MISSING' });
    await t.rejects(storage.adopt(join(storage.workFolder, 'none'), 'x'), { code: 'E_FILE_MISSING' });
    t.equal(await storage.length('none'), undefined);
    t.strictSame(await storage.list('none'), []);
    await storage.remove('none/at/all');
  });

  t.test('local: the content under a local path; other content than was named is a broken promise', async (t) => {
    const storage = await open(t);
    await storage.create('views/x', bytes('content'));
    t.equal((await readFile(await storage.local('views/x'))).toString(), 'content');
    const right = { bytes: 7, sha256: sha256('content') };
    t.equal((await readFile(await storage.local('views/x', right))).toString(), 'content');
    await storage.local('views/x', right);
    await t.rejects(storage.local('views/x', { ...right, bytes: 8 }), { code: 'E_PROMISE' });
    await t.rejects(storage.local('views/x', { ...right, sha256: sha256('Content') }), { code: 'E_PROMISE' });
  });

  t.test('list: every file below a folder, sorted; none of another', async (t) => {
    const storage = await open(t);
    for (const path of ['raw/b/2', 'raw/a/1', 'raw/a/0', 'rawer/x', 'raw/%2E%2E/z']) await storage.create(path, bytes('.'));
    t.strictSame(await storage.list('raw'), ['raw/%2E%2E/z', 'raw/a/0', 'raw/a/1', 'raw/b/2']);
    t.strictSame(await storage.list('raw/a'), ['raw/a/0', 'raw/a/1']);
  });

  t.test('remove: the file is gone, its neighbours stay, and its folder can be used again', async (t) => {
    const storage = await open(t);
    await storage.create('minutes/1/a', bytes('a'));
    await storage.create('minutes/1/b', bytes('b'));
    await storage.remove('minutes/1/a');
    await storage.remove('minutes/1/a');
    t.strictSame(await storage.list('minutes'), ['minutes/1/b']);
    await storage.remove('minutes/1/b');
    t.strictSame(await storage.list('minutes'), []);
    await storage.create('minutes/1/a', bytes('again'));
    t.equal((await storage.read('minutes/1/a')).toString(), 'again');
  });

  t.test('create and remove in one folder at once: nothing is lost', async (t) => {
    const storage = await open(t);
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        await storage.create(`minutes/2/${i}`, bytes(String(i)));
        if (i % 2 === 0) await storage.remove(`minutes/2/${i}`);
      }),
    );
    t.equal((await storage.list('minutes/2')).length, 20);
  });

  t.test('paths that lead out, or are none, are refused', async (t) => {
    const storage = await open(t);
    for (const path of [
      '',
      '/',
      '/etc/passwd',
      '..',
      '../up',
      'raw/../../up',
      'raw//x',
      'raw/',
      './x',
      'a/.',
      'a\\b',
      'a\0b',
      '.x',
      'raw/ü',
    ]) {
      await t.rejects(storage.create(path, bytes('x')), { code: 'E_USAGE' }, `create ${JSON.stringify(path)}`);
      await t.rejects(storage.read(path), { code: 'E_USAGE' });
      await t.rejects(storage.append(path, bytes('x'), 0), { code: 'E_USAGE' });
      await t.rejects(storage.replace(path, bytes('x')), { code: 'E_USAGE' });
      await t.rejects(storage.remove(path), { code: 'E_USAGE' });
      await t.rejects(storage.list(path), { code: 'E_USAGE' });
      await t.rejects(storage.local(path), { code: 'E_USAGE' });
      await t.rejects(storage.length(path), { code: 'E_USAGE' });
      await t.rejects(collect(storage.stream(path)), { code: 'E_USAGE' });
      await t.rejects(storage.adopt(join(storage.workFolder, 'x'), path), { code: 'E_USAGE' });
    }
  });
};
