import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { type LocalStorage, openLocalStorage } from '../../../infra/storage/local.js';
import { partitionOf } from '../../../protocol/name-code.js';
import { recordLine } from '../../../protocol/reading.js';
import { choosePartitions } from '../../../scripts/recover/partitions.js';
import { offsetOf, readRawLine } from '../../../scripts/recover/raw-line.js';
import { type Dropped, mergeRuns, overlapOf } from '../../../scripts/recover/raw-records.js';
import { listRawFiles, type RawScan, scanRawFiles } from '../../../scripts/recover/raw-runs.js';
import { temporaryFolder } from '../../servers.js';

const line = (offset: number, cpu = offset % 100, subject?: string, n = offset + 1): string =>
  recordLine(
    offset,
    {
      service: 'web',
      host: 'h1',
      at: Date.UTC(2026, 10, 2) + offset,
      cpu: cpu * 1e6,
      ram: 1,
      disk: 2,
      ...(subject ? { agent: 'a', n } : {}),
    },
    Date.UTC(2026, 10, 3),
    subject,
  );

/** Files by date and name, as texts. */
const filled = async (t: Test, files: Readonly<Record<string, string>>): Promise<LocalStorage> => {
  const data = temporaryFolder(t);
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(data, 'raw', name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  const storage = await openLocalStorage(data);
  t.teardown(() => storage.close());
  return storage;
};

const scanned = async (storage: LocalStorage): Promise<RawScan> => scanRawFiles(storage, await listRawFiles(storage));

const merged = async (storage: LocalStorage, { runs }: RawScan): Promise<{ contents: string[]; offsets: number[]; dropped: Dropped }> => {
  const dropped: Dropped = { doubles: 0, conflicts: 0 };
  const offsets: number[] = [];
  const contents: string[] = [];
  for await (const records of mergeRuns(storage, runs, dropped)) {
    offsets.push(...records.map(({ offset }) => offset));
    contents.push(...records.map(({ content }) => content));
  }
  return { offsets, contents, dropped };
};

t.test('a line is read as the record that wrote it, and whatever is cut off or is no record is none', async (t) => {
  const whole = line(7, 3, 'metrics.web.h1', 12);
  t.match(readRawLine(whole), { offset: 7, subject: 'metrics.web.h1', reading: { service: 'web', cpu: 3_000_000, agent: 'a', n: 12 } });
  t.equal(recordLine(7, readRawLine(whole)?.reading as never, Date.UTC(2026, 10, 3), 'metrics.web.h1'), whole, 'and writes it again');
  for (let to = 0; to < whole.length; to++) t.equal(readRawLine(whole.slice(0, to)), undefined);
  const without = (name: string): string => {
    const { [name]: _, ...fields } = JSON.parse(whole) as Record<string, unknown>;
    return JSON.stringify(fields);
  };
  for (const name of ['offset', 'service', 'host', 'timestamp', 'cpu', 'ram', 'disk', 'received', 'agent', 'n'])
    t.equal(readRawLine(without(name)), undefined, name);
  t.ok(readRawLine(without('subject')), 'who has no identity has no subject');
  t.equal(offsetOf('{"offset":-1,"service":"web"}'), -1);
});

t.test('K2: each offset comes once, in order, whatever is doubled, torn or strange', async (t) => {
  const storage = await filled(t, {
    '2026-11-01/0-000000000000-aaaa.ndjson': `${[0, 1, 4].map((o) => line(o)).join('\n')}\n${line(0)}\n${line(1)}\n${line(6).slice(0, 40)}`,
    '2026-11-02/0-000000000002-bbbb.ndjson': `${[2, 3, 5].map((o) => line(o)).join('\n')}\nnot a line\n${line(6)}\n`,
    '2026-11-02/0-000000000005-cccc.ndjson': `${line(5, 77)}\n${line(7)}`,
    '2026-11-02/1-000000000000-dddd.ndjson': `${line(0)}\n`,
    '2026-11-02/notes.txt': 'somebody wrote this',
  });
  const scan = await scanned(storage);
  t.match(scan, { files: 4, records: 12, torn: 1, unreadable: 1, partitionMax: 1 });
  t.match(scan.examples, [/0-000000000002-bbbb\.ndjson at byte \d+: not a line/]);
  const ofFirst = { ...scan, runs: scan.runs.filter(({ partition }) => partition === 0) };
  const { offsets, contents, dropped } = await merged(storage, ofFirst);
  t.same(offsets, [0, 1, 2, 3, 4, 5, 6, 7]);
  t.same(dropped, { doubles: 2, conflicts: 1 });
  t.match(contents[5], /"cpu":77,/, 'of two that differ the one in the newest file stays');
  t.equal(overlapOf(ofFirst.runs), 2);
});

t.test('K2: as a count by brute force, for any files', async () => {
  const runOf = fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { maxLength: 60 }).map((offsets) => offsets.sort((a, b) => a - b));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), runOf), { maxLength: 12 }), async (parts) => {
      const texts: Record<string, string> = {};
      for (const [file, offsets] of parts) {
        const name = `2026-11-0${file + 1}/0-00000000000${file}-ab.ndjson`;
        texts[name] = `${texts[name] ?? ''}${offsets.map((o) => `${line(o)}\n`).join('')}`;
      }
      const bytes = new Map(Object.entries(texts).map(([name, text]) => [`raw/${name}`, Buffer.from(text)]));
      const memory = {
        list: async () => [...bytes.keys()].sort(),
        read: async (at: string, from = 0, to = Number.POSITIVE_INFINITY) => (bytes.get(at) as Buffer).subarray(from, to),
        stream: async function* (at: string) {
          const all = bytes.get(at) as Buffer;
          for (let from = 0; from < all.length; from += 1_000) yield all.subarray(from, from + 1_000);
        },
      };
      const { runs, records } = await scanRawFiles(memory, await listRawFiles(memory));
      const dropped: Dropped = { doubles: 0, conflicts: 0 };
      const offsets: number[] = [];
      for await (const some of mergeRuns(memory, runs, dropped)) offsets.push(...some.map(({ offset }) => offset));
      const all = parts.flatMap(([, some]) => some);
      const expected = [...new Set(all)].sort((a, b) => a - b);
      return records === all.length && dropped.doubles === all.length - expected.length && offsets.join() === expected.join();
    }),
    { numRuns: 200 },
  );
});

t.test('the number of partitions: as asked, else as many as the data had', async (t) => {
  const subjects = Array.from({ length: 12 }, (_, i) => `metrics.web.h${i}`);
  const files: Record<string, string> = {};
  subjects.forEach((subject, i) => {
    const name = `2026-11-02/${partitionOf(subject, 3)}-00000000000${i % 10}-${'abcdefghijkl'[i]}.ndjson`;
    files[name] = `${line(i, 1, subject)}\n`;
  });
  const scan = await scanned(await filled(t, files));
  const hints = { asked: undefined, logs: 0, cut: undefined, byDefault: 4 };
  t.equal(choosePartitions(scan, hints), 3, 'the sources say so');
  t.equal(choosePartitions(scan, { ...hints, asked: 7 }), 7);
  t.equal(choosePartitions(scan, { ...hints, cut: [1, 2] }), 3, 'a wrong hint is passed over');
  t.equal(choosePartitions({ partitionsPossible: [4, 5, 6], partitionMax: 3 }, { ...hints, logs: 6 }), 6);
  t.equal(choosePartitions({ partitionsPossible: [5, 6], partitionMax: 3 }, { ...hints, cut: [1, 1, 1, 1, 1, 1] }), 6);
  t.equal(choosePartitions({ partitionsPossible: [], partitionMax: 6 }, hints), 7, 'nothing fits: as many as there are files of');
});
