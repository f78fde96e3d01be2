/** /views, /series and /summary: rows of a range, for programs, charts and tables. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { writeParquet } from '../../infra/answers/parquet.js';
import { turns } from '../../infra/at-once.js';
import type { Terms } from '../../protocol/messages/view.js';
import { Gathered } from './gathered.js';
import { descriptions } from './openapi.js';
import { formats, oneOf, onlyKnown, type Parameters, readViewQuestion, readWhole, readZone, type ViewQuestion } from './parameters.js';
import { RowTexts } from './row-texts.js';
import { readSeries } from './series.js';
import { readSummary } from './summary.js';
import { csvPieces, etagOf, exactRows, fileNameOf, isSame, jsonPieces, readAnswer, termsHeaders, type ViewAnswer } from './view-answer.js';
import type { ViewReader } from './view-reader.js';

/** An answer up to here is put together once for all who wait for it; a larger one is made while it is sent. */
const wholeRowsMax = 100_000;
/** Parquet files that are made at a time. */
const parquetsMax = 1;

/** Rows' JSON that is kept: two days of 20 services by minute. */
const textBytesMax = 24 * 1024 * 1024;

const keyOf = (...parts: readonly unknown[]): string => JSON.stringify(parts);

interface Made {
  readonly answer: ViewAnswer;
  readonly etag: string;
  /** The body, once somebody needed it. */
  whole: Promise<Buffer> | undefined;
}

/** A text that belongs to an ETag. */
interface Told {
  readonly etag: string;
  readonly terms: Terms;
  readonly body: string;
}

/**
 * The headers of both, and whether 304 was all that is to be said. Rows stay while their terms move on, so a 304 says how
 * far they hold now: whoever keeps the body takes its terms from the headers. Hence the ETag is a weak one.
 */
const sendOrSame = (request: FastifyRequest, reply: FastifyReply, etag: string, terms: Terms): boolean => {
  reply.header('ETag', `W/${etag}`).header('Cache-Control', 'no-cache').headers(termsHeaders(terms)); // D9
  if (!isSame(request.headers['if-none-match'], etag)) return false;
  reply.code(304).send();
  return true;
};

/** After so much of a body others get a turn. */
const turnBytes = 512 * 1024;

const gather = async (pieces: Iterable<Buffer>): Promise<Buffer> => {
  const gathered: Buffer[] = [];
  let bytes = 0;
  let turnAt = turnBytes;
  for (const piece of pieces) {
    gathered.push(piece);
    bytes += piece.length;
    if (bytes < turnAt) continue;
    turnAt = bytes + turnBytes;
    await new Promise(setImmediate);
  }
  return Buffer.concat(gathered, bytes);
};

const wholeOf = (made: Made, pieces: Iterable<Buffer>): Promise<Buffer> => {
  made.whole ??= gather(pieces);
  return made.whole;
};

/** Hash of what does not move on by itself: everything but the terms. */
const toldOf = (kind: string, question: ViewQuestion, { terms, ...content }: { terms: Terms }): Told => {
  const text = JSON.stringify(content);
  const etag = etagOf(kind, question, createHash('sha256').update(text).digest('hex'));
  return { etag, terms, body: `${text.slice(0, -1)},"terms":${JSON.stringify(terms)},"etag":${JSON.stringify(etag)}}` };
};

export const addAnswers = (server: FastifyInstance, reader: ViewReader): void => {
  const answers = new Gathered<Made>();
  const told = new Gathered<Told>();
  const parquetTurn = turns(parquetsMax);
  const texts = new RowTexts(textBytesMax);

  server.get('/views', { schema: descriptions.views }, async (request, reply) => {
    const given = request.query as Parameters;
    onlyKnown(given, ['from', 'to', 'service', 'step', 'zone', 'after', 'wait', 'format']);
    const format = oneOf(given, 'format', formats, 'json');
    const question = readViewQuestion(given, Date.now());
    const made = await answers.ask(keyOf(question, format), async () => {
      const read = await readAnswer(reader, question);
      return { answer: read, etag: etagOf(format, question, read.rowsHash), whole: undefined };
    });
    const { answer, etag } = made;
    if (sendOrSame(request, reply, etag, answer.terms)) return reply;
    if (format !== 'json') reply.header('Content-Disposition', `attachment; filename="${fileNameOf(question, format)}"`);
    if (format === 'parquet') {
      reply.type('application/vnd.apache.parquet');
      return reply.send(await parquetTurn(() => writeParquet({ rows: exactRows(answer), terms: answer.terms }, undefined)));
    }
    reply.type(format === 'json' ? 'application/json; charset=utf-8' : 'text/csv; charset=utf-8; header=present');
    const pieces = format === 'json' ? jsonPieces(answer, etag, (chunk) => texts.piecesOf(chunk, question.step)) : csvPieces(answer);
    return reply.send(
      answer.rows <= wholeRowsMax ? await wholeOf(made, pieces) : Readable.from(pieces, { objectMode: false, highWaterMark: 65_536 }),
    );
  });

  server.get('/series', { schema: descriptions.series }, async (request, reply) => {
    const given = request.query as Parameters;
    onlyKnown(given, ['from', 'to', 'service', 'zone', 'points', 'after', 'wait']);
    const question = readViewQuestion(given, Date.now(), 'minute');
    const zone = readZone(given);
    const points = readWhole(given, 'points', 10, 10_000, 1_000);
    const { etag, terms, body } = await told.ask(keyOf('series', question, zone, points), async () =>
      toldOf(`series ${zone} ${points}`, question, await readSeries(reader, question, zone, points)),
    );
    if (sendOrSame(request, reply, etag, terms)) return reply;
    return reply.type('application/json; charset=utf-8').send(body);
  });

  server.get('/summary', { schema: descriptions.summary }, async (request, reply) => {
    const given = request.query as Parameters;
    onlyKnown(given, ['from', 'to', 'service', 'zone', 'after', 'wait']);
    const question = readViewQuestion(given, Date.now(), 'minute');
    const { etag, terms, body } = await told.ask(keyOf('summary', question), async () =>
      toldOf('summary', question, await readSummary(reader, question)),
    );
    if (sendOrSame(request, reply, etag, terms)) return reply;
    return reply.type('application/json; charset=utf-8').send(body);
  });
};
