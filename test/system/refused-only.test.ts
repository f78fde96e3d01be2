import { connect } from '@nats-io/transport-node';
import t from 'tap';
import { segmentsStream } from '../../infra/bus/streams.js';
import { readPlaceStored } from '../../protocol/messages/readers.js';
import { startSystem } from './system.js';

t.test('W3: where only refused readings come, SEGMENTS is purged all the same, and a restart forgets none of them', async (t) => {
  const system = await startSystem(t, {
    partitions: '1',
    partEvery: '200ms',
    purgeEvery: '200ms',
    segmentsKeep: '500ms',
    snapshotEvery: '300ms',
  });
  const nc = await connect({ servers: system.nats.url });
  t.teardown(() => nc.close());
  await system.rows(); // everybody is there
  let refused = 0;
  const refuse = async (): Promise<void> => {
    nc.publish('metrics.gateway', '{"service":');
    refused += 1;
    await nc.flush();
  };
  const placeAt = async (): Promise<number> => {
    const last = await system.bus.last('STORED', 'place.stored.0');
    return last === undefined ? 0 : readPlaceStored(last.body).segments.sequence;
  };
  const until = async (isSo: () => Promise<boolean>): Promise<void> => {
    while (!(await isSo())) {
      await refuse();
      await new Promise((resolve) => {
        setTimeout(resolve, 100);
      });
    }
  };
  await until(async () => (await placeAt()) >= 3);
  await system.stop();
  system.start();
  await system.rows();
  // The commit of nothing comes half a minute after the last one at the earliest: the first one is due at once.
  await until(async () => (await system.bus.extent(segmentsStream(0))).first > 2);
  nc.publish('metrics.gateway', JSON.stringify({ service: 'web', timestamp: Date.now(), cpu: 1, ram: 2, disk: 3 }));
  await nc.flush();
  const { terms, rows } = await system.rows([1]);
  t.equal(rows.length, 1);
  t.equal(terms.refused, refused);
  const proved = await system.batch();
  t.match(proved, { cut: [1], records: 1, differences: 0 });
  let after = await system.rows();
  while (after.terms.batch === null) after = await system.rows(); // it is proved, and taken over in a moment
  t.equal(after.terms.refused, refused);
});
