/**
 * Reads recorded readings, whatever way they are written: a JSON object a line, a JSON list, or the original's files
 * (Python's text, objects joined without a line break). The form is found by looking.
 *
 * Gives one reading, one line. What is bad comes through as it is, to be refused and counted, and never stops what
 * stands behind it. Memory is bounded whatever the file's size and its lines' length.
 */
import { createReadStream } from 'node:fs';
import { FileMissingError, messageOf, OutOfReachError } from '../../infra/errors.js';
import { isEmptyLine } from '../../protocol/reading.js';
import { ElementSplitter } from './elements.js';
import { formOf, headBytes } from './form.js';
import { cutLine, lineBytesMax } from './recorded-line.js';

const lineFeed = 10;
const carriageReturn = 13;
const chunkBytes = 64 * 1024;

interface Splitter {
  push(chunk: Buffer): Iterable<Buffer>;
  end(): Iterable<Buffer>;
}

/** As it is: what is wrong with its bytes the buffer will say. */
const lineOf = (bytes: Buffer): Buffer | undefined => {
  const to = bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length;
  const line = bytes.subarray(0, to);
  return isEmptyLine(line) ? undefined : line; // an empty line is nothing
};

/** One line, one reading. */
class LineSplitter implements Splitter {
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isCut = false;

  *push(chunk: Buffer): Generator<Buffer> {
    let from = 0;
    for (let feed = chunk.indexOf(lineFeed); feed !== -1; feed = chunk.indexOf(lineFeed, from)) {
      yield* this.#hold(chunk.subarray(from, feed));
      yield* this.end();
      from = feed + 1;
    }
    yield* this.#hold(chunk.subarray(from));
  }

  *#hold(bytes: Buffer): Generator<Buffer> {
    if (this.#isCut) return;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes <= lineBytesMax) return;
    yield cutLine(Buffer.concat(this.#held));
    this.#held = [];
    this.#isCut = true;
  }

  *end(): Generator<Buffer> {
    if (!this.#isCut) {
      const line = lineOf(this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held));
      if (line !== undefined) yield line;
    }
    this.#held = [];
    this.#heldBytes = 0;
    this.#isCut = false;
  }
}

const splitterFor = (head: Buffer, isWhole: boolean): Splitter => {
  const found = formOf(head, isWhole);
  return found.form === 'lines' ? new LineSplitter() : new ElementSplitter(found.spread);
};

/** The same for bytes from anywhere. */
export async function* splitRecorded(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer[] = [];
  let bytes = 0;
  let splitter: Splitter | undefined;
  for await (const chunk of chunks) {
    if (splitter !== undefined) {
      yield* splitter.push(chunk);
      continue;
    }
    head.push(chunk);
    bytes += chunk.length;
    if (bytes < headBytes) continue;
    const beginning = Buffer.concat(head);
    head = [];
    splitter = splitterFor(beginning, false);
    yield* splitter.push(beginning);
  }
  if (splitter === undefined) {
    const whole = Buffer.concat(head);
    splitter = splitterFor(whole, true);
    yield* splitter.push(whole);
  }
  yield* splitter.end();
}

async function* readFile(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: chunkBytes })) yield chunk as Buffer;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new FileMissingError(`there is no file ${path}`, { cause: error });
    throw new OutOfReachError(`cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * The readings of a file, one line each, in order.
 * @throws FileMissingError, OutOfReachError
 */
export const readRecorded = (path: string): AsyncGenerator<Buffer> => splitRecorded(readFile(path));
