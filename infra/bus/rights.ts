/**
 * Who may publish and hear which subjects: of every actor what the catalogue says, and what reading its logs takes.
 *
 * R1  A user publishes and hears what the table below gives it, and nothing else.
 * R2  An agent publishes on its own subject alone, and hears acknowledgements.
 */
import { type ActorName, catalogue, type MessageEntry } from '../../protocol/catalogue.js';
import { encodeName } from '../../protocol/name-code.js';
import { segmentsStream } from './streams.js';

/** What somebody is to Tidemark. */
export type Role =
  /** Everything: `start`, and commands on the machine of the data. */
  | { readonly kind: 'operator' }
  | { readonly kind: 'actor'; readonly actor: ActorName }
  /** Measures one service on one host; without a service, any of that host. */
  | { readonly kind: 'agent'; readonly service?: string; readonly host: string }
  /** Speaks for many services, on `metrics.<name>`. */
  | { readonly kind: 'gateway'; readonly name: string }
  /** Asks and watches. */
  | { readonly kind: 'subscriber' }
  /** Whoever comes without credentials, on loopback alone: publishes readings, asks, watches. */
  | { readonly kind: 'local' };

/** Subjects as NATS knows them, with its wildcards. */
export interface Rights {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** May answer who asked it, on that one's inbox. */
  readonly answers: boolean;
}

const entries: readonly MessageEntry[] = Object.values(catalogue);

/** `segment.sealed.<p>` is `segment.sealed.*`. */
const filterOf = (subject: string): string => (subject.startsWith('metrics.') ? 'metrics.>' : subject.replace(/<[^>]+>/g, '*'));

const streamsOf = ({ stream }: MessageEntry, partitions: number): string[] => {
  if (stream === null) return [];
  if (!stream.includes('<p>')) return [stream];
  return Array.from({ length: partitions }, (_, p) => segmentsStream(p));
};

/** Reading a log in order, its last message on a subject, one by its sequence, its extent. */
const reading = (stream: string): string[] => [
  `$JS.API.STREAM.INFO.${stream}`,
  `$JS.API.STREAM.MSG.GET.${stream}`,
  `$JS.API.DIRECT.GET.${stream}`,
  `$JS.API.DIRECT.GET.${stream}.>`,
  `$JS.API.CONSUMER.CREATE.${stream}`,
  `$JS.API.CONSUMER.CREATE.${stream}.>`,
  `$JS.API.CONSUMER.INFO.${stream}.*`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.*`,
  `$JS.API.CONSUMER.DELETE.${stream}.*`,
];

/** A bucket that every actor has: leases, and who works on what. */
const bucket = (name: string): string[] => [
  `$KV.${name}.>`,
  `$JS.API.STREAM.CREATE.KV_${name}`,
  `$JS.API.STREAM.INFO.KV_${name}`,
  `$JS.API.STREAM.MSG.GET.KV_${name}`,
  `$JS.API.DIRECT.GET.KV_${name}`,
  `$JS.API.DIRECT.GET.KV_${name}.>`,
];

const allStreams = (partitions: number): string[] => [...new Set(entries.flatMap((entry) => streamsOf(entry, partitions)))];

/** Who purges what: the buffer its ingress and its log, the others what they publish and nobody needs any more. */
const purged = (actor: ActorName, partitions: number): string[] => {
  if (actor === 'buffer') return ['METRICS', ...Array.from({ length: partitions }, (_, p) => segmentsStream(p))];
  if (actor === 'windower') return ['REALTIME'];
  if (actor === 'scheduler') return ['STORED', 'BATCH', 'REALTIME'];
  return [];
};

const actorRights = (actor: ActorName, partitions: number): Rights => {
  const sent = entries.filter(({ senders }) => senders.includes(actor));
  const received = entries.filter(({ receivers }) => receivers.includes(actor));
  // The scheduler counts a rebuilt view a second time with verify's code, which reads every log; the dashboard explains from them.
  const readsAll = actor === 'scheduler' || actor === 'dashboard';
  const read = readsAll ? allStreams(partitions) : [...new Set([...sent, ...received].flatMap((entry) => streamsOf(entry, partitions)))];
  return {
    publish: [
      ...sent.map(({ subject }) => filterOf(subject)),
      '$JS.API.INFO',
      ...(actor === 'dashboard' ? ['$JS.API.STREAM.LIST'] : []), // it says how full they are
      ...(readsAll ? ['$JS.API.STREAM.LIST'] : []), // how full each is
      ...allStreams(partitions).map((stream) => `$JS.API.STREAM.INFO.${stream}`), // a start looks whether they are there
      ...read.flatMap(reading),
      ...purged(actor, partitions).map((stream) => `$JS.API.STREAM.PURGE.${stream}`),
      ...bucket('LEASES'),
      ...bucket('ACTORS'),
      `$JS.ACK.*.${actor}.>`, // the tasks of its queue
    ],
    subscribe: received.map(({ subject }) => filterOf(subject)),
    answers: actor === 'merger' || actor === 'scheduler',
  };
};

/** Asks, and reads the updates that came while it was away; no other log. */
const asking: Rights = {
  publish: ['view.asked', ...reading('VIEWS')],
  subscribe: ['view.updated.>', 'view.proved'],
  answers: false,
};

const publishing = (subject: string): Rights => ({ publish: [subject], subscribe: ['reading.sealed.>'], answers: false });

/** @param inbox where answers to this user go, without the token at its end: nobody else may hear there. */
export const rightsOf = (role: Role, partitions: number, inbox: string): Rights => {
  const rights = withoutInbox(role, partitions);
  return {
    ...rights,
    publish: [...new Set(rights.publish)],
    subscribe: role.kind === 'operator' ? rights.subscribe : [...new Set([...rights.subscribe, `${inbox}.>`])],
  };
};

const withoutInbox = (role: Role, partitions: number): Rights => {
  switch (role.kind) {
    case 'operator':
      return { publish: ['>'], subscribe: ['>'], answers: false };
    case 'actor':
      return actorRights(role.actor, partitions);
    case 'agent':
      return publishing(`metrics.${role.service === undefined ? '*' : encodeName(role.service)}.${encodeName(role.host)}`);
    case 'gateway':
      return publishing(`metrics.${encodeName(role.name)}`);
    case 'subscriber':
      return asking;
    case 'local':
      return {
        publish: ['metrics.>', ...asking.publish],
        subscribe: ['reading.sealed.>', ...asking.subscribe],
        answers: false,
      };
  }
};
