/** The HTTP server on a real NATS server, with a stand-in for the merger whose rows the test names. */
import type { FastifyInstance } from 'fastify';
import type { Test } from 'tap';
import { type Access, accessOf } from '../../../actors/dashboard/access.js';
import { CommitFinder } from '../../../actors/dashboard/commits.js';
import { EventRing } from '../../../actors/dashboard/event-ring.js';
import { EventFeed } from '../../../actors/dashboard/events.js';
import { Explainer } from '../../../actors/dashboard/explain.js';
import { createServer } from '../../../actors/dashboard/server.js';
import { ServiceFinder } from '../../../actors/dashboard/services.js';
import { ConnectionKept, ViewReader } from '../../../actors/dashboard/view-reader.js';
import { Steps } from '../../../actors/merger/steps.js';
import type { Bus } from '../../../infra/bus/bus.js';
import { openBus } from '../../../infra/bus/nats.js';
import { ensureStreams } from '../../../infra/bus/streams.js';
import { loadSettings } from '../../../infra/config.js';
import { createLog } from '../../../infra/log.js';
import { openLocalStorage } from '../../../infra/storage/local.js';
import type { Terms, ViewAsked } from '../../../protocol/messages/view.js';
import { addRecord, emptyRow, type KeyedRow, mergeInto } from '../../../protocol/minute-row.js';
import { parseAsked } from '../../../protocol/time.js';
import { blocksOf } from '../../infra/client/stand-in.js';
import { startNats } from '../../servers.js';

export const minute = Date.UTC(2026, 10, 23, 10, 15);

/** A service's row of so many records, all alike but for their times. */
export const rowOf = (service: string, at: number, cpu = 12.5, messages = 1): KeyedRow => {
  const row = emptyRow();
  for (let i = 0; i < messages; i++) addRecord(row, at + i, Math.round(cpu * 1e6), 2_000_000, 3_000_000);
  return { service, minute: at, row };
};

export interface Served {
  readonly server: FastifyInstance;
  readonly bus: Bus;
  readonly nats: string;
  /** What the stand-in answers from; a test may change it. */
  rows: KeyedRow[];
  terms: Terms;
  /** What it was asked. */
  readonly asked: ViewAsked[];
  /** Until it resolves, nothing is answered. */
  hold: Promise<void> | undefined;
  /** What is answered instead of rows. */
  refusal: { error: string; code: string } | undefined;
  readonly feed: EventFeed;
}

const newTerms = (): Terms => ({ batch: '000001', cut: [1, 2], position: [7, 9], newest: null, missing: 1, refused: 2, late: 3 });

const answerOf = (rows: readonly KeyedRow[], asked: ViewAsked): KeyedRow[] => {
  const now = Date.now();
  const from = parseAsked(asked.from, now) ?? 0;
  const to = parseAsked(asked.to, now) ?? 0;
  const steps = new Steps({ from, to, step: asked.step ?? 'minute', zone: asked.zone ?? 'UTC' });
  const merged = new Map<string, KeyedRow>();
  for (const { service, minute: at, row } of rows) {
    if (at < from || at >= to || (asked.services !== undefined && asked.services.length > 0 && !asked.services.includes(service))) continue;
    const start = steps.startOf(at);
    const key = `${service} ${start}`;
    const known = merged.get(key) ?? { service, minute: start, row: emptyRow() };
    merged.set(key, known);
    mergeInto(known.row, row);
  }
  return [...merged.values()].sort((a, b) => (a.service < b.service ? -1 : a.service > b.service ? 1 : a.minute - b.minute));
};

export const serve = async (t: Test, { token }: { token?: string } = {}): Promise<Served> => {
  const { url, data } = await startNats(t);
  const { settings } = loadSettings({ data, nats: url, logLevel: 'silent', partitions: '2' }, { env: {} });
  await ensureStreams({ ...settings, nats: url });
  const log = createLog(settings);
  const storage = await openLocalStorage(data);
  const open = (): Promise<Bus> => openBus({ nats: url }, 'test');
  const bus = await open();
  const connection = new ConnectionKept(open);
  const reader = new ViewReader(connection);
  const feed = new EventFeed(new EventRing(1024 * 1024), open, log);
  const access: Access = accessOf(token);
  const server = await createServer({
    world: { storage, readStatus: async () => ({ problems: [] }) } as unknown as Parameters<typeof createServer>[0]['world'],
    connection,
    reader,
    feed,
    explainer: new Explainer(reader, storage, new CommitFinder(storage, 2)),
    services: new ServiceFinder(reader),
    access,
    log,
    dropped: () => undefined,
    answered: () => undefined,
  });
  const served: Served = { server, bus, nats: url, rows: [], terms: newTerms(), asked: [], hold: undefined, refusal: undefined, feed };
  bus.hear('view.asked', (message) => {
    const asked = JSON.parse(Buffer.from(message.body).toString('utf8')) as ViewAsked;
    served.asked.push(asked);
    const { rows, terms, hold, refusal } = served;
    const respond = (): void => message.respond(refusal ? JSON.stringify(refusal) : blocksOf(answerOf(rows, asked), terms));
    if (hold === undefined) respond();
    else void hold.then(respond);
  });
  await bus.flush();
  t.teardown(async () => {
    await server.close();
    await connection.close();
    await bus.close();
    await storage.close();
  });
  return served;
};
