import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { isRefusal, readLine } from '../../../protocol/reading.js';
import { readRecorded, splitRecorded } from '../../../scripts/import/recorded.js';
import { lineBytesMax } from '../../../scripts/import/recorded-line.js';

async function* chunksOf(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

const splitBytes = async (content: string | Buffer, size = 65_536): Promise<Buffer[]> => {
  const lines: Buffer[] = [];
  for await (const line of splitRecorded(chunksOf(Buffer.from(content), size))) lines.push(line);
  return lines;
};

const split = async (content: string | Buffer, size?: number): Promise<string[]> => (await splitBytes(content, size)).map(String);

const parse = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    return 'bad';
  }
};

/** As Python's repr writes it, with a prefix for its texts if wanted. */
const python = (value: unknown, prefix = ''): string => {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (Array.isArray(value)) return `[${value.map((item) => python(item, prefix)).join(', ')}]`;
  if (typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([key, item]) => `${python(key, prefix)}: ${python(item, prefix)}`)
      .join(', ')}}`;
  }
  if (typeof value !== 'string') return String(value);
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
  const escaped = [...value].map((c) => {
    if (c === '\\' || c === quote) return `\\${c}`;
    if (c === '\n') return '\\n';
    const code = c.codePointAt(0) as number;
    return code < 32 || code === 127 ? `\\x${code.toString(16).padStart(2, '0')}` : c;
  });
  return `${prefix}${quote}${escaped.join('')}${quote}`;
};

const name = fc.oneof(
  fc.constantFrom(
    'web',
    'Ticketing Service',
    "it's",
    'a "b"',
    'both \' and "',
    '}{',
    '}, {',
    "{'x': 1}",
    '\\',
    '[',
    'ü',
    '日本',
    '😀',
    'a\nb',
  ),
  fc.string({ unit: 'grapheme', minLength: 1 }),
);
const reading = fc.oneof(
  fc.record({
    service: name,
    host: name,
    timestamp: fc.constantFrom('2026-11-23T10:15:00Z', 1795428900),
    cpu: fc.double({ min: 0, max: 100, noNaN: true }).map((x) => x + 0),
    ram: fc.nat(),
    disk: fc.constant(1e-7),
  }),
  fc.record({
    serviceName: name,
    Timestamp: fc.nat(),
    CPU: fc.nat(),
    RAM: fc.record({ Total: fc.nat(), Free: fc.nat() }),
    Disk: fc.record({ Total: fc.nat(), Free: fc.nat() }),
    up: fc.boolean(),
    more: fc.constantFrom(null, [1, 'x', [{}]]),
  }),
);
const readings = fc.array(reading, { minLength: 1, maxLength: 8 });
const chunkSize = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(65_536));

const writers: Record<string, (all: unknown[]) => string> = {
  'a JSON object a line': (all) => all.map((one) => JSON.stringify(one)).join('\n'),
  'the same with CR and a final line break': (all) => all.map((one) => `${JSON.stringify(one)}\r\n`).join(''),
  'a JSON list on one line': (all) => JSON.stringify(all),
  'a JSON list, one object a line': (all) => `[\n${all.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`,
  'a JSON list over many lines': (all) => JSON.stringify(all, null, 2),
  'JSON objects over many lines': (all) => all.map((one) => JSON.stringify(one, null, 2)).join('\n'),
  'JSON objects joined': (all) => all.map((one) => JSON.stringify(one)).join(''),
  "Python's dicts joined": (all) => all.map((one) => python(one)).join(''),
  "Python's dicts with u prefixes joined": (all) => all.map((one) => python(one, 'u')).join(''),
  "Python's dicts, one a line": (all) => all.map((one) => `${python(one)}\n`).join(''),
  "Python's lists joined, as the original writes its batches": (all) => all.map((one) => python([one, one])).join(''),
};

for (const [form, write] of Object.entries(writers)) {
  t.test(`every reading comes through, in order: ${form}`, async (t) => {
    await fc.assert(
      fc.asyncProperty(readings, chunkSize, async (all, size) => {
        const lines = await split(write(all), size);
        const expected = form.includes('batches') ? all.flatMap((one) => [one, one]) : all;
        return lines.every((line) => !/[\r\n]/.test(line)) && JSON.stringify(lines.map(parse)) === JSON.stringify(expected);
      }),
      { numRuns: 150 },
    );
    t.end();
  });
}

t.test('a JSON object a line: every line as it is, however bad', async (t) => {
  const good = '{"service":"web","n":1}';
  const bad = [
    '{"service":"we',
    "{'service': 'web'}",
    '{"cpu":NaN}',
    good + good,
    `${good} x`,
    '[1,2]',
    `[${good}]`,
    'null',
    '}',
    '"',
    '{"a":"}{"}',
    '\\',
    'garbage {',
    '\ufeff{}',
  ];
  for (const one of bad) t.strictSame(await split(`${good}\n${good}\n${one}\n${good}\n`), [good, good, one, good], one);
  for (const one of bad) t.strictSame(await split(`${one}\n${good}\n${good}\n`), [one, good, good], `first: ${one}`);
  t.strictSame(await split(`${good}\n\n  \n\r\n${good}`), [good, good], 'empty lines are nothing');
  t.strictSame(await split(''), []);
  t.strictSame(await split('\n \n'), []);
  t.strictSame(await split('garbage\nmore'), ['garbage', 'more']);
});

t.test('a broken object does not take those behind it along', async (t) => {
  const good = { serviceName: "it's", CPU: 3, RAM: { Total: 4, Free: 1 } };
  const text = python(good);
  for (let cut = 1; cut < text.length; cut++) {
    const broken = text.slice(0, cut);
    const lines = (await split(`${text}${broken}${text}${text}${text}`)).map(parse);
    // Where it was cut after a colon or a bracket, the next one reads as its value, and goes with it.
    const lost = /[:,([{]\s*$/.test(broken) && !broken.endsWith('{') ? 1 : 0;
    const came = lines.filter((line) => JSON.stringify(line) === JSON.stringify(good)).length;
    t.ok(came >= 4 - lost, `${came} of 4 behind ${broken}`);
    t.ok(lines.length > came, `${broken} is seen as bad`);
  }
});

t.test('a broken object ends with its line', async (t) => {
  const good = "{'service': 'web'}";
  for (const broken of ["{'service': 'we", "{'a': {'b': ", "{'a': [", "'", 'x', '[[']) {
    t.strictSame(
      (await split(`${good}${good}\n${broken}\n${good}${good}\n`)).map(parse).filter((line) => line !== 'bad').length,
      4,
      broken,
    );
  }
});

t.test('elements of a list that are no objects come through, each as one', async (t) => {
  t.strictSame(await split('[1, "a,]b", null, [1, {"a": 2}], {"b": 3}, true]'), [
    '1',
    '"a,]b"',
    'null',
    '[1, {"a": 2}]',
    '{"b": 3}',
    'true',
  ]);
  t.strictSame(await split('[]'), []);
  t.strictSame(await split('\ufeff[{"a":1}]'), ['{"a":1}']);
});

t.test('what is not UTF-8 is refused, not mended', async (t) => {
  const good = { service: 'w#b', timestamp: 1795428900, cpu: 1, ram: 1, disk: 1 };
  const wrong = (text: string): Buffer =>
    Buffer.concat(text.split('#').flatMap((part, i) => (i === 0 ? [Buffer.from(part)] : [Buffer.of(0xff), Buffer.from(part)])));
  const line = JSON.stringify(good);
  for (const file of [`${line}\n{}\n{}\n`, `[${line}]`, `${line}${line}`, python(good)]) {
    const [first] = await splitBytes(wrong(file));
    const outcome = readLine(first as Buffer, {
      subject: { kind: 'gateway', nameCode: 'gw' },
      received: Date.now(),
    });
    t.equal(isRefusal(outcome) && outcome.reason, 'not UTF-8', file);
  }
  t.strictSame(await splitBytes(wrong('#\r\n#\n')), [Buffer.of(0xff), Buffer.of(0xff)], 'byte for byte');
  t.strictSame(await split('\u00a0\n \t\n'), ['\u00a0'], 'only ASCII whitespace makes an empty line, as it does for the buffer');
});

t.test('an altered line is refused even where it would be right without what was cut off', async (t) => {
  const fine = '{"service":"web"}';
  const spaces = ' '.repeat(lineBytesMax + 10);
  const [first, long = '', last, ...more] = await split(`${fine}\n${fine}${spaces}x\n${fine}\n`);
  t.equal(first, fine);
  t.equal(parse(long), 'bad');
  t.ok(long.length < lineBytesMax + 100);
  t.equal(last, fine);
  t.strictSame(more, []);
});

t.test('memory is bounded: an element without an end is cut, and those behind it come', async (t) => {
  const fine = "{'a': 1}";
  const endless = `{'a': '${'x'.repeat(3 * lineBytesMax)}`;
  for (const file of [
    `${fine}${fine}${endless}\n${fine}${fine}`,
    `${fine}${fine}${endless}}${fine}${fine}`,
    `[${fine}, ${endless}}, ${fine}, ${fine}, ${fine}]`,
  ]) {
    const lines = await split(file);
    t.equal(lines.filter((line) => line === '{"a":1}').length, 4, file.slice(0, 20));
    t.ok(lines.every((line) => line.length < lineBytesMax + 100));
    t.equal(lines.length, 5);
  }
});

t.test('whatever the bytes, in whatever chunks: the same lines, and an end', async () => {
  const pieces = fc.array(
    fc.constantFrom('{', '}', '[', ']', '(', ')', "'", '"', ':', ',', ' ', '\n', '\\', 'a', '1', "u'", "{'a': 1}", '{"a":1}', 'ü', '\r'),
    { maxLength: 60 },
  );
  await fc.assert(
    fc.asyncProperty(pieces, fc.integer({ min: 1, max: 9 }), async (parts, size) => {
      const file = parts.join('');
      const lines = await split(file, size);
      return JSON.stringify(lines) === JSON.stringify(await split(file)) && lines.every((line) => !line.includes('\n'));
    }),
    { numRuns: 2000 },
  );
});

t.test('a file is read from disk, and a missing one is said to be missing', async (t) => {
  const file = join(t.testdir(), 'readings');
  await writeFile(file, Array.from({ length: 20_000 }, (_, i) => `{"i":${i}}\n`).join(''));
  let next = 0;
  let wrong = 0;
  for await (const line of readRecorded(file)) if (line.toString() !== `{"i":${next++}}`) wrong += 1;
  t.equal(wrong, 0);
  t.equal(next, 20_000);
  await t.rejects(readRecorded(join(t.testdir(), 'none')).next(), { code: 'E_FILE_MISSING' });
  await t.rejects(readRecorded(t.testdir()).next(), { code: 'E_OUT_OF_REACH' });
});
