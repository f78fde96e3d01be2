/** The API in words: what /docs shows and /api/v1/openapi.json says. Parameters are checked by parameters.ts, not by this. */
import { steps } from '../../protocol/messages/view.js';
import { formats } from './parameters.js';

type Shape = Readonly<Record<string, unknown>>;

const text = (description: string, more: Shape = {}): Shape => ({ type: 'string', description, ...more });
const number = (description: string): Shape => ({ type: 'number', description });
const whole = (description: string, more: Shape = {}): Shape => ({ type: 'integer', description, ...more });
const list = (items: Shape, description: string): Shape => ({ type: 'array', items, description });
const object = (properties: Readonly<Record<string, Shape>>, description = ''): Shape => ({ type: 'object', description, properties });
const orNull = (shape: Shape): Shape => ({ ...shape, type: [shape.type, 'null'] });

const moment = text('a time, UTC: 2026-11-23T10:15:00.123Z');
const position = list(whole('offset'), 'one offset for each partition: how far the view has got');

const times = {
  from: text('begins with this minute: 2026-11-23T10:15:00Z, 2026-11-23, seconds or milliseconds since 1970, now, now-6h', {
    examples: ['now-6h'],
  }),
  to: text('ends before this minute: the same', { examples: ['now'] }),
};
const service = list(text('a name'), 'this service; may be given several times. None: every service');
const zone = text('IANA time zone in which hours and days begin', { default: 'UTC', examples: ['Europe/Berlin'] });
const after = text('answer when the view has got at least this far: 120,88,0,431, as an answer or an event gave it');
const wait = text('how long that may take, at most 60s', { default: '10s' });

const terms = object(
  {
    batch: orNull(text('id of the batch view; null before the first')),
    cut: { ...position, description: 'below it rows are from the batch view, from it on from real time' },
    position,
    newest: orNull(text('newest minute of these services')),
    missing: whole('readings of these services that were numbered and have not come'),
    refused: whole('readings that were refused'),
    late: whole('readings that came after the cut, of minutes that were over by then'),
  },
  'what the answer is an answer of',
);

const row = object({
  service: text('its name'),
  time_stamp: text('the minute (hour, day, range): its beginning, UTC'),
  cpu: number('total over msg_num readings, percent'),
  ram: number('total'),
  disk: number('total'),
  max_cpu_time: text('when the highest reading was; of equals the earliest'),
  max_cpu: number('the highest reading'),
  max_ram_time: text('as above'),
  max_ram: number('as above'),
  max_disk_time: text('as above'),
  max_disk: number('as above'),
  msg_num: whole('number of readings'),
});

const etag = text('changes when the rows do; also as a header (weak), for If-None-Match; a 304 has the terms of now in its headers');

const error = object({
  error: object({ code: text('E_…: does not change'), message: text('what, where, what to do'), field: text('the parameter') }),
});

const failures = {
  400: { description: 'a parameter is wrong: which one stands in error.field', content: { 'application/json': { schema: error } } },
  401: { description: 'a token is needed' },
  429: { description: 'too many requests' },
  503: { description: 'nobody answers now, or `after` was not reached in time' },
};

const ok = (schema: Shape, description = 'the answer'): Shape => ({ description, content: { 'application/json': { schema } } });

const columnsOf = (description: string): Shape =>
  object(
    {
      mean: list(number('mean'), 'of the bucket'),
      min: list(number('lowest'), 'lowest mean of a minute'),
      max: list(number('highest'), 'highest reading'),
      maxTime: list(moment, 'when that was'),
    },
    description,
  );

const peak = object({ mean: orNull(number('mean')), max: orNull(number('highest reading')), maxTime: orNull(moment) });

export const descriptions = {
  views: {
    summary: 'Rows of a range of time',
    description: 'Half-open: from <= minute < to. `tidemark query` gives the same.',
    tags: ['view'],
    querystring: object({
      ...times,
      service,
      step: text('one row for each', { enum: steps, default: 'minute' }),
      zone,
      after,
      wait,
      format: text('CSV and Parquet say their terms in headers Tidemark-…', { enum: formats, default: 'json' }),
    }),
    response: {
      200: ok(object({ rows: list(row, 'by service, then time'), terms, etag })),
      304: { description: 'the rows are the same' },
      ...failures,
    },
  },
  series: {
    summary: 'The same for charts: as few buckets as there are points, no peak lost',
    description: 'A bucket without a message is not there: a gap is a gap. A range longer than 92 days is read by hours.',
    tags: ['view'],
    querystring: object({
      ...times,
      service,
      zone,
      points: whole('how many buckets at most', { default: 1_000, minimum: 10, maximum: 10_000 }),
      after,
      wait,
    }),
    response: {
      200: ok(
        object({
          bucketMinutes: whole('length of a bucket'),
          grain: text('what the lowest mean is one of', { enum: ['minute', 'hour'] }),
          services: list(
            object({
              service: text('its name'),
              time: list(whole('seconds since 1970'), 'beginnings of the buckets'),
              msg_num: list(whole('readings'), 'in the bucket'),
              cpu: columnsOf('percent'),
              ram: columnsOf('percent'),
              disk: columnsOf('percent'),
            }),
            'in order of their names',
          ),
          terms,
          etag,
        }),
      ),
      304: { description: 'the numbers are the same' },
      ...failures,
    },
  },
  summary: {
    summary: 'One line for each service in a range',
    description: 'missing, refused and late count since the data was made.',
    tags: ['view'],
    querystring: object({ ...times, service, zone, after, wait }),
    response: {
      200: ok(
        object({
          grain: text('what first and last are', { enum: ['minute', 'hour'] }),
          services: list(
            object({
              service: text('its name'),
              msg_num: whole('readings in the range'),
              cpu: peak,
              ram: peak,
              disk: peak,
              missing: whole('numbered, and have not come'),
              refused: whole('refused'),
              late: whole('after the cut, of minutes that were over'),
              first: orNull(text('first minute in the range')),
              last: orNull(text('last minute in the range')),
            }),
            'in order of their names',
          ),
          terms,
          etag,
        }),
      ),
      304: { description: 'the numbers are the same' },
      ...failures,
    },
  },
  services: {
    summary: 'Every service there ever was',
    tags: ['view'],
    response: {
      200: ok(
        object({
          services: list(
            object({ service: text('its name'), first: text('first minute'), last: text('last minute') }),
            'in order of their names',
          ),
          first: orNull(text('first minute of all')),
          last: orNull(text('last minute of all')),
          terms,
        }),
      ),
      ...failures,
    },
  },
  explain: {
    summary: 'The raw messages behind a row, those that set its peaks first',
    tags: ['view'],
    querystring: object({
      service: text('one service'),
      minute: text("the row's time_stamp, or any time in its minute"),
      limit: whole('how many messages at most', { default: 100, minimum: 1, maximum: 1_000 }),
      after,
    }),
    response: {
      200: ok(
        object({
          row: orNull(row),
          messages: list(
            object({
              partition: whole('where it is'),
              offset: whole('its place there'),
              received: moment,
              line: text('the record as it is kept'),
              timestamp: moment,
              cpu: number('percent'),
              ram: number('percent'),
              disk: number('percent'),
              agent: text('its source'),
              n: whole('its number there'),
              peaks: list(text('cpu, ram or disk'), 'which peaks it set'),
            }),
            'those that set peaks first, then by time',
          ),
          total: whole("as many as the row's msg_num"),
          truncated: { type: 'boolean', description: 'there are more than `limit`' },
          terms,
        }),
      ),
      ...failures,
    },
  },
  events: {
    summary: 'Changed rows and proofs as they happen (server-sent events)',
    description:
      '`event: view` has the position as its id and {service, position, batch, rows} as its data: rows are whole and merged. `event: proved`: a batch was ' +
      'compared. `event: reload`: what came after the position is not kept any more; ask /views anew. Last-Event-ID goes on where a reader was.',
    tags: ['view'],
    querystring: object({ service, since: text('go on from this position; what is at it comes again') }),
    response: { 200: { description: 'text/event-stream', content: { 'text/event-stream': { schema: { type: 'string' } } } }, ...failures },
  },
  status: {
    summary: 'Who works on what, how far everybody has got, what is wrong',
    description: 'As `tidemark status --json`.',
    tags: ['system'],
    response: { 200: ok({ type: 'object', additionalProperties: true }), ...failures },
  },
  proofs: {
    summary: 'What the comparisons of batch views found, newest first',
    tags: ['system'],
    querystring: object({ limit: whole('how many at most', { default: 100, minimum: 1, maximum: 1_000 }) }),
    response: {
      200: ok(
        object({
          proofs: list({ type: 'object', additionalProperties: true }, 'view.proved, as BATCH keeps them'),
          oldest: orNull(text('when the date was recomputed from raw data for which that is longest ago')),
        }),
      ),
      ...failures,
    },
  },
  targets: {
    summary: 'Where to scrape metrics: for http_sd_configs of Prometheus',
    tags: ['system'],
    response: { 200: ok(list({ type: 'object', additionalProperties: true }, 'one for each process of actors')), ...failures },
  },
} as const;
