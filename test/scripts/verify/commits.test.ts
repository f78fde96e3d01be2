import t from 'tap';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import type { Storage } from '../../../infra/storage/storage.js';
import type { Manifest } from '../../../protocol/messages/batch.js';
import { noChain } from '../../../protocol/messages/segment-sealed.js';
import { movedOn, readCommits } from '../../../scripts/verify/commits.js';
import { Findings } from '../../../scripts/verify/findings.js';
import { startNats } from '../../servers.js';

t.test('commits that are purged while they are read are no difference: the count begins again', async (t) => {
  const nats = await startNats(t);
  await ensureStreams({ nats: nats.url, partitions: 1, metricsBytesMax: 2 ** 24, segmentsBytesMax: 2 ** 24 });
  const bus = await openBus({ nats: nats.url }, 'test');
  t.teardown(() => bus.close());
  const segments = { sequence: 1, chain: noChain };
  let last = 0;
  for (const [from, to] of [
    [0, 5],
    [5, 9],
  ]) {
    last = await bus.publish('raw.stored.0', JSON.stringify({ partition: 0, from, to, files: [], segments }), { expectedLast: last });
  }
  const read = async (purgedBelow: number | undefined): Promise<{ commits: number; differences: number }> => {
    // Between the look at where STORED begins and its reading stands the index file, which is empty here.
    const storage = {
      read: async () => {
        if (purgedBelow !== undefined) await bus.purge('STORED', 'raw.stored.0', purgedBelow);
        return Buffer.alloc(0);
      },
    } as Partial<Storage> as Storage;
    const index = { path: 'views/batch/000001.commits.ndjson', bytes: 0, sha256: '', from: [0], to: [0] };
    const manifest = { indexes: [index] } as Partial<Manifest> as Manifest;
    const findings = new Findings();
    let commits = 0;
    for await (const _ of readCommits({ bus, storage }, { manifest, committed: [9], storedTo: last, findings })) commits += 1;
    return { commits, differences: findings.differences };
  };
  t.same(await read(undefined), { commits: 2, differences: 0 });
  await t.rejects(read(2), { code: movedOn });
  t.same(await read(undefined), { commits: 1, differences: 1 }, 'a commit that is in neither is a difference');
});
