import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { decodeName, encodeName, parseSubject, partitionOf, publishedSubject, serviceBucket } from '../../protocol/name-code.js';

const names = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: fc.constantFrom('a', 'ö', '€', '😀', '.', '%'), minLength: 20, maxLength: 200 }),
);

t.test('a code holds only what may stand in a subject, a path and a URL, and at most 200 of it', (t) => {
  fc.assert(
    fc.property(names, (name) => {
      const code = encodeName(name);
      return /^[A-Za-z0-9_%-]*$/.test(code) && code.length <= 200 && !/%(?![0-9A-F]{2})/.test(code);
    }),
  );
  t.end();
});

t.test('a name comes back from its code, or the code was cut', (t) => {
  fc.assert(
    fc.property(names, (name) => {
      const plain = encodeURIComponent(name).replace(/[!'()*.~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
      const code = encodeName(name);
      return plain.length <= 200 ? code === plain && decodeName(code) === name : code !== plain && decodeName(code) === undefined;
    }),
  );
  t.end();
});

t.test('two names never have one code', (t) => {
  fc.assert(fc.property(names, names, (a, b) => a === b || encodeName(a) !== encodeName(b)));
  t.end();
});

t.test('codes that are known', (t) => {
  for (const [name, code] of [
    ['web', 'web'],
    ['Ticketing Service', 'Ticketing%20Service'],
    ['__proto__', '__proto__'],
    ['../up', '%2E%2E%2Fup'],
    ['a.b.c', 'a%2Eb%2Ec'],
    ['x.>', 'x%2E%3E'],
    ['*', '%2A'],
    ['ü', '%C3%BC'],
    ['€', '%E2%82%AC'],
    ['😀', '%F0%9F%98%80'],
    ['a%2Eb', 'a%252Eb'],
    ['\0\n', '%00%0A'],
    ['', ''],
    ['x'.repeat(200), 'x'.repeat(200)],
    ['é', '%C3%A9'],
    ['e\u0301', 'e%CC%81'],
  ] as const) {
    t.equal(encodeName(name), code, JSON.stringify(name));
    t.equal(decodeName(code), name);
  }
  t.end();
});

t.test('past 200 characters: cut to at most 183, never inside %XX, then 16 digits of the hash', (t) => {
  for (const shift of [0, 1, 2, 3]) {
    const name = 'a'.repeat(shift) + 'ö'.repeat(60);
    const hash = createHash('sha256').update(name).digest('hex').slice(0, 16);
    const code = encodeName(name);
    const kept = shift + Math.floor((183 - shift) / 3) * 3;
    t.equal(code, `${('a'.repeat(shift) + '%C3%B6'.repeat(60)).slice(0, kept)}-${hash}`, `shift ${shift}`);
    t.equal(decodeName(code), undefined);
  }
  t.equal(encodeName('x'.repeat(201)).length, 200);
  t.end();
});

t.test('a name that is written like the cut code of another has a code of its own', (t) => {
  const long = 'x'.repeat(201);
  const alike = encodeName(long);
  t.not(encodeName(alike), alike);
  t.equal(decodeName(encodeName(alike)), undefined);
  t.end();
});

t.test('what encodeName does not write is no code', (t) => {
  for (const code of [
    '%',
    '%2',
    '%2e',
    '%GG',
    'a.b',
    'a b',
    '%41',
    '%2D',
    '%C3',
    '%FF',
    '%ED%A0%80',
    '%C0%AF',
    'ü',
    '*',
    '>',
    'x'.repeat(201),
    'a/b',
    'a~b',
    '%E2%82',
  ])
    t.equal(decodeName(code), undefined, code);
  t.end();
});

t.test('what a subject says', (t) => {
  t.strictSame(parseSubject('metrics.web.h1'), { kind: 'host', serviceCode: 'web', hostCode: 'h1' });
  t.strictSame(parseSubject('metrics.gateway-1'), { kind: 'gateway', nameCode: 'gateway-1' });
  for (const subject of [
    'metrics',
    'metrics.',
    'metrics..h',
    'metrics.web.',
    'metrics.a.b.c',
    'metrics.a.b.',
    'other.web.h1',
    'other.web',
    '',
    '.',
    'xmetrics.a',
  ]) {
    t.equal(parseSubject(subject), undefined, JSON.stringify(subject));
  }
  t.end();
});

t.test('the partition is taken out of a stored subject', (t) => {
  t.strictSame(publishedSubject('metrics.3.web.h1'), { partition: 3, published: 'metrics.web.h1' });
  t.strictSame(publishedSubject('metrics.0.gateway'), { partition: 0, published: 'metrics.gateway' });
  t.strictSame(publishedSubject('metrics.12.1.2.3.4'), { partition: 12, published: 'metrics.1.2.3.4' });
  for (const subject of [
    'metrics.3',
    'metrics.3.',
    'metrics.x.web.h1',
    'metrics.03.web',
    'metrics.-1.web',
    'segment.sealed.3',
    'metrics.123456.web',
  ]) {
    t.equal(publishedSubject(subject), undefined, subject);
  }
  t.end();
});

t.test('partitions and buckets: FNV-1a of 32 bits, as nats-server has it', (t) => {
  // The algorithm's published test values: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
  for (const [text, hash] of [
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['foobar', 0xbf9cf968],
  ] as const) {
    t.equal(partitionOf(text, 2 ** 32), hash);
    t.equal(serviceBucket(text, 1000), hash % 1000);
  }
  fc.assert(
    fc.property(names, fc.integer({ min: 1, max: 64 }), (name, buckets) => {
      const bucket = serviceBucket(name, buckets);
      return Number.isInteger(bucket) && bucket >= 0 && bucket < buckets;
    }),
  );
  t.end();
});
