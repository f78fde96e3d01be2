import fc from 'fast-check';
import t from 'tap';
import { encodeName } from '../../protocol/name-code.js';
import { isEmptyLine, type LineContext, type Reading, recordLine, splitLines } from '../../protocol/reading.js';
import { accepted, bytes, dayMs, gateway, good, hostOf, read, reasonOf, received, without } from './lines.js';

t.test('B8: lines split on LF, a CR before it stripped; a final line break makes no line, empty lines are kept', (t) => {
  for (const [body, lines] of [
    ['', []],
    ['\n', ['']],
    ['a', ['a']],
    ['a\n', ['a']],
    ['a\r\n', ['a']],
    ['a\n\n', ['a', '']],
    ['\r\n\r\nb', ['', '', 'b']],
    ['a\nb\r\nc', ['a', 'b', 'c']],
    ['a\rb\n', ['a\rb']],
    ['a\r\r\n', ['a\r']],
    ['a\r', ['a\r']],
    ['\n\na', ['', '', 'a']],
  ] as const) {
    t.strictSame(
      splitLines(bytes(body)).map((line) => new TextDecoder().decode(line)),
      lines,
      JSON.stringify(body),
    );
  }
  t.end();
});

t.test('B8: whatever stands in the lines, splitting gives them back', (t) => {
  const line = fc.uint8Array({ maxLength: 20 }).map((line) => line.filter((byte) => byte !== 10 && byte !== 13));
  fc.assert(
    fc.property(fc.array(line), fc.constantFrom('\n', '\r\n'), (lines, end) => {
      const body = Buffer.concat(lines.flatMap((line) => [line, bytes(end)]));
      return JSON.stringify(splitLines(body).map((line) => [...line])) === JSON.stringify(lines.map((line) => [...line]));
    }),
  );
  t.end();
});

t.test('only whitespace is an empty line', (t) => {
  for (const text of ['', ' ', '\t', ' \t \r', '\v\f']) t.ok(isEmptyLine(bytes(text)), JSON.stringify(text));
  for (const text of ['{}', ' x', '\0', '\u00a0', '\ufeff']) t.notOk(isEmptyLine(bytes(text)), JSON.stringify(text));
  t.end();
});

t.test('what is accepted', (t) => {
  t.strictSame(read(good), accepted);
  t.strictSame(read({ ...good, other: { deep: [1, null] }, more: 'x' }), accepted, 'other fields are ignored');
  t.strictSame(read(`  ${JSON.stringify(good)}\t\r`), accepted, 'whitespace around it');
  t.strictSame(read(good, hostOf('web', 'h1')), accepted);
  t.strictSame(read(without('host'), hostOf('web', 'h1')), accepted, "the host is the subject's");
  t.strictSame(read(without('host')), { ...accepted, host: '' }, "a gateway's line without a host");
  t.strictSame(read({ ...good, timestamp: received - 59_500 }), accepted, 'ms');
  t.strictSame(read({ ...good, timestamp: (received - 59_500) / 1000 }), accepted, 's');
  t.strictSame(read({ ...good, timestamp: '2026-11-23 12:14:00,5+02' }), accepted);
  t.strictSame(read({ ...good, timestamp: new Date(received + dayMs).toISOString() }), {
    ...accepted,
    at: received + dayMs,
  });
  t.strictSame(read({ ...good, timestamp: '2000-01-01T00:00Z' }), { ...accepted, at: Date.UTC(2000, 0, 1) });
  t.strictSame(read({ ...good, cpu: 0, ram: 10_000, disk: 1e-6 }), { ...accepted, cpu: 0, ram: 1e10, disk: 1 });
  t.strictSame(
    read({ ...good, cpu: 0.0000014, ram: 0.0000015, disk: 0.0000016 }),
    { ...accepted, cpu: 1, ram: 2, disk: 2 },
    'rounded to six',
  );
  const zero = read(JSON.stringify(good).replace('12.5', '-0')) as Reading;
  t.ok(Object.is(zero.cpu, 0), '-0 is 0');
  t.strictSame(read(JSON.stringify(good).replace('"cpu":12.5', '"cpu":99999,"cpu":12.5')), accepted, 'of duplicate keys the last counts');
  t.end();
});

t.test('names are any text', (t) => {
  for (const name of [
    '__proto__',
    'constructor',
    'toString',
    '../up',
    'a.b.c',
    'x.>',
    '*',
    ' ',
    '\0',
    '\u2028',
    'ü',
    'e\u0301',
    '日本',
    '😀'.repeat(50),
    'x'.repeat(200),
    'é'.repeat(100),
  ]) {
    t.strictSame(
      read({ ...good, service: name, host: name }, hostOf(name, name)),
      { ...accepted, service: name, host: name },
      encodeName(name),
    );
  }
  t.equal(reasonOf({ ...good, service: '日'.repeat(66) }, hostOf('日'.repeat(66), 'h1')), undefined, 'agrees with a cut code');
  t.equal(reasonOf({ ...good, service: `${'日'.repeat(65)}本` }, hostOf('日'.repeat(66), 'h1')), "service is not the subject's");
  t.end();
});

t.test('__proto__ as a key is inert', (t) => {
  t.equal(reasonOf(`{"__proto__":${JSON.stringify(good)}}`), 'service missing');
  t.strictSame(read(JSON.stringify(good).replace('{', '{"__proto__":{"agent":"a","n":1},')), accepted);
  t.equal(({} as { service?: string }).service, undefined);
  t.end();
});

t.test("identity: the line's agent and n before the headers'; only one of the two is none", (t) => {
  const headers: LineContext = { ...gateway, agent: 'header', n: 7 };
  const identity = (line: object, context: LineContext): unknown => {
    const { agent, n } = read(line, context);
    return agent === undefined && n === undefined ? undefined : [agent, n];
  };
  t.strictSame(identity({ ...good, agent: 'line', n: 1 }, headers), ['line', 1]);
  t.strictSame(identity(good, headers), ['header', 7]);
  t.strictSame(identity({ ...good, agent: 'line' }, headers), ['header', 7]);
  t.strictSame(identity({ ...good, agent: 'line' }, gateway), undefined);
  t.strictSame(identity({ ...good, n: 4 }, gateway), undefined);
  t.strictSame(identity({ ...good, n: 'four' }, gateway), undefined);
  t.strictSame(identity(good, { ...gateway, agent: 'header' }), undefined);
  t.strictSame(identity(good, { ...gateway, agent: '', n: 1 }), undefined);
  t.strictSame(identity(good, { ...gateway, agent: 'header', n: 2 ** 53 }), undefined);
  t.strictSame(identity({ ...good, agent: 'x'.repeat(200), n: 2 ** 53 - 1 }, gateway), ['x'.repeat(200), 2 ** 53 - 1]);
  for (const n of [0, -1, 1.5, 2 ** 53, '1', null, true])
    t.equal(reasonOf({ ...good, agent: 'a', n }), 'n not a whole number from 1', String(n));
  for (const agent of ['', 'x'.repeat(201), 5, null])
    t.equal(reasonOf({ ...good, agent, n: 1 }), 'agent not a text of 1 to 200 bytes', String(agent));
  t.end();
});

t.test("a record's line is the JSON of the record, to the bit", (t) => {
  const millionths = fc.oneof(fc.integer({ min: 0, max: 1e10 }), fc.integer({ min: 0, max: 2000 }));
  const name = fc.string({ unit: 'grapheme', minLength: 1 });
  const record = fc.record({
    service: name,
    host: fc.oneof(name, fc.constant('')),
    at: fc.integer({ min: Date.UTC(2000, 0, 1), max: received }),
    cpu: millionths,
    ram: millionths,
    disk: millionths,
    identity: fc.option(fc.record({ agent: name, n: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) })),
  });
  fc.assert(
    fc.property(record, fc.nat(), ({ identity, ...given }, offset) => {
      const reading: Reading = { ...given, ...(identity ?? {}) };
      const line = recordLine(offset, reading, received, identity === null ? undefined : 'metrics.gw');
      return (
        !line.includes('\n') &&
        line ===
          JSON.stringify({
            offset,
            service: reading.service,
            host: reading.host,
            timestamp: reading.at,
            cpu: reading.cpu / 1e6,
            ram: reading.ram / 1e6,
            disk: reading.disk / 1e6,
            received,
            ...(identity === null ? {} : { subject: 'metrics.gw', ...identity }),
          })
      );
    }),
  );
  t.end();
});

t.test("a record's line, read as a reading, is the same reading", (t) => {
  const millionths = fc.integer({ min: 0, max: 1e10 });
  fc.assert(
    fc.property(millionths, millionths, millionths, (cpu, ram, disk) => {
      const reading: Reading = { service: 'web', host: 'h1', at: received, cpu, ram, disk, agent: 'a', n: 1 };
      return JSON.stringify(read(recordLine(0, reading, received, 'metrics.gw'))) === JSON.stringify(reading);
    }),
  );
  t.end();
});
