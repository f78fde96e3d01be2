import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { LocalCopies } from '../../../../infra/storage/hdfs/local-copies.js';
import { temporaryFolder } from '../../../servers.js';

const graceMs = 600_000;

t.test('past its bound the copies that were used longest ago go; what was handed out a moment ago stays', async (t) => {
  const folder = temporaryFolder(t);
  let now = 0;
  const copies = new LocalCopies(250, () => now);
  const makes: string[] = [];
  const get = (name: string): Promise<string> =>
    copies.get(name, async () => {
      const file = path.join(folder, `${name}-${makes.length}`);
      writeFileSync(file, 'x'.repeat(100));
      makes.push(name);
      return { file, bytes: 100 };
    });
  const [a, b] = [await get('a'), await get('b')];
  const c = await get('c');
  t.equal(copies.bytes, 300);
  t.ok(existsSync(a), 'somebody may be about to open it');
  now = graceMs + 1;
  t.equal(await get('a'), a, 'as it is');
  t.notOk(existsSync(b), 'of the others the one used longest ago is gone');
  t.ok(existsSync(c));
  t.equal(copies.bytes, 200);
  t.not(await get('b'), b, 'made again');
  t.same(makes, ['a', 'b', 'c', 'b']);
});

t.test('who asks for one that is being made waits for it; one that could not be made is tried again', async (t) => {
  const copies = new LocalCopies(1_000);
  let made = 0;
  const make = async (): Promise<{ file: string; bytes: number }> => {
    made += 1;
    if (made === 1) throw new RangeError('no');
    return { file: '/nowhere', bytes: 10 };
  };
  await t.rejects(copies.get('a', make), RangeError);
  const found = await Promise.all([copies.get('a', make), copies.get('a', make), copies.get('a', make)]);
  t.same(new Set(found), new Set(['/nowhere']));
  t.equal(made, 2);
  t.equal(copies.bytes, 10);
});
