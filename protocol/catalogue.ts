/**
 * EVERY message of Tidemark: start here. The name is the subject's beginning, the file in messages/, the handler's key
 * and the word in the logs, so one search for it shows a message's whole life.
 *
 * `<p>` is a partition, `<service>`, `<host>`, `<agent>` are name codes (name-code.ts).
 */

import type { TSchema } from 'typebox';
import { ActorStatus } from './messages/actor-status.js';
import {
  BatchAbandoned,
  BatchReady,
  BatchRequested,
  RangeAssigned,
  RangeMapped,
  ServicesAssigned,
  ServicesReduced,
  TaskFailed,
  ViewProved,
} from './messages/batch.js';
import { BatchAnswer, BatchAsked } from './messages/batch-asked.js';
import { PartStored } from './messages/part-stored.js';
import { PlaceStored } from './messages/place-stored.js';
import { RawStored } from './messages/raw-stored.js';
import { ReadingSealed } from './messages/reading-sealed.js';
import { RealtimeUpdated } from './messages/realtime-updated.js';
import { SegmentHead } from './messages/segment-sealed.js';
import { TableStored } from './messages/table-stored.js';
import { ViewAsked, ViewUpdated } from './messages/view.js';

export type ActorName = 'agent' | 'buffer' | 'uploader' | 'windower' | 'scheduler' | 'mapper' | 'reducer' | 'merger' | 'dashboard';

export const actorNames: readonly ActorName[] = [
  'agent',
  'buffer',
  'uploader',
  'windower',
  'scheduler',
  'mapper',
  'reducer',
  'merger',
  'dashboard',
];

export interface MessageEntry {
  readonly subject: string;
  /** The stream that keeps it; null: it is heard by who listens, and gone. */
  readonly stream: string | null;
  readonly senders: readonly string[];
  readonly receivers: readonly string[];
  readonly meaning: string;
  /** Of the JSON body, or of its head line; null where the body is somebody else's text. */
  readonly schema: TSchema | null;
}

const entry = (
  subject: string,
  stream: string | null,
  senders: string[],
  receivers: string[],
  meaning: string,
  schema: TSchema | null,
): MessageEntry => ({ subject, stream, senders, receivers, meaning, schema });

export const catalogue = {
  metrics: entry(
    'metrics.<service>.<host> or metrics.<name>',
    'METRICS',
    ['agent', 'import', 'any program'],
    ['buffer'],
    'one or more readings, a JSON line each, as published',
    null,
  ),
  'segment.sealed': entry(
    'segment.sealed.<p>',
    'SEGMENTS-<p>',
    ['buffer'],
    ['uploader', 'windower', 'dashboard'],
    'consecutive records of a partition: checked, normalised, numbered, on disk',
    SegmentHead,
  ),
  'reading.rejected': entry('reading.rejected.<p>', 'REJECTED', ['buffer'], ['people'], 'a refused line, byte for byte, and why', null),
  'reading.sealed': entry(
    'reading.sealed.<agent>',
    null,
    ['buffer'],
    ['agent', 'import'],
    'the acknowledgement: these n of yours are on disk',
    ReadingSealed,
  ),
  'table.stored': entry('table.stored.<p>', 'STORED', ['buffer'], ['buffer'], 'a snapshot of the table of sources is on disk', TableStored),
  'raw.stored': entry(
    'raw.stored.<p>',
    'STORED',
    ['uploader'],
    ['scheduler', 'dashboard', 'verify'],
    'the commit: these offsets are in these byte ranges of these files',
    RawStored,
  ),
  'realtime.updated': entry('realtime.updated.<p>', 'REALTIME', ['windower'], ['merger'], 'changed rows of the open part', RealtimeUpdated),
  'part.stored': entry(
    'part.stored.<p>',
    'STORED',
    ['windower'],
    ['scheduler', 'merger'],
    'these offsets are in this part of the real-time view',
    PartStored,
  ),
  'place.stored': entry(
    'place.stored.<p>',
    'STORED',
    ['windower'],
    ['windower', 'buffer'],
    'no record came since the last part: how far the log was read',
    PlaceStored,
  ),
  'part.asked': entry(
    'part.asked',
    null,
    ['scheduler'],
    ['windower'],
    'close the open part now: a batch of all there is was asked for',
    null,
  ),
  'batch.asked': entry(
    'batch.asked',
    null,
    ['command line'],
    ['scheduler'],
    'a batch or a rebuild now, please; answered with its id',
    BatchAsked,
  ),
  'batch.requested': entry(
    'batch.requested',
    'BATCH',
    ['scheduler'],
    ['merger'],
    'a batch from the old cut to this one has begun',
    BatchRequested,
  ),
  'range.assigned': entry('range.assigned', 'BATCH', ['scheduler'], ['mapper'], 'a task: minute rows of these byte ranges', RangeAssigned),
  'range.mapped': entry('range.mapped', 'BATCH', ['mapper'], ['scheduler'], 'they are in this file', RangeMapped),
  'range.failed': entry('range.failed', 'BATCH', ['mapper'], ['scheduler'], 'they cannot be made, and why', TaskFailed),
  'services.assigned': entry(
    'services.assigned',
    'BATCH',
    ['scheduler'],
    ['reducer'],
    'a task: the new month files of some services',
    ServicesAssigned,
  ),
  'services.reduced': entry(
    'services.reduced',
    'BATCH',
    ['reducer'],
    ['scheduler'],
    'they are there, and this is their listing',
    ServicesReduced,
  ),
  'services.failed': entry('services.failed', 'BATCH', ['reducer'], ['scheduler'], 'they cannot be made, and why', TaskFailed),
  'batch.ready': entry(
    'batch.ready',
    'BATCH',
    ['scheduler'],
    ['merger'],
    'the manifest of a new batch view is written: compare it',
    BatchReady,
  ),
  'batch.abandoned': entry('batch.abandoned', 'BATCH', ['scheduler'], ['merger'], 'nothing came of this batch', BatchAbandoned),
  'view.proved': entry(
    'view.proved',
    'BATCH',
    ['merger'],
    ['merger', 'scheduler', 'dashboard', 'subscribers'],
    'the new batch view was compared with what it replaces; without a difference all answer from it now',
    ViewProved,
  ),
  'view.updated': entry(
    'view.updated.<service>',
    'VIEWS',
    ['merger'],
    ['dashboard', 'subscribers'],
    'whole merged rows that changed',
    ViewUpdated,
  ),
  'view.asked': entry(
    'view.asked',
    null,
    ['dashboard', 'subscribers', 'command line'],
    ['merger'],
    'rows of a range of time, please; answered in chunks',
    ViewAsked,
  ),
  'actor.status': entry(
    '$KV.ACTORS.<actor>.<instance>',
    'KV_ACTORS',
    ['every actor'],
    ['dashboard', 'status'],
    'who works on what, once a second',
    ActorStatus,
  ),
} as const satisfies Record<string, MessageEntry>;

export type MessageName = keyof typeof catalogue;

/** What answers batch.asked. */
export const answers = { 'batch.asked': BatchAnswer } as const;

/** The message table, as `tidemark topology` and the README show it. */
export const topologyTable = (): string => {
  const lines = Object.entries(catalogue as Record<string, MessageEntry>).map(
    ([name, m]) =>
      `| \`${name}\` | \`${m.subject}\` | ${m.stream ?? '–'} | ${m.senders.join(', ')} | ${m.receivers.join(', ')} | ${m.meaning} |`,
  );
  return ['| message | subject | stream | from | to | meaning |', '| --- | --- | --- | --- | --- | --- |', ...lines].join('\n');
};
