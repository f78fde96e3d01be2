/** Cleaning up as the rules forbid it: each only while its rule is switched off. */
import { readBatchReady, readManifest, readPartStored, readRawStored } from '../../protocol/messages/readers.js';
import type { Simulation } from './simulation.js';

export const sweepWrongly = (simulation: Simulation): void => {
  const { random, files, server } = simulation;
  const rule = simulation.options.without;
  if ((rule !== 'U2' && rule !== 'S4' && rule !== 'W2 orphan') || random.next() > 0.02) return;
  const stored = server.log('STORED').messages;
  if (rule === 'U2') {
    const named = new Map<string, number>();
    for (const { subject, body } of stored) {
      if (subject.startsWith('raw.')) for (const { path, toByte } of readRawStored(body).files) named.set(path, toByte);
    }
    for (const [path, bytes] of files.byPath) if (path.startsWith('raw/')) files.byPath.set(path, bytes.subarray(0, named.get(path) ?? 0));
  }
  if (rule === 'W2 orphan') {
    const named = new Set(stored.filter(({ subject }) => subject.startsWith('part.')).map(({ body }) => readPartStored(body).file?.path));
    for (const path of files.list('views/realtime')) if (!named.has(path)) files.byPath.delete(path);
  }
  if (rule === 'S4') {
    const ready = server.log('BATCH').lastOn('batch.ready');
    const manifest = ready && files.byPath.get(readBatchReady(ready.body).manifest.path);
    const kept = new Set(manifest === undefined ? [] : readManifest(manifest).files.map(({ path }) => path));
    for (const path of files.list('views/batch')) if (path.endsWith('.parquet') && !kept.has(path)) files.byPath.delete(path);
  }
};
