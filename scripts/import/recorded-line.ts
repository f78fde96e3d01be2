/** What becomes of a piece of a file that was found to be one reading: one line, which the buffer will judge. */
import { isUtf8 } from 'node:buffer';
import { pythonToJson } from './python-text.js';

/** A reading that is longer goes through cut, so that it is refused and not kept in memory. */
export const lineBytesMax = 1024 * 1024;

const lineFeed = 10;
const carriageReturn = 13;
const space = 32;

/** On one line, byte for byte but for the line breaks. */
const onOneLine = (bytes: Buffer): Buffer =>
  bytes.includes(lineFeed) || bytes.includes(carriageReturn)
    ? Buffer.from(bytes.map((byte) => (byte === lineFeed || byte === carriageReturn ? space : byte)))
    : bytes;

/** Bytes that are no JSON, whatever stands before: so a line that was altered here cannot be accepted. */
const altered = (bytes: Buffer, why: string): Buffer => Buffer.concat([onOneLine(bytes), Buffer.from(` [${why}]`)]);

export const cutLine = (bytes: Buffer): Buffer => altered(bytes.subarray(0, lineBytesMax), `cut at ${lineBytesMax} bytes`);

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** A piece between brackets: JSON as it is, Python's text as JSON, anything else as it is. */
export const elementLine = (bytes: Buffer): Buffer => {
  if (!isUtf8(bytes)) return onOneLine(bytes);
  const text = bytes.toString('utf8').trimEnd();
  if (isJson(text)) return onOneLine(Buffer.from(text)); // valid JSON has line breaks only between its tokens
  const json = pythonToJson(text);
  if (json !== undefined) return Buffer.from(json);
  return /[\r\n]/.test(text) ? altered(Buffer.from(text), 'not JSON') : Buffer.from(text);
};
