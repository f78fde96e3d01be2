/**
 * Readings: from a message's bytes to checked lines, and from a reading to the record's line in the raw file.
 *
 * This runs for every message there is, on one core. So the usual line costs one JSON.parse and comparisons: no
 * regular expression, no schema, no allocation but the reading.
 */
import { Buffer, isAscii, isUtf8 } from 'node:buffer';
import { decodeName, encodeName, type ParsedSubject } from './name-code.js';
import { parseTimestamp } from './time.js';
import { toMillionths } from './units.js';

/** A line that was accepted. */
export interface Reading {
  service: string;
  /** '' for a gateway's line without a host. */
  host: string;
  /** ms since 1970, UTC. */
  at: number;
  /** Whole millionths of a percent. */
  cpu: number;
  ram: number;
  disk: number;
  /** Both, or neither. */
  agent?: string;
  n?: number;
}

/** A line that was not. */
export interface Refusal {
  /** One of a fixed set of phrases, without any of the input. */
  reason: string;
  /** As read, or the subject's, or ''. */
  service: string;
  /** Both, or neither. */
  agent?: string;
  n?: number;
}

export interface LineContext {
  /** Of the published subject; undefined when it is neither a host's nor a gateway's. */
  subject: ParsedSubject | undefined;
  /** When METRICS received the message, ms. */
  received: number;
  /** From the message's headers; `n` is this line's already. */
  agent?: string | undefined;
  n?: number | undefined;
}

/** Of a service's, a host's, an agent's name, in UTF-8. */
export const nameBytesMax = 200;
/** Percent. */
export const percentMax = 10_000;
const earliestAt = Date.UTC(2000, 0, 1);
const aheadMsMax = 86_400_000;

const lineFeed = 10;
const carriageReturn = 13;

/** The lines of a message: split on LF, a CR before it stripped; a final line break makes no line, empty lines are kept. */
export const splitLines = (body: Uint8Array): Uint8Array[] => {
  const lines: Uint8Array[] = [];
  let from = 0;
  while (from < body.length) {
    const feed = body.indexOf(lineFeed, from);
    if (feed === -1) {
      lines.push(from === 0 ? body : body.subarray(from));
      break;
    }
    lines.push(body.subarray(from, body[feed - 1] === carriageReturn ? feed - 1 : feed));
    from = feed + 1;
  }
  return lines;
};

/** Whether a line is only whitespace (ASCII). */
export const isEmptyLine = (line: Uint8Array): boolean => {
  for (let i = 0; i < line.length; i++) {
    const byte = line[i] as number;
    if (byte !== 32 && (byte < 9 || byte > 13)) return false;
  }
  return true;
};

/** `isWellFormed` is in Node 20, not yet in the library types of ES2023. */
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed();

/** What is wrong with a name, or undefined. */
const nameFault = (name: unknown): 'missing' | 'not a text' | 'empty' | 'too long' | 'not Unicode' | undefined => {
  if (typeof name !== 'string') return name === undefined ? 'missing' : 'not a text';
  if (name === '') return 'empty';
  // A UTF-16 unit takes at most three bytes of UTF-8.
  if (name.length * 3 > nameBytesMax && Buffer.byteLength(name) > nameBytesMax) return 'too long';
  return isWellFormed(name) ? undefined : 'not Unicode';
};

/** Whether this can be an agent's id: text of 1 to 200 bytes. */
export const isAgent = (agent: unknown): agent is string => nameFault(agent) === undefined;

/** Whether this can be a reading's number: an integer from 1 to 2^53 - 1. */
export const isReadingNumber = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 1;

/** Of the text that came last: lines of one message, and of one moment, have most of theirs in common. */
const ofLast = <T>(make: (text: string) => T): ((text: string) => T) => {
  let last: { readonly text: string; readonly made: T } | undefined;
  return (text) => {
    if (last?.text !== text) last = { text, made: make(text) };
    return last.made;
  };
};

const serviceCode = ofLast(encodeName);
const hostCode = ofLast(encodeName);
const timeOfText = ofLast(parseTimestamp);

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The text, or undefined where a character is not ASCII. A character is a byte of it, and several times as fast. */
export const readAscii = (bytes: Uint8Array): string | undefined => (isAscii(bytes) ? bufferOf(bytes).toString('latin1') : undefined);

const readText = (line: Uint8Array): string | undefined => readAscii(line) ?? (isUtf8(line) ? bufferOf(line).toString('utf8') : undefined);

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

const subjectService = (subject: ParsedSubject | undefined): string =>
  (subject?.kind === 'host' ? decodeName(subject.serviceCode) : undefined) ?? '';

const headersIdentity = (context: LineContext): { agent: string; n: number } | undefined =>
  isAgent(context.agent) && isReadingNumber(context.n) ? { agent: context.agent, n: context.n } : undefined;

/** The line's agent and n before the headers'; only one of the two is none. */
const identityOf = (fields: Fields, context: LineContext): { agent: string; n: number } | undefined =>
  isAgent(fields.agent) && isReadingNumber(fields.n) ? { agent: fields.agent, n: fields.n } : headersIdentity(context);

/** A line that claims an identity must have a usable one: else its source would send it for ever, and it would count each time. */
const identityFault = (fields: Fields): string | undefined => {
  if (fields.agent === undefined || fields.n === undefined) return undefined;
  if (!isAgent(fields.agent)) return 'agent not a text of 1 to 200 bytes';
  return isReadingNumber(fields.n) ? undefined : 'n not a whole number from 1';
};

const refusal = (reason: string, service: string, identity: { agent: string; n: number } | undefined): Refusal =>
  identity === undefined ? { reason, service } : { reason, service, agent: identity.agent, n: identity.n };

const percentFault = (name: string, value: unknown): string | undefined => {
  if (typeof value !== 'number') return `${name} ${value === undefined ? 'missing' : 'not a number'}`;
  if (!Number.isFinite(value)) return 'not JSON'; // 1e999: no number that anybody could have meant
  if (value < 0) return `${name} below 0`;
  return value > percentMax ? `${name} above 10000` : undefined;
};

/** The original's `{"Total","Free"}` in percent used, or what is wrong with it. One rounding: of the quotient. */
const percentUsed = (name: string, value: unknown): number | string => {
  if (!isFields(value)) return `${name} ${value === undefined ? 'missing' : 'not an object'}`;
  const { Total: total, Free: free } = value;
  if (typeof total !== 'number') return `${name}.Total ${total === undefined ? 'missing' : 'not a number'}`;
  if (typeof free !== 'number') return `${name}.Free ${free === undefined ? 'missing' : 'not a number'}`;
  if (!Number.isFinite(total) || !Number.isFinite(free)) return 'not JSON';
  if (total <= 0) return `${name}.Total not above 0`;
  return free >= 0 && free <= total ? (100 * (total - free)) / total : `${name}.Free not within 0 and Total`;
};

const timeFault = (at: number | undefined, given: unknown, received: number): string | undefined => {
  if (typeof given === 'number' && !Number.isFinite(given)) return 'not JSON';
  if (at === undefined) return given === undefined ? 'timestamp missing' : 'timestamp not a time';
  if (at < earliestAt) return 'time before 2000';
  return at > received + aheadMsMax ? 'time more than a day ahead' : undefined;
};

/** The host of a line that may not name one: the subject's; a gateway's is ''. Undefined: none can be read. */
const hostOf = (given: unknown, subject: ParsedSubject): unknown => {
  if (given !== undefined) return given;
  return subject.kind === 'gateway' ? '' : decodeName(subject.hostCode);
};

/**
 * Checks one line that is not empty: the reading, or why it is refused.
 * @param text the line's, where it is known that it is text
 */
export const readLine = (line: Uint8Array, context: LineContext, text = readText(line)): Reading | Refusal => {
  const { subject } = context;
  if (text === undefined) return refusal('not UTF-8', subjectService(subject), headersIdentity(context));
  const fields = parseJson(text);
  if (!isFields(fields)) {
    const reason = fields === undefined ? 'not JSON' : 'not an object';
    return refusal(reason, subjectService(subject), headersIdentity(context));
  }

  const isOriginal = fields.service === undefined && fields.serviceName !== undefined;
  const service = isOriginal ? fields.serviceName : fields.service;
  const identity = identityOf(fields, context);
  const serviceFault = nameFault(service);
  const refuse = (reason: string): Refusal =>
    refusal(reason, serviceFault === undefined ? (service as string) : subjectService(subject), identity);

  if (subject === undefined) return refuse("subject is neither a host's nor a gateway's");
  if (serviceFault !== undefined) return refuse(`service ${serviceFault}`);
  if (subject.kind === 'host' && serviceCode(service as string) !== subject.serviceCode) {
    return refuse("service is not the subject's");
  }
  const host = hostOf(fields.host, subject);
  if (host !== '' || fields.host === '') {
    const hostFault = nameFault(host);
    if (hostFault !== undefined) return refuse(`host ${hostFault}`);
  }
  if (subject.kind === 'host' && hostCode(host as string) !== subject.hostCode) return refuse("host is not the subject's");

  const given = isOriginal ? fields.Timestamp : fields.timestamp;
  const at = typeof given === 'string' ? timeOfText(given) : parseTimestamp(given);
  const fault = timeFault(at, given, context.received) ?? identityFault(fields);
  if (fault !== undefined) return refuse(fault);

  const cpu = isOriginal ? fields.CPU : fields.cpu;
  const ram = isOriginal ? percentUsed('RAM', fields.RAM) : fields.ram;
  const disk = isOriginal ? percentUsed('Disk', fields.Disk) : fields.disk;
  if (isOriginal && typeof ram === 'string') return refuse(ram);
  if (isOriginal && typeof disk === 'string') return refuse(disk);
  const valueFault = percentFault('cpu', cpu) ?? percentFault('ram', ram) ?? percentFault('disk', disk);
  if (valueFault !== undefined) return refuse(valueFault);

  const reading: Reading = {
    service: service as string,
    host: host as string,
    at: at as number,
    cpu: toMillionths(cpu as number),
    ram: toMillionths(ram as number),
    disk: toMillionths(disk as number),
  };
  if (identity !== undefined) {
    reading.agent = identity.agent;
    reading.n = identity.n;
  }
  return reading;
};

export const isRefusal = (read: Reading | Refusal): read is Refusal => (read as Refusal).reason !== undefined;

/** How many quoted names are kept; when they are that many, all are let go. */
const quotedKeptMax = 16_384;
const quotedNames = new Map<string, string>();

const quote = (name: string): string => {
  let quoted = quotedNames.get(name);
  if (quoted === undefined) {
    quoted = JSON.stringify(name);
    if (quotedNames.size >= quotedKeptMax) quotedNames.clear();
    quotedNames.set(name, quoted);
  }
  return quoted;
};

const serviceText = ofLast(quote);
const hostText = ofLast(quote);
const subjectText = ofLast(quote);
const agentText = ofLast(quote);

const hundredthsMax = 10_000;
/** Percents of two decimals, which is what most sources give, as texts: writing a double as text costs more than the rest of a line. */
const hundredthTexts = new Array<string | undefined>(hundredthsMax + 1).fill(undefined);

const percentText = (millionths: number): string => {
  const hundredths = millionths / 10_000;
  if (hundredths > hundredthsMax || !Number.isInteger(hundredths)) return String(millionths / 1e6);
  hundredthTexts[hundredths] ??= String(hundredths / 100);
  return hundredthTexts[hundredths] as string;
};

/**
 * The record's line in the raw file (RecordLine), without a line break: `reading` at `offset`, from a message that
 * METRICS received at `received`. `identitySubject` is the published subject, where the source gave agent and n.
 */
export const recordLine = (offset: number, reading: Reading, received: number, identitySubject?: string): string => {
  const line =
    `{"offset":${offset},"service":${serviceText(reading.service)},"host":${hostText(reading.host)},"timestamp":${reading.at}` +
    `,"cpu":${percentText(reading.cpu)},"ram":${percentText(reading.ram)},"disk":${percentText(reading.disk)},"received":${received}`;
  return identitySubject === undefined || reading.agent === undefined
    ? `${line}}`
    : `${line},"subject":${subjectText(identitySubject)},"agent":${agentText(reading.agent)},"n":${reading.n}}`;
};
