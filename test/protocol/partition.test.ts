import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import fc from 'fast-check';
import t from 'tap';
import { encodeName, partitionOf, publishedSubject } from '../../protocol/name-code.js';
import { startNats } from '../servers.js';

t.test("a subject's partition is the one that nats-server gives it", async (t) => {
  const server = await startNats(t);
  const connection = await connect({ servers: server.url });
  const streams = await jetstreamManager(connection);
  const logs = jetstream(connection);
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 80 });
  for (const partitions of [1, 3, 4, 7]) {
    const dest = `metrics.{{partition(${partitions})}}.>`;
    await streams.streams.add({ name: 'M', subjects: ['metrics.>'], subject_transform: { src: 'metrics.>', dest } });
    await fc.assert(
      fc.asyncProperty(name, fc.option(name), async (service, host) => {
        const published = ['metrics', service, ...(host === null ? [] : [host])]
          .map((token, i) => (i === 0 ? token : encodeName(token)))
          .join('.');
        const { seq } = await logs.publish(published, '');
        const stored = publishedSubject((await streams.streams.getMessage('M', { seq }))?.subject ?? '');
        return stored?.published === published && stored.partition === partitionOf(published, partitions);
      }),
      { numRuns: 50 },
    );
    await streams.streams.delete('M');
  }
  await connection.close();
});
