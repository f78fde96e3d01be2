/**
 * The original wrote readings as Python writes a dict: single quotes, u'' prefixes, None, True, False. This reads such
 * text and gives the same object as JSON, its numbers digit for digit.
 */

const deepestMax = 64;

const literals: Readonly<Record<string, string>> = {
  None: 'null',
  True: 'true',
  False: 'false',
  null: 'null',
  true: 'true',
  false: 'false',
};
const escapes: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
const codeLengths: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** Reads one value; undefined when it is not written as Python writes it. */
class PythonReader {
  #at = 0;

  constructor(private readonly text: string) {}

  read(): string | undefined {
    const value = this.#value(0);
    this.#skipSpace();
    return this.#at === this.text.length ? value : undefined;
  }

  #skipSpace(): void {
    while (/\s/.test(this.text[this.#at] ?? '')) this.#at += 1;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  #value(depth: number): string | undefined {
    if (depth > deepestMax) return undefined;
    this.#skipSpace();
    const first = this.text[this.#at];
    if (first === '{') return this.#items('}', () => this.#pair(depth));
    if (first === '[') return this.#items(']', () => this.#value(depth + 1));
    if (first === '(') return this.#items(')', () => this.#value(depth + 1));
    const text = this.#text();
    if (text !== undefined) return text;
    const word = this.#match(/[A-Za-z]+/y);
    return word === undefined ? this.#number() : literals[word[0]];
  }

  #items(end: string, read: () => string | undefined): string | undefined {
    this.#at += 1;
    const items: string[] = [];
    for (;;) {
      this.#skipSpace();
      if (this.text[this.#at] === end) break;
      const item = read();
      if (item === undefined) return undefined;
      items.push(item);
      this.#skipSpace();
      if (this.text[this.#at] === ',') this.#at += 1;
      else if (this.text[this.#at] !== end) return undefined;
    }
    this.#at += 1;
    return end === '}' ? `{${items.join()}}` : `[${items.join()}]`;
  }

  #pair(depth: number): string | undefined {
    const key = this.#text();
    this.#skipSpace();
    if (key === undefined || this.text[this.#at] !== ':') return undefined;
    this.#at += 1;
    const value = this.#value(depth + 1);
    return value === undefined ? undefined : `${key}:${value}`;
  }

  #text(): string | undefined {
    const quote = this.#match(/[uU]?(['"])/y)?.[1];
    if (quote === undefined) return undefined;
    let text = '';
    for (;;) {
      const character = this.text[this.#at++];
      if (character === undefined || character === '\n' || character === '\r') return undefined;
      if (character === quote) return JSON.stringify(text);
      const unescaped = character === '\\' ? this.#escape() : character;
      if (unescaped === undefined) return undefined;
      text += unescaped;
    }
  }

  #escape(): string | undefined {
    const kind = this.text[this.#at++] ?? '';
    if (Object.hasOwn(escapes, kind)) return escapes[kind];
    const length = codeLengths[kind];
    if (length === undefined) return /[\n\r]/.test(kind) ? undefined : `\\${kind}`; // Python keeps an unknown escape as it is
    const digits = this.text.slice(this.#at, this.#at + length);
    const code = /^[0-9A-Fa-f]+$/.test(digits) && digits.length === length ? Number.parseInt(digits, 16) : Infinity;
    this.#at += length;
    return code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
  }

  #number(): string | undefined {
    const match = this.#match(/(-?)(\d+)?(?:(\.)(\d*))?([eE][+-]?\d+)?(L?)/y);
    if (match === undefined) return undefined;
    const [, sign = '', whole = '', point, fraction = '', exponent = '', long = ''] = match;
    if ((whole === '' && fraction === '') || /^0\d/.test(whole)) return undefined;
    if (long !== '' && (point !== undefined || exponent !== '')) return undefined;
    return `${sign}${whole === '' ? '0' : whole}${fraction === '' ? '' : `.${fraction}`}${exponent}`;
  }
}

/** A Python value's text as JSON, or undefined. */
export const pythonToJson = (text: string): string | undefined => new PythonReader(text).read();
