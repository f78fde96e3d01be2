/**
 * What a line has to count as, decided anew from what the design says of readings (section 5) and of no code of the
 * actors: it must not agree with them because it is them.
 */
import { createHash } from 'node:crypto';

export interface Accepted {
  readonly kind: 'accepted';
  readonly service: string;
  /** ms since 1970. */
  readonly at: number;
  /** Whole millionths of a percent: cpu, ram, disk. */
  readonly values: readonly [number, number, number];
}

export interface Refused {
  readonly kind: 'refused';
  readonly reason: string;
  /** The one that it counts to; '' for none. */
  readonly service: string;
}

export interface Identity {
  readonly agent: string;
  readonly n: number;
}

export type Verdict = (Accepted | Refused | { readonly kind: 'empty' }) & { readonly identity?: Identity };

/** Percent-encoded, capitals, all but ASCII letters, digits, - and _; past 200 characters cut, with a hash behind it. */
export const codeOf = (name: string): string => {
  const code = [...Buffer.from(name, 'utf8')]
    .map((byte) =>
      /[\w-]/.test(String.fromCharCode(byte)) && byte < 128
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
  // A name that is written as a cut code would be is not left as it is either: it would be another name's.
  if (code.length <= 200 && !(code.length > 197 && /-[0-9a-f]{16}$/.test(code))) return code;
  const kept = code.slice(0, 183).replace(/%[0-9A-F]?$/, '');
  return `${kept}-${createHash('sha256').update(Buffer.from(name, 'utf8')).digest('hex').slice(0, 16)}`;
};

const codes = new Map<string, string>();
const knownCode = (name: string): string => {
  const known = codes.get(name) ?? codeOf(name);
  if (codes.size > 5_000) codes.clear();
  codes.set(name, known);
  return known;
};

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A name's own, or undefined; a subject with a cut name names nobody. */
const nameOfCode = (code: string): string | undefined => {
  try {
    const name = decodeURIComponent(code);
    return knownCode(name) === code ? name : undefined;
  } catch {
    return undefined;
  }
};

const times = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?$/;

const yearMs = 366 * 86_400_000;

const timeOf = (value: unknown): number | undefined => {
  if (typeof value === 'number') {
    const ms = value >= 1e11 ? Math.trunc(value) : Math.round(value * 1000);
    return ms >= Date.UTC(0, 0) - yearMs * 1900 && ms < Date.UTC(10_000, 0) ? ms : undefined; // years of four digits
  }
  const match = typeof value === 'string' ? times.exec(value) : null;
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = '0', fraction = '', , sign, hours = '0', minutes = '0'] = match;
  const [h, m, s] = [Number(hour), Number(minute), Number(second)];
  if (h > 23 || m > 59 || s > 59 || Number(hours) > 23 || Number(minutes) > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  if (date.getUTCMonth() + 1 !== Number(month) || date.getUTCDate() !== Number(day)) return undefined;
  const offset = (Number(hours) * 60 + Number(minutes)) * (sign === '-' ? -1 : 1);
  return date.getTime() + ((h * 60 + m - offset) * 60 + s) * 1000 + Number(fraction.padEnd(3, '0').slice(0, 3));
};

const wellFormed = (text: string): boolean => !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text);

const nameFault = (name: unknown): string | undefined => {
  if (name === undefined) return 'missing';
  if (typeof name !== 'string') return 'not a text';
  if (name.length === 0) return 'empty';
  if (new TextEncoder().encode(name).length > 200) return 'too long';
  return wellFormed(name) ? undefined : 'not Unicode';
};

const asIdentity = (agent: unknown, n: unknown): Identity | undefined =>
  nameFault(agent) === undefined && Number.isSafeInteger(n) && (n as number) > 0 ? { agent: agent as string, n: n as number } : undefined;

const percentFault = (name: string, value: unknown): string | undefined => {
  if (value === undefined) return `${name} missing`;
  if (typeof value !== 'number') return `${name} not a number`;
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) return 'not JSON';
  if (value < 0) return `${name} below 0`;
  return value > 10_000 ? `${name} above 10000` : undefined;
};

const isObject = (value: unknown): value is Record<string, unknown> => Object.prototype.toString.call(value) === '[object Object]';

/** Percent used of {Total, Free}, or what is wrong. */
const usedOf = (name: string, value: unknown): number | string => {
  if (value === undefined) return `${name} missing`;
  if (!isObject(value)) return `${name} not an object`;
  for (const field of ['Total', 'Free']) {
    if (value[field] === undefined) return `${name}.${field} missing`;
    if (typeof value[field] !== 'number') return `${name}.${field} not a number`;
  }
  const [total, free] = [value.Total as number, value.Free as number];
  if (!Number.isFinite(total) || !Number.isFinite(free)) return 'not JSON';
  if (total <= 0) return `${name}.Total not above 0`;
  return free < 0 || free > total ? `${name}.Free not within 0 and Total` : (100 * (total - free)) / total;
};

export interface LineOf {
  /** As published. */
  readonly subject: string;
  /** The message's headers, `n` counted on to this line. */
  readonly header?: Identity | undefined;
  /** When METRICS received it, ms. */
  readonly received: number;
}

const dayMs = 24 * 60 * 60 * 1000;
const since = Date.parse('2000-01-01T00:00:00Z');

export const verdictOf = (line: Uint8Array, { subject, header, received }: LineOf): Verdict => {
  const withIdentity = <T extends object>(verdict: T, identity: Identity | undefined) =>
    identity === undefined ? verdict : { ...verdict, identity };
  if (line.every((byte) => byte === 32 || (byte >= 9 && byte <= 13))) return withIdentity({ kind: 'empty' as const }, header);
  const [, first = '', second, ...more] = subject.split('.');
  const isKnown = more.length === 0 && first !== '' && second !== '';
  const named = isKnown && second !== undefined ? (nameOfCode(first) ?? '') : '';
  const refuse = (reason: string, service = named, identity = header): Verdict =>
    withIdentity({ kind: 'refused' as const, reason, service }, identity);

  let text: string;
  try {
    text = utf8.decode(line);
  } catch {
    return refuse('not UTF-8');
  }
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return refuse('not JSON');
  }
  if (!isObject(read)) return refuse('not an object');
  const own = (name: string): unknown => (Object.hasOwn(read, name) ? read[name] : undefined);
  const isOriginal = own('service') === undefined && own('serviceName') !== undefined;
  const service = own(isOriginal ? 'serviceName' : 'service');
  const fault = nameFault(service);
  const identity = asIdentity(own('agent'), own('n')) ?? header;
  const no = (reason: string): Verdict => refuse(reason, fault === undefined ? (service as string) : named, identity);

  if (!isKnown) return no("subject is neither a host's nor a gateway's");
  if (fault !== undefined) return no(`service ${fault}`);
  if (second !== undefined && knownCode(service as string) !== first) return no("service is not the subject's");
  const host = own('host');
  if (host !== undefined) {
    const hostFault = nameFault(host);
    if (hostFault !== undefined) return no(`host ${hostFault}`);
    if (second !== undefined && knownCode(host as string) !== second) return no("host is not the subject's");
  } else if (second !== undefined && nameOfCode(second) === undefined) {
    return no('host missing'); // the subject's is cut, so nobody can read it there
  }
  const given = own(isOriginal ? 'Timestamp' : 'timestamp');
  const at = timeOf(given);
  if (given === Number.POSITIVE_INFINITY || given === Number.NEGATIVE_INFINITY) return no('not JSON');
  if (at === undefined) return no(given === undefined ? 'timestamp missing' : 'timestamp not a time');
  if (at < since) return no('time before 2000');
  if (at > received + dayMs) return no('time more than a day ahead');
  if (own('agent') !== undefined && own('n') !== undefined) {
    if (nameFault(own('agent')) !== undefined) return no('agent not a text of 1 to 200 bytes');
    if (asIdentity('a', own('n')) === undefined) return no('n not a whole number from 1');
  }
  const [cpu, ram, disk] = isOriginal
    ? [own('CPU'), usedOf('RAM', own('RAM')), usedOf('Disk', own('Disk'))]
    : [own('cpu'), own('ram'), own('disk')];
  if (isOriginal) for (const used of [ram, disk]) if (typeof used === 'string') return no(used);
  for (const [name, value] of [
    ['cpu', cpu],
    ['ram', ram],
    ['disk', disk],
  ] as const) {
    const wrong = percentFault(name, value);
    if (wrong !== undefined) return no(wrong);
  }
  const values = [cpu, ram, disk].map((value) => Math.round((value as number) * 1e6)) as [number, number, number];
  return withIdentity({ kind: 'accepted' as const, service: service as string, at, values }, identity);
};
