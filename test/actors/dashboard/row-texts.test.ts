import fc from 'fast-check';
import t from 'tap';
import { RowTexts } from '../../../actors/dashboard/row-texts.js';
import { answerWriter } from '../../../actors/merger/answer-writer.js';
import { type KeyedRow, minuteMs, toViewRow } from '../../../protocol/minute-row.js';
import { minute, rowOf } from './served.js';

const terms = { batch: null, cut: [], position: [], newest: null, missing: 0, refused: 0, late: 0 };
const written = (rows: readonly KeyedRow[]): string =>
  rows.map(({ service, minute: at, row }) => JSON.stringify(toViewRow(service, at, row))).join(',');

/** One chunk, as the merger writes it. */
const blocksOf = (rows: readonly KeyedRow[]): Uint8Array => {
  const writer = answerWriter('blocks');
  let naming: string | undefined;
  for (const { service, minute: at, row } of rows) {
    if (service !== naming) writer.service(service);
    naming = service;
    writer.row(at, row);
  }
  return writer.bodies(terms)[0] as Uint8Array;
};

const textOf = (texts: RowTexts, rows: readonly KeyedRow[], step: 'minute' | 'hour'): string =>
  Buffer.concat(texts.piecesOf(blocksOf(rows), step)).toString();

const rowsOf = (choices: readonly (readonly [service: number, minutes: number, cpu: number])[]): KeyedRow[] => {
  const rows = new Map(
    choices.map(([service, minutes, cpu]): [string, KeyedRow] => {
      const name = ['web', 'db', '__proto__', 'a"b'][service] as string;
      return [`${name} ${minutes}`, rowOf(name, minute + minutes * minuteMs, cpu / 7)];
    }),
  );
  return [...rows.values()].sort((a, b) => (a.service < b.service ? -1 : a.service > b.service ? 1 : a.minute - b.minute));
};

t.test('D8: rows from what is kept are the text that writing them anew gives', (t) => {
  const some = fc.array(fc.tuple(fc.nat(3), fc.nat(300), fc.nat(3)), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(fc.array(some, { minLength: 1, maxLength: 6 }), fc.constantFrom('minute' as const, 'hour' as const), (questions, step) => {
      const texts = new RowTexts(20_000);
      for (const choices of questions) {
        const rows = rowsOf(choices);
        if (textOf(texts, rows, step) !== written(rows)) return false;
      }
      return true;
    }),
  );
  t.end();
});

t.test('a day is written once; where one row changes its hour is written anew', (t) => {
  const texts = new RowTexts(10_000_000);
  const day = Array.from({ length: 1_440 }, (_, i) => rowOf('web', Date.UTC(2026, 10, 23) + i * minuteMs, i % 100));
  textOf(texts, day, 'minute');
  t.same(texts.counts, { used: 0, made: 24 });
  const changed = day.map((row, i) => (i === 700 ? rowOf('web', row.minute, 1, 2) : row));
  t.equal(textOf(texts, changed, 'minute'), written(changed));
  t.same(texts.counts, { used: 23, made: 25 });
  const small = new RowTexts(1_000);
  textOf(small, day, 'minute');
  t.equal(textOf(small, day, 'minute'), written(day), 'with little room too');
  t.end();
});
