import fc from 'fast-check';
import t from 'tap';
import { parseSubject } from '../../protocol/name-code.js';
import { isRefusal, type LineContext, readLine } from '../../protocol/reading.js';
import { bytes, dayMs, gateway, good, hostOf, read, reasonOf, received, without } from './lines.js';

t.test('what is refused, and why', (t) => {
  const line = JSON.stringify(good);
  const long = 'x'.repeat(201);
  for (const [refused, reason] of [
    ['', 'not JSON'],
    ['{', 'not JSON'],
    [line.slice(0, -1), 'not JSON'],
    [`${line}x`, 'not JSON'],
    [`${line}${line}`, 'not JSON'],
    [`\ufeff${line}`, 'not JSON'],
    [line.replace('12.5', 'NaN'), 'not JSON'],
    [line.replace('12.5', 'Infinity'), 'not JSON'],
    [line.replace('12.5', '012'), 'not JSON'],
    [line.replace('12.5', '+1'), 'not JSON'],
    [line.replaceAll('"', "'"), 'not JSON'],
    [line.replace('12.5', '12.5,'), 'not JSON'],
    [line.replace('web', 'w\tb'), 'not JSON'],
    ['undefined', 'not JSON'],
    ['null', 'not an object'],
    ['1', 'not an object'],
    ['"x"', 'not an object'],
    [`[${line}]`, 'not an object'],
    [without('service'), 'service missing'],
    [{ ...good, service: '' }, 'service empty'],
    [{ ...good, service: null }, 'service not a text'],
    [{ ...good, service: 7 }, 'service not a text'],
    [{ ...good, service: long }, 'service too long'],
    [{ ...good, service: 'é'.repeat(101) }, 'service too long'],
    [line.replace('web', '\\ud800'), 'service not Unicode'],
    [line.replace('h1', 'x\\udc00'), 'host not Unicode'],
    [{ ...good, host: '' }, 'host empty'],
    [{ ...good, host: null }, 'host not a text'],
    [{ ...good, host: false }, 'host not a text'],
    [{ ...good, host: long }, 'host too long'],
    [without('timestamp'), 'timestamp missing'],
    [{ ...good, timestamp: null }, 'timestamp not a time'],
    [{ ...good, timestamp: 'soon' }, 'timestamp not a time'],
    [{ ...good, timestamp: '1790000000' }, 'timestamp not a time'],
    [{ ...good, timestamp: '2026-02-30T00:00Z' }, 'timestamp not a time'],
    [line.replace('"2026-11-23T10:14:00.5Z"', '1e999'), 'not JSON'],
    [{ ...good, timestamp: '1999-12-31T23:59:59.999Z' }, 'time before 2000'],
    [{ ...good, timestamp: -1 }, 'time before 2000'],
    [{ ...good, timestamp: 0 }, 'time before 2000'],
    [{ ...good, timestamp: received + dayMs + 1 }, 'time more than a day ahead'],
    [without('cpu'), 'cpu missing'],
    [without('ram'), 'ram missing'],
    [without('disk'), 'disk missing'],
    [{ ...good, cpu: '1' }, 'cpu not a number'],
    [{ ...good, ram: true }, 'ram not a number'],
    [{ ...good, disk: null }, 'disk not a number'],
    [{ ...good, disk: [1] }, 'disk not a number'],
    [{ ...good, cpu: -1e-9 }, 'cpu below 0'],
    [{ ...good, ram: -1 }, 'ram below 0'],
    [{ ...good, disk: 10_000.000001 }, 'disk above 10000'],
    [line.replace('12.5', '1e999'), 'not JSON'],
    [line.replace('12.5', '-1e999'), 'not JSON'],
  ] as const)
    t.equal(reasonOf(refused), reason, typeof refused === 'string' ? refused : JSON.stringify(refused));
  t.equal(reasonOf({ ...good, service: 'db' }, hostOf('web', 'h1')), "service is not the subject's");
  t.equal(reasonOf({ ...good, service: 'Web' }, hostOf('web', 'h1')), "service is not the subject's");
  t.equal(reasonOf({ ...good, host: 'h2' }, hostOf('web', 'h1')), "host is not the subject's");
  t.equal(reasonOf(good, { subject: parseSubject('metrics.a.b.c'), received }), "subject is neither a host's nor a gateway's");
  t.equal(reasonOf(without('host'), hostOf('web', 'ö'.repeat(80))), 'host missing', 'a cut code does not say the host');
  t.equal(reasonOf({ ...good, host: 'ö'.repeat(80) }, hostOf('web', 'ö'.repeat(80))), undefined);
  t.end();
});

t.test('UTF-8 is judged strictly', (t) => {
  const [head, tail] = JSON.stringify({ ...good, service: '#' }).split('#') as [string, string];
  for (const [sequence, ok] of [
    [[0xc3, 0xbc], true],
    [[0xf0, 0x9f, 0x98, 0x80], true],
    [[0xef, 0xbf, 0xbd], true],
    [[0xc3], false],
    [[0xff], false],
    [[0x80], false],
    [[0xc0, 0xaf], false],
    [[0xed, 0xa0, 0x80], false],
    [[0xf4, 0x90, 0x80, 0x80], false],
    [[0xe2, 0x82], false],
  ] as const) {
    const outcome = readLine(Buffer.concat([bytes(head), Uint8Array.from(sequence), bytes(tail)]), gateway);
    t.equal(isRefusal(outcome) ? outcome.reason : 'ok', ok ? 'ok' : 'not UTF-8', sequence.join(' '));
  }
  t.end();
});

t.test("the original's shape", (t) => {
  const original = {
    serviceName: 'Ticketing Service',
    Timestamp: received / 1000,
    CPU: 12,
    RAM: { Total: 16, Free: 4 },
    Disk: { Total: 512, Free: 511 },
  };
  t.strictSame(read(original), {
    service: 'Ticketing Service',
    host: '',
    at: received,
    cpu: 12_000_000,
    ram: 75_000_000,
    disk: 195_313,
  });
  t.strictSame(read({ ...original, agent: 'a', n: 3, host: 'h' }), {
    service: 'Ticketing Service',
    host: 'h',
    at: received,
    cpu: 12_000_000,
    ram: 75_000_000,
    disk: 195_313,
    agent: 'a',
    n: 3,
  });
  for (const [change, reason] of [
    [{ serviceName: '' }, 'service empty'],
    [{ Timestamp: undefined }, 'timestamp missing'],
    [{ CPU: 'x' }, 'cpu not a number'],
    [{ RAM: undefined }, 'RAM missing'],
    [{ RAM: 5 }, 'RAM not an object'],
    [{ RAM: [1, 2] }, 'RAM not an object'],
    [{ RAM: {} }, 'RAM.Total missing'],
    [{ RAM: { Total: '1', Free: 0 } }, 'RAM.Total not a number'],
    [{ RAM: { Total: 1 } }, 'RAM.Free missing'],
    [{ RAM: { Total: 1, Free: null } }, 'RAM.Free not a number'],
    [{ Disk: { Total: 0, Free: 0 } }, 'Disk.Total not above 0'],
    [{ Disk: { Total: -1, Free: -2 } }, 'Disk.Total not above 0'],
    [{ Disk: { Total: 1, Free: 2 } }, 'Disk.Free not within 0 and Total'],
    [{ Disk: { Total: 1, Free: -1 } }, 'Disk.Free not within 0 and Total'],
  ] as const)
    t.equal(reasonOf({ ...original, ...change }), reason, JSON.stringify(change));
  t.equal(reasonOf(JSON.stringify(original).replace('512', '1e999')), 'not JSON');
  t.end();
});

t.test('a refused reading keeps its identity, and the service that it counts to', (t) => {
  const headers: LineContext = { ...hostOf('web', 'h1'), agent: 'header', n: 7 };
  t.strictSame(read('{', headers), { reason: 'not JSON', service: 'web', agent: 'header', n: 7 });
  t.strictSame(read('[]', headers), { reason: 'not an object', service: 'web', agent: 'header', n: 7 });
  t.strictSame(readLine(Uint8Array.of(0xff), headers), { reason: 'not UTF-8', service: 'web', agent: 'header', n: 7 });
  t.strictSame(read('{', gateway), { reason: 'not JSON', service: '' });
  t.strictSame(read({ ...good, cpu: -1, agent: 'line', n: 3 }, headers), {
    reason: 'cpu below 0',
    service: 'web',
    agent: 'line',
    n: 3,
  });
  t.strictSame(read({ ...good, service: 'db', cpu: -1 }), { reason: 'cpu below 0', service: 'db' });
  t.strictSame(read({ ...good, service: 5, agent: 'line', n: 3 }, headers), {
    reason: 'service not a text',
    service: 'web',
    agent: 'line',
    n: 3,
  });
  t.end();
});

t.test('whatever comes in: a reading or a reason without any of it, never an error', (t) => {
  const known = new Set<string>();
  const key = fc.constantFrom(
    'service',
    'host',
    'timestamp',
    'cpu',
    'ram',
    'disk',
    'agent',
    'n',
    'serviceName',
    'Timestamp',
    'CPU',
    'RAM',
    'Disk',
    'Total',
    'Free',
    '__proto__',
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small' },
      fc.string(),
      fc.double(),
      fc.constant(null),
      fc.boolean(),
      fc.constant(good.timestamp),
      fc.dictionary(key, tie('tree')),
      fc.array(tie('tree')),
    ),
  }));
  const object = fc
    .tuple(fc.dictionary(key, tree), fc.boolean())
    .map(([fields, mostly]) => JSON.stringify(mostly ? { ...good, ...fields } : fields));
  const line = fc.oneof(
    object,
    fc.json(),
    fc.string(),
    object.map((text) => text.slice(0, -1)),
  );
  fc.assert(
    fc.property(
      fc.oneof(line.map(bytes), fc.uint8Array()),
      fc.constantFrom(gateway, hostOf('web', 'h1'), { subject: undefined, received }),
      (line, context) => {
        const outcome = readLine(line, context);
        if (isRefusal(outcome)) known.add(outcome.reason);
        return isRefusal(outcome) ? outcome.reason.length > 0 : outcome.service !== '' && Number.isSafeInteger(outcome.cpu);
      },
    ),
    { numRuns: 5000 },
  );
  t.ok(known.size < 60, `${known.size} reasons`);
  t.end();
});
