/** What becomes of a piece of a file that was found to be one reading: one line, which the buffer will judge. */
import { isUtf8 } from 'node:buffer';
import { pythonToJson } from './python-text.js';

/** A reading that is longer goes through cut, so that it is refused and not kept in memory. */
export const lineBytesMax = 1024 * 1024;

/** Text that is no JSON, whatever stands before it: so a line that was altered here cannot be accepted. */
const altered = (text: string, why: string): string => `${text.replace(/[\r\n]+/g, ' ')} [${why}]`;

export const cutLine = (bytes: Buffer): string =>
  altered(bytes.toString('utf8', 0, lineBytesMax), `cut at ${lineBytesMax} bytes`);

/** A line as it is. A string cannot hold what is not UTF-8, so such a line is marked, and refused. */
export const plainLine = (bytes: Buffer): string => {
  const text = bytes.toString('utf8');
  return isUtf8(bytes) ? text : altered(text, 'not UTF-8');
};

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** A piece between brackets: JSON as it is, Python's text as JSON, anything else as it is. */
export const elementLine = (bytes: Buffer): string => {
  if (!isUtf8(bytes)) return plainLine(bytes);
  const text = bytes.toString('utf8').trimEnd();
  if (isJson(text)) return text.replace(/[\r\n]+/g, ' '); // valid JSON has line breaks only between its tokens
  const json = pythonToJson(text);
  if (json !== undefined) return json;
  return /[\r\n]/.test(text) ? altered(text, 'not JSON') : text;
};
