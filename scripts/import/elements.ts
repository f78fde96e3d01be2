/**
 * Finds the elements of a JSON list, of Python's lists, and of objects joined without a line break, by brackets and
 * quotes, while the file streams through.
 *
 * A broken element must not take those behind it along. It ends at a line break (unless the file has its objects over
 * several lines), at a `{` where no value can begin, and where the next object turns out to have begun within
 * an unclosed text; and it is never longer than `lineBytesMax`.
 */
import { cutLine, elementLine, lineBytesMax } from './recorded-line.js';

const code = (character: string): number => character.charCodeAt(0);
const [lineFeed, backslash, comma, colon] = [10, code('\\'), code(','), code(':')];
const [openObject, closeObject, openList, closeList, openTuple, closeTuple] = [...'{}[]()'].map(code) as [
  number,
  number,
  number,
  number,
  number,
  number,
];
const quotes = new Set([code('"'), code("'")]);

const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);
const isWord = (byte: number): boolean =>
  (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte === 95 || byte >= 128;

/** Brackets deeper than this are no reading; the element ends there. */
const deepestMax = 256;

export class ElementSplitter {
  #held: Buffer = Buffer.alloc(0);
  /** The next byte to look at. */
  #at = 0;
  /** Where the element begins; -1: between elements. */
  #start = -1;
  /** Open brackets; none in an element that is no object or list. */
  #open: number[] = [];
  /** The open quote, or 0; where it stands; where the last one was closed. */
  #quote = 0;
  #quoteAt = -1;
  #closedAt = -1;
  /** The last byte that is no space. */
  #last = 0;
  #inList = false;
  /** After an element that was too long: skip to where another may begin. */
  #lost = false;

  /** `spread`: objects stand over several lines. */
  constructor(private readonly spread: boolean) {}

  /** The elements that end in this chunk, each as one line. */
  *push(chunk: Buffer): Generator<Buffer> {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (; this.#at < this.#held.length; this.#at++) {
      const line = this.#look(this.#held[this.#at] as number);
      if (line !== undefined) yield line;
    }
    this.#forget(this.#start === -1 ? Math.min(this.#at, this.#held.length) : this.#start);
  }

  /** What was still open. */
  *end(): Generator<Buffer> {
    if (this.#start !== -1) yield elementLine(this.#held.subarray(this.#start));
    this.#start = -1;
  }

  #forget(bytes: number): void {
    this.#held = this.#held.subarray(bytes);
    this.#at -= bytes;
    this.#quoteAt -= bytes;
    this.#closedAt -= bytes;
    if (this.#start !== -1) this.#start -= bytes;
  }

  /** Looks at one byte. @returns the element that ended with it or before it. */
  #look(byte: number): Buffer | undefined {
    if (this.#lost) return this.#skip(byte);
    if (this.#start === -1) return this.#begin(byte);
    if (this.#at - this.#start >= lineBytesMax) {
      const line = cutLine(this.#held.subarray(this.#start, this.#at));
      this.#reset();
      this.#lost = true;
      return line;
    }
    if (byte === lineFeed) return this.#lineBreak();
    if (this.#quote !== 0) {
      if (byte === backslash) this.#at += 1;
      else if (byte === this.#quote) this.#closeQuote();
      return undefined;
    }
    if (quotes.has(byte)) {
      this.#quote = byte;
      this.#quoteAt = this.#at;
      return undefined;
    }
    return this.#open.length === 0 ? this.#inWord(byte) : this.#inBrackets(byte);
  }

  #reset(): void {
    this.#start = -1;
    this.#quote = 0;
    this.#open = [];
  }

  /** Ends the element before `to`, and goes on there. */
  #finish(to: number): Buffer {
    const line = elementLine(this.#held.subarray(this.#start, to));
    this.#reset();
    this.#at = to - 1;
    return line;
  }

  #skip(byte: number): undefined {
    if (byte === lineFeed && !this.spread) this.#lost = false;
    else if (byte === openObject && this.#last === closeObject) {
      this.#lost = false;
      this.#at -= 1;
    } else if (!isSpace(byte) && byte !== comma) this.#last = byte;
    return undefined;
  }

  #begin(byte: number): undefined {
    if (isSpace(byte) || byte === comma || byte === 0xef || byte === 0xbb || byte === 0xbf) return; // a byte order mark
    if (byte === closeList || (byte === openList && !this.#inList)) {
      this.#inList = byte === openList;
      return;
    }
    this.#start = this.#at;
    this.#closedAt = -1;
    this.#last = byte;
    if (byte === openObject || byte === openList) this.#open = [byte];
    else if (quotes.has(byte)) {
      this.#quote = byte;
      this.#quoteAt = this.#at;
    }
  }

  #lineBreak(): Buffer | undefined {
    if (!this.spread || this.#open.length === 0) return this.#finish(this.#at);
    this.#quote = 0; // no text goes over a line's end: the element is broken, and ends by its brackets
    return undefined;
  }

  #closeQuote(): void {
    this.#last = this.#quote;
    this.#quote = 0;
    this.#closedAt = this.#at;
  }

  /** A number, a text, a word: no reading, but one element. */
  #inWord(byte: number): Buffer | undefined {
    const ends = byte === openObject || (this.#inList ? byte === comma || byte === closeList : byte === openList);
    return ends ? this.#finish(this.#at) : undefined;
  }

  #inBrackets(byte: number): Buffer | undefined {
    if (this.#closedAt === this.#at - 1 && isWord(byte)) {
      const begun = this.#objectBegunInText();
      if (begun !== undefined) return this.#finish(begun);
    }
    const top = this.#open.at(-1) as number;
    if (byte === openObject || byte === openList || byte === openTuple) {
      if (byte === openObject && !this.#valueMayBegin(top)) return this.#finish(this.#at);
      if (this.#open.length >= deepestMax) return this.#finish(this.#at);
      this.#open.push(byte);
    } else if (byte === closeObject || byte === closeList || byte === closeTuple) {
      if (byte === closeList && top === openObject) return this.#finish(this.#at); // it is the list that ends here
      this.#open.pop();
      if (this.#open.length === 0) return this.#finish(this.#at + 1);
    }
    if (!isSpace(byte)) this.#last = byte;
    return undefined;
  }

  #valueMayBegin(top: number): boolean {
    return top === openObject ? this.#last === colon : this.#last === comma || this.#last === top;
  }

  /**
   * After a text no letter can follow. If one does, the text was never closed, and where `{` and a quote stand in it the
   * next object began: `'we{'CPU': …`.
   */
  #objectBegunInText(): number | undefined {
    for (let i = this.#quoteAt + 1; i < this.#closedAt; i++) {
      if (this.#held[i] !== openObject) continue;
      let next = i + 1;
      while (isSpace(this.#held[next] as number)) next += 1;
      if (this.#held[next] === code('u')) next += 1;
      if (quotes.has(this.#held[next] as number)) return i;
    }
    return undefined;
  }
}
