/** A stream of messages as bad as a network of strangers would send it; the same seed gives the same stream. */
import { Buffer } from 'node:buffer';
import type { Random } from '../chaos/random.js';
import type { Message } from './expected.js';
import { badLine, goodLine, type HostileLine, mismatch } from './lines.js';
import { hostileNames } from './names.js';
import { codeOf } from './verdict.js';

export interface HostileOptions {
  readonly random: Random;
  /** Lines to make, copies not counted. */
  readonly readings: number;
  /** About when they are received, ms. */
  readonly now: number;
  /** Tells the agents of one stream from those of another. */
  readonly run: string;
}

const minuteMs = 60_000;
const dayMs = 86_400_000;
const firstOf2000 = 946_684_800_000;

/** When a reading of service `index` was made: mostly some minutes ago, else any time in its months, up to a day ahead. */
const timeOf = (random: Random, index: number, now: number): number => {
  const start = Math.floor(now / minuteMs) * minuteMs;
  const inMinute = random.pick([0, 1, 59_999, 30_000, random.below(60_000)]);
  if (index % 16 === 0 && random.happens(0.01)) return firstOf2000 + random.pick([0, 1, random.below(1_000)]);
  const way = random.below(20);
  if (way === 0) return now + dayMs - 900_000 - random.below(3_600_000);
  if (way < 13) return start - (1 + random.below(40)) * minuteMs + inMinute;
  const days = index % 8 === 0 ? 400 : 45;
  return start - random.below(days) * dayMs - random.below(12) * 2 * 3_600_000 + inMinute;
};

/** Where something is published from: a subject, and whether readings have an identity, and where that stands. */
interface Sender {
  readonly subject: string;
  readonly kind: 'host' | 'gateway' | 'nowhere';
  readonly service: string | undefined;
  readonly host: string | undefined;
  readonly identity: 'headers' | 'lines' | 'both' | 'none';
  readonly name: string;
  agent: string;
  next: number;
  /** Of both: in some lines there stands another agent, with its own n. */
  nextBeside: number;
  /** Held back, to be sent later. */
  readonly held: Message[];
}

const senderCount = 160;

/** A header's value cannot hold everything that an agent's id may. */
const headerAgents = ['agent', 'an agent', '7f3a', '__proto__', '\u00e9t\u00e9', 'x'.repeat(150)];

const makeSender = (random: Random, i: number, run: string): Sender => {
  const kind = i % 40 === 7 ? 'nowhere' : i % 3 === 0 ? 'gateway' : 'host';
  const service = random.pick(hostileNames);
  const host = random.pick(hostileNames);
  const identity = random.pick(['headers', 'lines', 'both', 'none'] as const);
  const name = identity === 'headers' || identity === 'both' ? random.pick(headerAgents) : random.pick(hostileNames).slice(0, 60);
  const agent = `${name} ${run}-${i}`;
  const subject =
    kind === 'host'
      ? `metrics.${codeOf(service)}.${codeOf(host)}`
      : kind === 'gateway'
        ? `metrics.${codeOf(random.pick(hostileNames))}`
        : 'metrics.a.b.c';
  return {
    subject,
    kind,
    identity,
    name: agent,
    agent,
    next: 1,
    nextBeside: 1,
    held: [],
    service: kind === 'host' ? service : undefined,
    host: kind === 'host' ? host : undefined,
  };
};

const codeLimit = 200;
/** Whether the host can be read from the subject: not where its code was cut. */
const isReadable = (host: string): boolean => decodeURIComponentSafely(codeOf(host)) === host;
const decodeURIComponentSafely = (code: string): string | undefined => {
  try {
    return code.length > codeLimit ? undefined : decodeURIComponent(code);
  } catch {
    return undefined;
  }
};

/** One more line of a sender. */
export const nextLine = (
  random: Random,
  now: number,
  sender: Pick<Sender, 'kind' | 'service' | 'host'>,
  identity?: { agent: string; n: number },
): HostileLine => {
  const index = random.below(hostileNames.length);
  const service = sender.service ?? (hostileNames[index] as string);
  const host =
    sender.kind === 'host'
      ? sender.host !== undefined && isReadable(sender.host) && random.happens(0.1)
        ? undefined
        : sender.host
      : random.happens(0.2)
        ? undefined
        : random.pick(hostileNames);
  const at = timeOf(random, hostileNames.indexOf(service), now);
  const options = { service, host, at, now, identity };
  if (sender.kind === 'host' && host !== undefined && random.happens(0.01)) return mismatch({ ...options, host }, random);
  return random.happens(0.06) ? badLine(options, random) : goodLine(options, random);
};

const emptyLines = ['', ' ', '\t', '  \t '];

/** A line that cannot be parsed leaves a hole, and a source has at most 64 ranges (B6): so it starts anew in time. */
function* startAnew(sender: Sender): Generator<Message> {
  if (Math.max(sender.next, sender.nextBeside) < 1_000) return;
  yield* sender.held.splice(0);
  sender.agent = `${sender.name} ${Number(sender.agent.slice(sender.name.length)) + 1}`;
  sender.next = 1;
  sender.nextBeside = 1;
}

/** A message of up to `linesMax` lines, and how many of them are no empty ones. */
const makeMessage = (random: Random, now: number, sender: Sender, linesMax: number): { message: Message; lines: number } => {
  const { identity, agent } = sender;
  const inHeader = identity === 'headers' || identity === 'both';
  const n = sender.next;
  const lines: Buffer[] = [];
  let count = 0;
  for (let left = 1 + random.below(linesMax); left > 0; left--) {
    if (random.happens(0.03)) lines.push(Buffer.from(random.pick(emptyLines)));
    const isOwn = identity === 'lines' || (identity === 'both' && random.happens(0.5));
    const beside = inHeader ? { agent: `${agent} beside`, n: sender.nextBeside } : { agent, n: sender.next };
    if (isOwn && inHeader) sender.nextBeside += 1;
    else if (isOwn) sender.next += 1;
    const own = isOwn ? beside : undefined;
    lines.push(nextLine(random, now, sender, own).bytes);
    count += 1;
  }
  if (inHeader) sender.next += lines.length;
  const feed = Buffer.from(random.pick(['\n', '\n', '\r\n']));
  const body = Buffer.concat(lines.flatMap((line, i) => (i === 0 ? [line] : [feed, line])));
  // An empty last line would be none without a line break of its own.
  const isLastEmpty = (lines.at(-1) as Buffer).length === 0;
  const ended = isLastEmpty || random.happens(0.3) ? Buffer.concat([body, feed]) : body;
  return {
    message: { subject: sender.subject, body: ended, header: inHeader ? { agent, n } : undefined },
    lines: count,
  };
};

/** Messages in the order in which one connection sends them; copies and held back ones among them. */
export function* hostileMessages({ random, readings, now, run }: HostileOptions): Generator<Message> {
  const senders = Array.from({ length: senderCount }, (_, i) => makeSender(random, i, run));
  const recent: Message[] = [];
  let dropped = 0;
  for (let made = 0; made < readings; ) {
    const sender = random.pick(senders);
    yield* startAnew(sender);
    const { message, lines } = makeMessage(random, now, sender, Math.min(readings - made, random.pick([1, 3, 40, 80])));
    made += lines;
    const hasIdentity = sender.identity !== 'none';
    if (hasIdentity && dropped < 5 && made > readings / 4 && random.happens(0.02)) {
      dropped += 1; // never comes: it is missing
    } else if (hasIdentity && sender.held.length < 8 && random.happens(0.05)) {
      sender.held.push(message);
    } else {
      yield message;
      if (hasIdentity) recent[random.below(50)] = message;
    }
    if (random.happens(0.05)) yield* sender.held.splice(0, 1);
    if (random.happens(0.06) && recent.length > 0) {
      const copy = random.pick(recent);
      if (copy !== undefined) yield copy;
    }
  }
  for (const { held } of senders) yield* held.splice(0);
}

/** The lines of a file, with copies of those that have an identity. */
export function* hostileFile({ random, readings, now, run }: HostileOptions): Generator<HostileLine> {
  const agents = Array.from({ length: 20 }, (_, i) => ({
    agent: `${random.pick(hostileNames).slice(0, 60)} ${run}-${i}`,
    n: 1,
  }));
  const recent: HostileLine[] = [];
  for (let made = 0; made < readings; made++) {
    const agent = random.happens(0.3) ? random.pick(agents) : undefined;
    const line = nextLine(
      random,
      now,
      { kind: 'gateway', service: undefined, host: undefined },
      agent && { agent: agent.agent, n: agent.n++ },
    );
    if (agent && agent.n > 20_000) {
      agent.agent += '+';
      agent.n = 1;
    }
    yield line;
    if (agent) recent[random.below(50)] = line;
    if (random.happens(0.02) && recent.length > 0) {
      const copy = random.pick(recent);
      if (copy !== undefined) yield copy;
    }
  }
}
