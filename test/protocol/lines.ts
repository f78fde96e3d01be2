/** Lines as a message brings them, for the tests of readings. */
import { encodeName, parseSubject } from '../../protocol/name-code.js';
import { isRefusal, type LineContext, type Reading, type Refusal, readLine } from '../../protocol/reading.js';

export const received = Date.UTC(2026, 10, 23, 10, 15);
export const dayMs = 86_400_000;
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const gateway: LineContext = { subject: parseSubject('metrics.gw'), received };
export const hostOf = (service: string, host: string): LineContext => ({
  subject: parseSubject(`metrics.${encodeName(service)}.${encodeName(host)}`),
  received,
});
export const read = (line: string | object, context = gateway): Reading | Refusal =>
  readLine(bytes(typeof line === 'string' ? line : JSON.stringify(line)), context);
export const reasonOf = (line: string | object, context = gateway): string | undefined => {
  const outcome = read(line, context);
  return isRefusal(outcome) ? outcome.reason : undefined;
};
export const good = {
  service: 'web',
  host: 'h1',
  timestamp: '2026-11-23T10:14:00.5Z',
  cpu: 12.5,
  ram: 40,
  disk: 99.123456,
};
export const accepted = {
  service: 'web',
  host: 'h1',
  at: received - 59_500,
  cpu: 12_500_000,
  ram: 40_000_000,
  disk: 99_123_456,
};
export const without = (name: string): object => Object.fromEntries(Object.entries(good).filter(([key]) => key !== name));
