import t from 'tap';
import { addReading, headOf, isFull, noteTaken, openSegment, recordsIn } from '../../../actors/buffer/open-segment.js';
import {
  emptyTable,
  entryOf,
  fromSnapshot,
  missingBytesMax,
  setMissing,
  take,
  takeAgain,
  takeMissingChanges,
  toSnapshot,
} from '../../../actors/buffer/source-table.js';
import { segmentBytesMax } from '../../../infra/bus/streams.js';
import { readSegmentHead } from '../../../protocol/messages/readers.js';
import { encodeName } from '../../../protocol/name-code.js';
import { encodeSegment } from '../../../protocol/segment.js';

const at = Date.UTC(2026, 10, 23, 10, 15);
const place = { sequence: Number.MAX_SAFE_INTEGER, received: at, lines: 100_000 };

/** 200 bytes, and six times as many in JSON. */
const worstName = (i: number): string => String(i).padStart(8, '0') + '\u0001'.repeat(192);

t.test('a segment that is full fits into a message, whatever its names, sources, refused and missing are', (t) => {
  const kinds: Record<string, (i: number) => string> = {
    'worst names': worstName,
    'short names': (i) => `s${i}`,
    quotes: (i) => '"'.repeat(190) + i,
  };
  for (const [what, name] of Object.entries(kinds)) {
    const table = emptyTable();
    const open = openSegment(9e15);
    for (let i = 0; !isFull(open); i++) {
      const subject = `metrics.${encodeName(name(i))}.${encodeName(name(i))}`;
      for (const agent of [name(i), `${name(i)}b`.slice(0, 200)]) {
        const entry = entryOf(table, subject, agent, at);
        take(table, entry, 9e15, 9e15 + 1);
        noteTaken(open, entry, 9e15, 9e15 + 1);
      }
      const reading = {
        service: name(i),
        host: name(i),
        at,
        cpu: 9_999_999_999,
        ram: 9_999_999_999,
        disk: 9_999_999_999,
        agent: name(i),
        n: 9e15,
      };
      if (i % 3 < 2) addReading(open, reading, at, subject);
      else open.refused.add(name(i), 'agent not a text of 1 to 200 bytes', 1);
    }
    const head = headOf(open, 3, place, takeMissingChanges(table));
    const body = encodeSegment(head, open.lines, open.numbers);
    t.ok(body.byteLength + 300 <= segmentBytesMax, `${what}: ${recordsIn(open)} records, ${body.byteLength} bytes`);
    t.ok(body.byteLength > segmentBytesMax * 0.6, 'and it is no waste');
    t.same(readSegmentHead(body.subarray(0, body.indexOf(10))).to, head.to);
  }
  t.end();
});

t.test('B4: missing by service stays below a size, its sum is right, and a replay and a snapshot give the same', (t) => {
  const table = emptyTable();
  const again = emptyTable();
  const sum = (): number => [...table.missing.values()].reduce((all, count) => all + count, 0);
  const names = Array.from({ length: 3_000 }, (_, i) => (i % 5 === 0 ? worstName(i) : `service ${i}`));
  const seal = (changes: readonly (readonly [name: string, from: number, to: number])[]): void => {
    for (const [name, from, to] of changes) take(table, entryOf(table, `metrics.${encodeName(name)}.h`, 'a', at), from, to);
    const missing = takeMissingChanges(table);
    t.ok(Buffer.byteLength(JSON.stringify(missing)) <= missingBytesMax + 40);
    // The head names sources in another order than their holes came.
    for (const [name, from, to] of [...changes].reverse()) takeAgain(entryOf(again, `metrics.${encodeName(name)}.h`, 'a', at), from, to);
    for (const [name, count] of Object.entries(missing)) setMissing(again, name, count);
  };
  for (let from = 0; from < names.length; from += 500) seal(names.slice(from, from + 500).map((name) => [name, 3, 4]));
  t.equal(sum(), 6_000);
  t.ok((table.missing.get('') ?? 0) > 0, 'not all have room');
  seal(names.map((name) => [name, 1, 2]));
  t.equal(sum(), 3_000);
  t.same(again.missing, table.missing, 'replayed');
  const loaded = fromSnapshot(toSnapshot(again, 0));
  for (const one of [table, again, loaded]) {
    for (const name of names) take(one, entryOf(one, `metrics.${encodeName(name)}.h`, 'a', at), 2, 3);
    t.ok(
      [...one.missing.values()].every((count) => count === 0),
      'every hole is filled where it was counted',
    );
  }
  t.end();
});
