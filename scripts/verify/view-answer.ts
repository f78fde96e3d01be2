/** The whole view as it is now, with exact sums. Its chunks are kept as they came, and parsed one at a time. */
import type { Bus } from '../../infra/bus/bus.js';
import { OutOfReachError, PromiseError } from '../../infra/errors.js';
import { chunkHeader, parseChunk, workingHeader } from '../../protocol/messages/chunks.js';
import type { RowTuple } from '../../protocol/messages/row-tuple.js';
import type { Terms, ViewAnswer, ViewRefused } from '../../protocol/messages/view.js';
import { samePosition } from '../../protocol/range.js';

export interface WholeView {
  readonly terms: Terms;
  readonly rows: () => Iterable<RowTuple>;
}

/** For all of its rows a merger reads all of its files. */
const firstChunkMsMax = 120_000;
/** No reading before 2000 is accepted. */
const allTime = { from: '1970-01-01', to: '9999-12-31' };

const parse = (body: Uint8Array): ViewAnswer | ViewRefused =>
  JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')) as ViewAnswer | ViewRefused;

/** @throws OutOfReachError when nobody answers; PromiseError when the view cannot be answered from its files */
export const askWholeView = async (bus: Bus): Promise<WholeView> => {
  const chunks: Uint8Array[] = [];
  let terms: Terms | undefined;
  const asked = JSON.stringify({ ...allTime, step: 'minute', shape: 'tuples', progress: true });
  for await (const { body, header } of bus.ask('view.asked', asked, { timeoutMs: firstChunkMsMax })) {
    if (header(workingHeader) !== undefined) continue;
    const answer = parse(body);
    if ('error' in answer) {
      if (answer.code === 'E_PROMISE' || answer.code === 'E_FILE_MISSING')
        throw new PromiseError(`the view cannot be answered: ${answer.error}`);
      throw new OutOfReachError(`the merger did not answer: ${answer.error}`);
    }
    const chunk = parseChunk(header(chunkHeader) ?? '1/1');
    if (chunk?.index !== chunks.length) throw new OutOfReachError(`chunk ${chunks.length + 1} of the view's answer is missing: try again`);
    if (terms !== undefined && !samePosition(terms.position, answer.terms.position)) {
      throw new PromiseError(
        `the chunks of one answer are of two positions, ${terms.position.join(',')} and ${answer.terms.position.join(',')}`,
      );
    }
    terms = answer.terms;
    chunks.push(body);
    if (chunks.length === chunk.total) break;
  }
  if (terms === undefined) throw new OutOfReachError("the view's answer broke off: try again");
  return {
    terms,
    rows: function* () {
      for (const chunk of chunks) yield* (parse(chunk) as ViewAnswer).rows as RowTuple[];
    },
  };
};
