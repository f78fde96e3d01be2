import fc from 'fast-check';
import t from 'tap';
import { encodeName, parseSubject } from '../../protocol/name-code.js';
import {
  isEmptyLine, isRefusal, type LineContext, readLine, type Reading, recordLine, type Refusal, splitLines,
} from '../../protocol/reading.js';

const received = Date.UTC(2026, 10, 23, 10, 15);
const dayMs = 86_400_000;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const gateway: LineContext = { subject: parseSubject('metrics.gw'), received };
const hostOf = (service: string, host: string): LineContext =>
  ({ subject: parseSubject(`metrics.${encodeName(service)}.${encodeName(host)}`), received });
const read = (line: string | object, context = gateway): Reading | Refusal =>
  readLine(bytes(typeof line === 'string' ? line : JSON.stringify(line)), context);
const reasonOf = (line: string | object, context = gateway): string | undefined => {
  const outcome = read(line, context);
  return isRefusal(outcome) ? outcome.reason : undefined;
};
const good = { service: 'web', host: 'h1', timestamp: '2026-11-23T10:14:00.5Z', cpu: 12.5, ram: 40, disk: 99.123456 };
const accepted = { service: 'web', host: 'h1', at: received - 59_500, cpu: 12_500_000, ram: 40_000_000, disk: 99_123_456 };
const without = (name: string): object => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));

t.test('B8: lines split on LF, a CR before it stripped; a final line break makes no line, empty lines are kept', (t) => {
  for (const [body, lines] of [
    ['', []], ['\n', ['']], ['a', ['a']], ['a\n', ['a']], ['a\r\n', ['a']], ['a\n\n', ['a', '']], ['\r\n\r\nb', ['', '', 'b']],
    ['a\nb\r\nc', ['a', 'b', 'c']], ['a\rb\n', ['a\rb']], ['a\r\r\n', ['a\r']], ['a\r', ['a\r']], ['\n\na', ['', '', 'a']],
  ] as const) {
    t.strictSame(splitLines(bytes(body)).map((line) => new TextDecoder().decode(line)), lines, JSON.stringify(body));
  }
  t.end();
});

t.test('B8: whatever stands in the lines, splitting gives them back', (t) => {
  const line = fc.uint8Array({ maxLength: 20 }).map((line) => line.filter((byte) => byte !== 10 && byte !== 13));
  fc.assert(fc.property(fc.array(line), fc.constantFrom('\n', '\r\n'), (lines, end) => {
    const body = Buffer.concat(lines.flatMap((line) => [line, bytes(end)]));
    return JSON.stringify(splitLines(body).map((line) => [...line])) === JSON.stringify(lines.map((line) => [...line]));
  }));
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
  t.strictSame(read(without('host'), hostOf('web', 'h1')), accepted, 'the host is the subject\'s');
  t.strictSame(read(without('host')), { ...accepted, host: '' }, 'a gateway\'s line without a host');
  t.strictSame(read({ ...good, timestamp: received - 59_500 }), accepted, 'ms');
  t.strictSame(read({ ...good, timestamp: (received - 59_500) / 1000 }), accepted, 's');
  t.strictSame(read({ ...good, timestamp: '2026-11-23 12:14:00,5+02' }), accepted);
  t.strictSame(read({ ...good, timestamp: new Date(received + dayMs).toISOString() }), { ...accepted, at: received + dayMs });
  t.strictSame(read({ ...good, timestamp: '2000-01-01T00:00Z' }), { ...accepted, at: Date.UTC(2000, 0, 1) });
  t.strictSame(read({ ...good, cpu: 0, ram: 10_000, disk: 1e-6 }), { ...accepted, cpu: 0, ram: 1e10, disk: 1 });
  t.strictSame(read({ ...good, cpu: 0.0000014, ram: 0.0000015, disk: 0.0000016 }), { ...accepted, cpu: 1, ram: 2, disk: 2 }, 'rounded to six');
  const zero = read(JSON.stringify(good).replace('12.5', '-0')) as Reading;
  t.ok(Object.is(zero.cpu, 0), '-0 is 0');
  t.strictSame(read(JSON.stringify(good).replace('"cpu":12.5', '"cpu":99999,"cpu":12.5')), accepted, 'of duplicate keys the last counts');
  t.end();
});

t.test('names are any text', (t) => {
  for (const name of [
    '__proto__', 'constructor', 'toString', '../up', 'a.b.c', 'x.>', '*', ' ', '\0', '\u2028', 'ü', 'e\u0301', '日本', '😀'.repeat(50), 'x'.repeat(200), 'é'.repeat(100),
  ]) {
    t.strictSame(read({ ...good, service: name, host: name }, hostOf(name, name)), { ...accepted, service: name, host: name }, encodeName(name));
  }
  t.equal(reasonOf({ ...good, service: '日'.repeat(66) }, hostOf('日'.repeat(66), 'h1')), undefined, 'agrees with a cut code');
  t.equal(reasonOf({ ...good, service: `${'日'.repeat(65)}本` }, hostOf('日'.repeat(66), 'h1')), 'service is not the subject\'s');
  t.end();
});

t.test('__proto__ as a key is inert', (t) => {
  t.equal(reasonOf(`{"__proto__":${JSON.stringify(good)}}`), 'service missing');
  t.strictSame(read(JSON.stringify(good).replace('{', '{"__proto__":{"agent":"a","n":1},')), accepted);
  t.equal(({} as { service?: string }).service, undefined);
  t.end();
});

t.test('what is refused, and why', (t) => {
  const line = JSON.stringify(good);
  const long = 'x'.repeat(201);
  for (const [refused, reason] of [
    ['', 'not JSON'], ['{', 'not JSON'], [line.slice(0, -1), 'not JSON'], [`${line}x`, 'not JSON'], [`${line}${line}`, 'not JSON'], [`\ufeff${line}`, 'not JSON'],
    [line.replace('12.5', 'NaN'), 'not JSON'], [line.replace('12.5', 'Infinity'), 'not JSON'], [line.replace('12.5', '012'), 'not JSON'], [line.replace('12.5', '+1'), 'not JSON'],
    [line.replaceAll('"', '\''), 'not JSON'], [line.replace('12.5', '12.5,'), 'not JSON'], [line.replace('web', 'w\tb'), 'not JSON'], ['undefined', 'not JSON'],
    ['null', 'not an object'], ['1', 'not an object'], ['"x"', 'not an object'], [`[${line}]`, 'not an object'],
    [without('service'), 'service missing'], [{ ...good, service: '' }, 'service empty'], [{ ...good, service: null }, 'service not a text'],
    [{ ...good, service: 7 }, 'service not a text'], [{ ...good, service: long }, 'service too long'], [{ ...good, service: 'é'.repeat(101) }, 'service too long'],
    [line.replace('web', '\\ud800'), 'service not Unicode'], [line.replace('h1', 'x\\udc00'), 'host not Unicode'],
    [{ ...good, host: '' }, 'host empty'], [{ ...good, host: null }, 'host not a text'], [{ ...good, host: false }, 'host not a text'], [{ ...good, host: long }, 'host too long'],
    [without('timestamp'), 'timestamp missing'], [{ ...good, timestamp: null }, 'timestamp not a time'], [{ ...good, timestamp: 'soon' }, 'timestamp not a time'],
    [{ ...good, timestamp: '1790000000' }, 'timestamp not a time'], [{ ...good, timestamp: '2026-02-30T00:00Z' }, 'timestamp not a time'],
    [line.replace('"2026-11-23T10:14:00.5Z"', '1e999'), 'timestamp not a time'],
    [{ ...good, timestamp: '1999-12-31T23:59:59.999Z' }, 'time before 2000'], [{ ...good, timestamp: -1 }, 'time before 2000'], [{ ...good, timestamp: 0 }, 'time before 2000'],
    [{ ...good, timestamp: received + dayMs + 1 }, 'time more than a day ahead'],
    [without('cpu'), 'cpu missing'], [without('ram'), 'ram missing'], [without('disk'), 'disk missing'],
    [{ ...good, cpu: '1' }, 'cpu not a number'], [{ ...good, ram: true }, 'ram not a number'], [{ ...good, disk: null }, 'disk not a number'], [{ ...good, disk: [1] }, 'disk not a number'],
    [{ ...good, cpu: -1e-9 }, 'cpu below 0'], [{ ...good, ram: -1 }, 'ram below 0'], [{ ...good, disk: 10_000.000001 }, 'disk above 10000'],
    [line.replace('12.5', '1e999'), 'cpu above 10000'], [line.replace('12.5', '-1e999'), 'cpu below 0'],
  ] as const) t.equal(reasonOf(refused), reason, typeof refused === 'string' ? refused : JSON.stringify(refused));
  t.equal(reasonOf({ ...good, service: 'db' }, hostOf('web', 'h1')), 'service is not the subject\'s');
  t.equal(reasonOf({ ...good, service: 'Web' }, hostOf('web', 'h1')), 'service is not the subject\'s');
  t.equal(reasonOf({ ...good, host: 'h2' }, hostOf('web', 'h1')), 'host is not the subject\'s');
  t.equal(reasonOf(good, { subject: parseSubject('metrics.a.b.c'), received }), 'subject is neither a host\'s nor a gateway\'s');
  t.equal(reasonOf(without('host'), hostOf('web', 'ö'.repeat(80))), 'host missing', 'a cut code does not say the host');
  t.equal(reasonOf({ ...good, host: 'ö'.repeat(80) }, hostOf('web', 'ö'.repeat(80))), undefined);
  t.end();
});

t.test('UTF-8 is judged strictly', (t) => {
  const [head, tail] = JSON.stringify({ ...good, service: '#' }).split('#') as [string, string];
  for (const [sequence, ok] of [
    [[0xc3, 0xbc], true], [[0xf0, 0x9f, 0x98, 0x80], true], [[0xef, 0xbf, 0xbd], true], [[0xc3], false], [[0xff], false], [[0x80], false],
    [[0xc0, 0xaf], false], [[0xed, 0xa0, 0x80], false], [[0xf4, 0x90, 0x80, 0x80], false], [[0xe2, 0x82], false],
  ] as const) {
    const outcome = readLine(Buffer.concat([bytes(head), Uint8Array.from(sequence), bytes(tail)]), gateway);
    t.equal(isRefusal(outcome) ? outcome.reason : 'ok', ok ? 'ok' : 'not UTF-8', sequence.join(' '));
  }
  t.end();
});

t.test('the original\'s shape', (t) => {
  const original = { serviceName: 'Ticketing Service', Timestamp: received / 1000, CPU: 12, RAM: { Total: 16, Free: 4 }, Disk: { Total: 512, Free: 511 } };
  t.strictSame(read(original), {
    service: 'Ticketing Service', host: '', at: received, cpu: 12_000_000, ram: 75_000_000, disk: 195_313,
  });
  t.strictSame(read({ ...original, agent: 'a', n: 3, host: 'h' }), {
    service: 'Ticketing Service', host: 'h', at: received, cpu: 12_000_000, ram: 75_000_000, disk: 195_313, agent: 'a', n: 3,
  });
  for (const [change, reason] of [
    [{ serviceName: '' }, 'service empty'], [{ Timestamp: undefined }, 'timestamp missing'], [{ CPU: 'x' }, 'cpu not a number'], [{ RAM: undefined }, 'RAM missing'],
    [{ RAM: 5 }, 'RAM not an object'], [{ RAM: [1, 2] }, 'RAM not an object'], [{ RAM: {} }, 'RAM.Total missing'], [{ RAM: { Total: '1', Free: 0 } }, 'RAM.Total not a number'],
    [{ RAM: { Total: 1 } }, 'RAM.Free missing'], [{ RAM: { Total: 1, Free: null } }, 'RAM.Free not a number'], [{ Disk: { Total: 0, Free: 0 } }, 'Disk.Total not above 0'],
    [{ Disk: { Total: -1, Free: -2 } }, 'Disk.Total not above 0'], [{ Disk: { Total: 1, Free: 2 } }, 'Disk.Free not within 0 and Total'],
    [{ Disk: { Total: 1, Free: -1 } }, 'Disk.Free not within 0 and Total'],
  ] as const) t.equal(reasonOf({ ...original, ...change }), reason, JSON.stringify(change));
  t.equal(reasonOf(JSON.stringify(original).replace('512', '1e999')), 'Disk.Total not above 0');
  t.end();
});

t.test('identity: the line\'s agent and n before the headers\'; only one of the two is none', (t) => {
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
  for (const n of [0, -1, 1.5, 2 ** 53, '1', null, true]) t.equal(reasonOf({ ...good, agent: 'a', n }), 'n not a whole number from 1', String(n));
  for (const agent of ['', 'x'.repeat(201), 5, null]) t.equal(reasonOf({ ...good, agent, n: 1 }), 'agent not a text of 1 to 200 bytes', String(agent));
  t.end();
});

t.test('a refused reading keeps its identity, and the service that it counts to', (t) => {
  const headers: LineContext = { ...hostOf('web', 'h1'), agent: 'header', n: 7 };
  t.strictSame(read('{', headers), { reason: 'not JSON', service: 'web', agent: 'header', n: 7 });
  t.strictSame(read('[]', headers), { reason: 'not an object', service: 'web', agent: 'header', n: 7 });
  t.strictSame(readLine(Uint8Array.of(0xff), headers), { reason: 'not UTF-8', service: 'web', agent: 'header', n: 7 });
  t.strictSame(read('{', gateway), { reason: 'not JSON', service: '' });
  t.strictSame(read({ ...good, cpu: -1, agent: 'line', n: 3 }, headers), { reason: 'cpu below 0', service: 'web', agent: 'line', n: 3 });
  t.strictSame(read({ ...good, service: 'db', cpu: -1 }), { reason: 'cpu below 0', service: 'db' });
  t.strictSame(read({ ...good, service: 5, agent: 'line', n: 3 }, headers), { reason: 'service not a text', service: 'web', agent: 'line', n: 3 });
  t.end();
});

t.test('whatever comes in: a reading or a reason without any of it, never an error', (t) => {
  const known = new Set<string>();
  const key = fc.constantFrom('service', 'host', 'timestamp', 'cpu', 'ram', 'disk', 'agent', 'n', 'serviceName', 'Timestamp', 'CPU', 'RAM', 'Disk', 'Total', 'Free', '__proto__');
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ depthSize: 'small' }, fc.string(), fc.double(), fc.constant(null), fc.boolean(), fc.constant(good.timestamp), fc.dictionary(key, tie('tree')), fc.array(tie('tree'))),
  }));
  const object = fc.tuple(fc.dictionary(key, tree), fc.boolean()).map(([fields, mostly]) => JSON.stringify(mostly ? { ...good, ...fields } : fields));
  const line = fc.oneof(object, fc.json(), fc.string(), object.map((text) => text.slice(0, -1)));
  fc.assert(fc.property(fc.oneof(line.map(bytes), fc.uint8Array()), fc.constantFrom(gateway, hostOf('web', 'h1'), { subject: undefined, received }), (line, context) => {
    const outcome = readLine(line, context);
    if (isRefusal(outcome)) known.add(outcome.reason);
    return isRefusal(outcome) ? outcome.reason.length > 0 : outcome.service !== '' && Number.isSafeInteger(outcome.cpu);
  }), { numRuns: 5000 });
  t.ok(known.size < 60, `${known.size} reasons`);
  t.end();
});

t.test('a record\'s line is the JSON of the record, to the bit', (t) => {
  const millionths = fc.oneof(fc.integer({ min: 0, max: 1e10 }), fc.integer({ min: 0, max: 2000 }));
  const name = fc.string({ unit: 'grapheme', minLength: 1 });
  const record = fc.record({
    service: name, host: fc.oneof(name, fc.constant('')), at: fc.integer({ min: Date.UTC(2000, 0, 1), max: received }),
    cpu: millionths, ram: millionths, disk: millionths, identity: fc.option(fc.record({ agent: name, n: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) })),
  });
  fc.assert(fc.property(record, fc.nat(), ({ identity, ...given }, offset) => {
    const reading: Reading = { ...given, ...(identity ?? {}) };
    const line = recordLine(offset, reading, received, identity === null ? undefined : 'metrics.gw');
    return !line.includes('\n') && line === JSON.stringify({
      offset, service: reading.service, host: reading.host, timestamp: reading.at,
      cpu: reading.cpu / 1e6, ram: reading.ram / 1e6, disk: reading.disk / 1e6, received,
      ...(identity === null ? {} : { subject: 'metrics.gw', ...identity }),
    });
  }));
  t.end();
});

t.test('a record\'s line, read as a reading, is the same reading', (t) => {
  const millionths = fc.integer({ min: 0, max: 1e10 });
  fc.assert(fc.property(millionths, millionths, millionths, (cpu, ram, disk) => {
    const reading: Reading = { service: 'web', host: 'h1', at: received, cpu, ram, disk, agent: 'a', n: 1 };
    return JSON.stringify(read(recordLine(0, reading, received, 'metrics.gw'))) === JSON.stringify(reading);
  }));
  t.end();
});
