/** Lines that somebody may publish: readings in every way of writing them, and lines with one fault each. */
import { Buffer } from 'node:buffer';
import type { Random } from '../chaos/random.js';
import { hostileNames } from './names.js';

export interface HostileLine {
  readonly bytes: Buffer;
  /** What was broken on purpose: the reason for which it has to be refused; undefined: nothing. */
  readonly reason: string | undefined;
}

export interface LineOptions {
  readonly service: string;
  /** undefined: the line names none. */
  readonly host: string | undefined;
  readonly at: number;
  readonly identity?: { readonly agent: string; readonly n: number } | undefined;
  /** About when it will be received, ms. */
  readonly now: number;
}

const dayMs = 86_400_000;

const escapeAll = (text: string): string =>
  `"${[...Array(text.length).keys()].map((i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`;

/** A text in JSON, sometimes with every character escaped. */
const quote = (text: string, random: Random): string => (random.happens(0.05) ? escapeAll(text) : JSON.stringify(text));

const two = (n: number): string => String(n).padStart(2, '0');

const shifts: readonly [text: string, minutes: number][] = [
  ['Z', 0],
  ['z', 0],
  ['', 0],
  ['+00:00', 0],
  ['-0000', 0],
  ['+05', 300],
  ['+0545', 345],
  ['-09:30', -570],
  ['+14:00', 840],
  ['-23:59', -1439],
];

/** A time in one of the ways in which it may be written; `at` has whole milliseconds. */
export const timeText = (at: number, random: Random): string => {
  const way = random.below(10);
  if (way < 3) return String(at);
  if (way === 3) return String(at / 1000);
  if (way === 4) return `${at}.75`; // cut to whole milliseconds
  const [shift, minutes] = random.pick(shifts);
  const date = new Date(at + minutes * 60_000);
  const day = date.toISOString().slice(0, 10);
  const separator = random.pick(['T', 't', ' ']);
  const ms = at - Math.floor(at / 1000) * 1000;
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  const isBare = ms === 0 && date.getUTCSeconds() === 0 && random.happens(0.5);
  const more = random.pick(['', '0', '9', '999999']); // cut off
  const fraction = ms === 0 && random.happens(0.5) ? '' : `${random.pick(['.', ','])}${String(ms).padStart(3, '0')}${more}`;
  return `"${day}${separator}${clock}${isBare ? '' : `:${two(date.getUTCSeconds())}${fraction}`}${shift}"`;
};

const tied = ['0', '50', '100', '99.999999', '10000', '1e4', '-0', '0.0', '5E+1', '33.333333'];

/** A reading, in percent; ties are likely. */
const percentText = (random: Random): string => {
  const way = random.below(10);
  if (way < 4) return random.pick(tied);
  if (way < 7) return (random.below(100_000_001) / 1e6).toString();
  if (way === 7) return (random.next() * 100).toString(); // more decimals than are kept
  if (way === 8) return (random.below(10_000_000_001) / 1e6).toString();
  return String(random.below(101));
};

type Field = readonly [name: string, text: string];

const own = (name: string, text: string): Field => [name, text];

const fieldsOf = (options: LineOptions, random: Random): Field[] => {
  const { service, host, at, identity } = options;
  const fields = [
    own('service', quote(service, random)),
    ...(host === undefined ? [] : [own('host', quote(host, random))]),
    own('timestamp', timeText(at, random)),
    own('cpu', percentText(random)),
    own('ram', percentText(random)),
    own('disk', percentText(random)),
  ];
  return [...fields, ...identityFields(identity, random)];
};

const identityFields = (identity: LineOptions['identity'], random: Random): Field[] => {
  if (identity !== undefined) return [own('agent', quote(identity.agent, random)), own('n', String(identity.n))];
  if (random.happens(0.02)) return [own('agent', '"only one of the two"')];
  return random.happens(0.02) ? [own('n', random.pick(['17', '"x"', '-1']))] : [];
};

const original = (options: LineOptions, random: Random): Field[] => {
  const { service, host, at, identity } = options;
  const share = (): string => {
    const total = random.pick([1, 8_589_934_592, 3, 1_000_000, 0.5]);
    const free = random.pick([0, total, total / 2, total * random.next()]);
    return `{"Total":${total},"Free":${free}}`;
  };
  return [
    own('serviceName', quote(service, random)),
    ...(host === undefined ? [] : [own('host', quote(host, random))]),
    own('Timestamp', String(at / 1000)),
    own('CPU', percentText(random)),
    own('RAM', share()),
    own('Disk', share()),
    ...(identity === undefined ? [] : identityFields(identity, random)),
  ];
};

const extras: readonly Field[] = [
  own('extra', '{"a":[1,2,{"b":null}]}'),
  own('__proto__', '{"cpu":1}'),
  own('constructor', '1'),
  own('note', '"a\\nb\\u0000"'),
  own('lone', '"\\ud800"'),
  own('', '""'),
  own('toString', 'null'),
  own('huge', '1e400'),
];

const write = (fields: readonly Field[], random: Random): string => {
  const space = random.happens(0.1) ? random.pick([' ', '\t', '  ', '\r']) : '';
  const written = [...fields];
  if (random.happens(0.1)) written.splice(random.below(written.length + 1), 0, random.pick(extras));
  if (random.happens(0.03)) written.unshift([random.pick(fields)[0], '"an earlier one of the same name"']);
  if (random.happens(0.1)) written.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const text = written.map(([name, value]) => `${space}${JSON.stringify(name)}${space}:${space}${value}`).join(',');
  return `${space}{${text}${space}}${space}`;
};

const replaced = (fields: readonly Field[], name: string, text: string | undefined): Field[] =>
  fields.flatMap((field) => (field[0] === name ? (text === undefined ? [] : [own(name, text)]) : [field]));

type Break = (fields: readonly Field[], options: LineOptions, random: Random) => readonly [line: string | Buffer, reason: string];

const join = (fields: readonly Field[]): string => `{${fields.map(([name, text]) => `"${name}":${text}`).join(',')}}`;

const field =
  (name: string, text: string | undefined, reason: string): Break =>
  (fields) => [join(replaced(fields, name, text)), reason];

const anyValue =
  (text: string | undefined, what: string): Break =>
  (fields, _options, random) => {
    const name = random.pick(['cpu', 'ram', 'disk']);
    return [join(replaced(fields, name, text)), `${name} ${what}`];
  };

const instead =
  (line: string | Buffer, reason: string): Break =>
  () => [line, reason];

const whole =
  (change: (line: string, random: Random) => string | Buffer, reason: string): Break =>
  (fields, _options, random) => [change(join(fields), random), reason];

/** Bytes within a text that are no UTF-8: a byte alone, cut off, overlong, a surrogate, past the last character. */
const notUtf8 = [[0xff], [0xc3], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80]];

const withBytes = (line: string, random: Random): Buffer => {
  const at = line.indexOf('"', 2) + 1;
  return Buffer.concat([Buffer.from(line.slice(0, at)), Buffer.from(random.pick(notUtf8)), Buffer.from(line.slice(at))]);
};

const notJson: readonly Break[] = [
  anyNumber('1e999'),
  anyNumber('-1e999'),
  anyNumber('NaN'),
  anyNumber('Infinity'),
  anyNumber('+5'),
  anyNumber('05'),
  anyNumber('.5'),
  anyNumber('5.'),
  anyNumber('0x10'),
  anyNumber('1_000'),
  anyNumber(''),
  whole((line, random) => line.slice(0, 1 + random.below(line.length - 1)), 'not JSON'),
  whole((line) => `${line} x`, 'not JSON'),
  whole((line) => `${line}${line}`, 'not JSON'),
  whole((line) => `${line},`, 'not JSON'),
  whole((line) => `\ufeff${line}`, 'not JSON'),
  whole((line) => `${line.slice(0, -1)},}`, 'not JSON'),
  whole((line) => line.replaceAll('"', "'"), 'not JSON'),
  whole((line) => `${line} // why`, 'not JSON'),
  whole((line) => `${line}\u0000`, 'not JSON'),
  whole((line) => line.replace('{"', '{"a\tb":1,"'), 'not JSON'),
  instead('service=web cpu=1', 'not JSON'),
  instead('{', 'not JSON'),
  instead(`${'['.repeat(200)}`, 'not JSON'),
  instead('undefined', 'not JSON'),
];

function anyNumber(text: string): Break {
  return (fields, _options, random) => [join(replaced(fields, random.pick(['cpu', 'ram', 'disk', 'timestamp']), text)), 'not JSON'];
}

const faults: readonly Break[] = [
  ...notJson,
  whole(withBytes, 'not UTF-8'),
  whole(withBytes, 'not UTF-8'),
  ...['[1,2]', '"text"', '17', 'null', 'true', '[]'].map((line) => instead(line, 'not an object')),
  instead('{}', 'service missing'),
  instead('{"__proto__":{"service":"web","timestamp":1,"cpu":1,"ram":1,"disk":1}}', 'service missing'),
  field('service', undefined, 'service missing'),
  field('service', '""', 'service empty'),
  field('service', `"${'x'.repeat(201)}"`, 'service too long'),
  field('service', `"${'\u00e9'.repeat(101)}"`, 'service too long'),
  ...['17', 'null', 'true', '["web"]', '{}'].map((text) => field('service', text, 'service not a text')),
  field('service', '"a\\ud800b"', 'service not Unicode'),
  field('service', '"\\udc00\\ud800"', 'service not Unicode'),
  field('timestamp', undefined, 'timestamp missing'),
  ...[
    'null',
    'true',
    '""',
    '"now"',
    '"1700000000"',
    '"2026-02-30T00:00:00Z"',
    '"2026-01-01T24:00:00Z"',
    '"2026-01-01T00:00:60Z"',
    '"2026-1-1T00:00:00Z"',
    '"2026-01-01T00:00:00+24:00"',
    '"2026-01-01T00:00:00.Z"',
    '"2026-01-01T00:00:00 Z"',
    '"2026-01-01"',
    '[1]',
    '"2026-13-01T00:00:00Z"',
    '"2026-01-01T00:00:00Z "',
    '"20260101T000000Z"',
  ].map((text) => field('timestamp', text, 'timestamp not a time')),
  ...['0', '-1', '"1999-12-31T23:59:59.999Z"', '946684799', '"2000-01-01T00:30:00+01:00"', '946684799.999'].map((text) =>
    field('timestamp', text, 'time before 2000'),
  ),
  (fields, { now }, random) => [
    join(replaced(fields, 'timestamp', timeText(now + dayMs + 900_000 + random.below(1e9), random))),
    'time more than a day ahead',
  ],
  field('timestamp', '"9999-12-31T23:59:59Z"', 'time more than a day ahead'),
  anyValue(undefined, 'missing'),
  ...['"12.5"', 'null', 'true', 'false', '[]', '{}', '""'].map((text) => anyValue(text, 'not a number')),
  ...['-1', '-0.000001', '-1e-300'].map((text) => anyValue(text, 'below 0')),
  ...['10000.000001', '10001', '1e5'].map((text) => anyValue(text, 'above 10000')),
];

const hostFaults: readonly Break[] = [
  field('host', '""', 'host empty'),
  field('host', `"${'h'.repeat(201)}"`, 'host too long'),
  field('host', '"\\ud800"', 'host not Unicode'),
  ...['17', 'null', '[]'].map((text) => field('host', text, 'host not a text')),
];

const identityFaults: readonly Break[] = [
  ...['0', '-1', '1.5', '"1"', 'null', '9007199254740992', 'true'].map((text) => field('n', text, 'n not a whole number from 1')),
  ...['""', '17', 'null', `"${'a'.repeat(201)}"`, '"\\ud800"'].map((text) => field('agent', text, 'agent not a text of 1 to 200 bytes')),
];

const originalFaults: readonly Break[] = [
  ...(['RAM', 'Disk'] as const).flatMap((name) => [
    field(name, undefined, `${name} missing`),
    field(name, '17', `${name} not an object`),
    field(name, '{"Free":1}', `${name}.Total missing`),
    field(name, '{"Total":1}', `${name}.Free missing`),
    field(name, '{"Total":"1","Free":1}', `${name}.Total not a number`),
    field(name, '{"Total":1,"Free":null}', `${name}.Free not a number`),
    field(name, '{"Total":0,"Free":0}', `${name}.Total not above 0`),
    field(name, '{"Total":1,"Free":2}', `${name}.Free not within 0 and Total`),
    field(name, '{"Total":1,"Free":-1}', `${name}.Free not within 0 and Total`),
  ]),
  field('CPU', undefined, 'cpu missing'),
  field('CPU', '"1"', 'cpu not a number'),
  field('Timestamp', undefined, 'timestamp missing'),
];

/** A line that counts. */
export const goodLine = (options: LineOptions, random: Random): HostileLine => {
  const fields = random.happens(0.1) ? original(options, random) : fieldsOf(options, random);
  return { bytes: Buffer.from(write(fields, random)), reason: undefined };
};

/** A line with one fault. A subject's service and host are not to be named wrongly by it: `mismatch` is for that. */
export const badLine = (options: LineOptions, random: Random): HostileLine => {
  const choice = random.below(10);
  const isOriginal = choice === 0;
  const fields = isOriginal ? original(options, random) : fieldsOf(options, random);
  let breaks = isOriginal ? originalFaults : faults;
  if (!isOriginal && choice === 1 && options.host !== undefined) breaks = hostFaults;
  if (!isOriginal && choice === 2 && options.identity !== undefined) breaks = identityFaults;
  const [line, reason] = random.pick(breaks)(fields, options, random);
  return { bytes: Buffer.from(line as string), reason };
};

/** A line that says another service or host than its subject. */
export const mismatch = (options: LineOptions & { readonly host: string }, random: Random): HostileLine => {
  const other = (name: string): string => {
    for (;;) {
      const found = random.pick(hostileNames);
      if (found !== name) return found;
    }
  };
  const isHost = random.happens(0.5);
  const changed = isHost ? { ...options, host: other(options.host) } : { ...options, service: other(options.service) };
  return {
    bytes: Buffer.from(write(fieldsOf(changed, random), random)),
    reason: isHost ? "host is not the subject's" : "service is not the subject's",
  };
};
