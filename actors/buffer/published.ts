/** A message of METRICS as it was published: its subject, and what its headers say of its lines. */
import type { LogMessage } from '../../infra/bus/bus.js';
import { type ParsedSubject, parseSubject, publishedSubject } from '../../protocol/name-code.js';
import { isAgent, isReadingNumber, type LineContext } from '../../protocol/reading.js';

interface Identity {
  readonly agent: string;
  readonly n: number;
}

interface Subject {
  readonly subject: string;
  readonly parsed: ParsedSubject | undefined;
}

export interface PublishedMessage {
  readonly subject: string;
  readonly header: Identity | undefined;
  readonly oldest: number | undefined;
  readonly message: LogMessage;
  /** Of each of its lines; n is the line's. */
  readonly context: LineContext;
}

const subjects = new Map<string, Subject>();

const subjectOf = (stored: string): Subject => {
  let known = subjects.get(stored);
  if (known === undefined) {
    const subject = publishedSubject(stored)?.published ?? stored;
    known = { subject, parsed: parseSubject(subject) };
    if (subjects.size >= 16_384) subjects.clear();
    subjects.set(stored, known);
  }
  return known;
};

export const readMessage = (message: LogMessage): PublishedMessage => {
  const { subject, parsed } = subjectOf(message.subject);
  const context: LineContext = { subject: parsed, received: message.received, agent: undefined, n: undefined };
  if (!message.hasHeaders) return { subject, header: undefined, oldest: undefined, message, context }; // the usual case
  const agent = message.header('Tidemark-Agent');
  const n = Number(message.header('Tidemark-N'));
  const oldest = Number(message.header('Tidemark-Oldest'));
  const header = agent !== undefined && isAgent(agent) && isReadingNumber(n) ? { agent, n } : undefined;
  context.agent = header?.agent;
  return { subject, header, oldest: isReadingNumber(oldest) ? oldest : undefined, message, context };
};
