/**
 * Name codes: how names of services, hosts and agents stand in subjects, paths and URLs, and what a subject says.
 *
 * A name is any text. Its code is percent-encoded UTF-8, everything but ASCII letters, digits, `-` and `_`, so that
 * nothing in a name reaches NATS or a file system as such. The name itself travels as data.
 */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';

export const codeCharactersMax = 200;
const cutCharactersMax = 183;

/** How many codes are kept; when they are that many, all are let go. */
const codesKeptMax = 16_384;

const unreserved = /^[A-Za-z0-9_-]*$/;
const cutEnd = /-[0-9a-f]{16}$/;

const hexOfByte: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  return byte < 128 && unreserved.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

const percentEncode = (name: string): string => {
  if (unreserved.test(name)) return name;
  let code = '';
  for (const byte of Buffer.from(name, 'utf8')) code += hexOfByte[byte];
  return code;
};

/** Whether a code is, or could be taken for, a cut one: so a name that is written like a cut code gets a hash as well. */
const looksCut = (code: string): boolean =>
  code.length >= cutCharactersMax - 2 + 17 && code.length <= codeCharactersMax && cutEnd.test(code);

const computeCode = (name: string): string => {
  const code = percentEncode(name);
  if (code.length <= codeCharactersMax && !looksCut(code)) return code;
  let to = cutCharactersMax;
  if (code[to - 1] === '%') to -= 1;
  else if (code[to - 2] === '%') to -= 2;
  return `${code.slice(0, to)}-${createHash('sha256').update(name, 'utf8').digest('hex').slice(0, 16)}`;
};

const codes = new Map<string, string>();

/** The code of a name: at most 200 characters, all of [A-Za-z0-9_%-]; a longer one is cut and ends in a hash. */
export const encodeName = (name: string): string => {
  let code = codes.get(name);
  if (code === undefined) {
    code = computeCode(name);
    if (codes.size >= codesKeptMax) codes.clear();
    codes.set(name, code);
  }
  return code;
};

/** The name of a code; undefined when it was cut, or is not what `encodeName` writes. */
export const decodeName = (code: string): string | undefined => {
  if (code.length > codeCharactersMax || looksCut(code)) return undefined;
  if (unreserved.test(code)) return code;
  let name: string;
  try {
    name = decodeURIComponent(code); // refuses what is not UTF-8
  } catch {
    return undefined;
  }
  return percentEncode(name) === code ? name : undefined;
};

/** What a published subject says: one service on one host, or a gateway that speaks for many. */
export type ParsedSubject =
  | { readonly kind: 'host'; readonly serviceCode: string; readonly hostCode: string }
  | { readonly kind: 'gateway'; readonly nameCode: string };

/** `metrics.<service>.<host>` or `metrics.<name>`; undefined for anything else. */
export const parseSubject = (published: string): ParsedSubject | undefined => {
  const [first, second, third, ...more] = published.split('.');
  if (first !== 'metrics' || second === undefined || second === '' || more.length > 0) return undefined;
  if (third === undefined) return { kind: 'gateway', nameCode: second };
  return third === '' ? undefined : { kind: 'host', serviceCode: second, hostCode: third };
};

const storedSubject = /^metrics\.(0|[1-9]\d{0,4})\.(.+)$/s;

/** Takes the partition, which the stream's transform put in, out of a subject in METRICS: `metrics.<p>.<…>`. */
export const publishedSubject = (stored: string): { partition: number; published: string } | undefined => {
  const match = storedSubject.exec(stored);
  return match === null ? undefined : { partition: Number(match[1]), published: `metrics.${match[2]}` };
};

/** FNV-1a, 32 bits, over UTF-8. */
const hashText = (text: string): number => {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
};

/** The partition that nats-server's `{{partition(P)}}` gives a published subject. */
export const partitionOf = (subject: string, partitions: number): number => hashText(subject) % partitions;

/** Which of `buckets` groups a service belongs to; the same in every process. */
export const serviceBucket = (service: string, buckets: number): number => hashText(service) % buckets;
