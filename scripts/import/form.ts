/** Finds by looking at a file's beginning how its readings are written. */
import { ElementSplitter } from './elements.js';

/**
 * lines: one JSON reading a line. elements: a list, or objects joined, JSON or Python's text; `spread` when objects
 * stand over several lines.
 */
export type Form = { form: 'lines' } | { form: 'elements'; spread: boolean };

/** How much of a file is looked at, and how many of its lines. */
export const headBytes = 256 * 1024;
const linesMax = 500;

const isJsonObject = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
};

/** Python's text, or objects joined on one line. */
const isOriginals = (line: string): boolean => /^\s*\{\s*u?'/.test(line) || /^\s*\{.*\}[\s,]*\{/.test(line);

const startsSpread = (head: Buffer): boolean => {
  const splitter = new ElementSplitter(true);
  const [first] = splitter.push(head);
  if (first === undefined || !isJsonObject(first.toString('utf8'))) return false;
  // The same object, when line breaks end it, is broken.
  const [inLines] = new ElementSplitter(false).push(head);
  return inLines === undefined || !inLines.equals(first);
};

/** `isWhole`: the head is the whole file. */
export const formOf = (head: Buffer, isWhole: boolean): Form => {
  const text = head.toString('utf8').replace(/^\ufeff/, '');
  const lines = text.split('\n').slice(0, linesMax);
  const complete = isWhole || lines.length === 1 ? lines : lines.slice(0, -1);
  // Not those that are indented: an object over many lines may have small ones inside.
  const strict = complete.filter((line) => line.startsWith('{') && isJsonObject(line)).length;
  const isList = /^\s*\[/.test(text);
  // The last element of a list with one a line has no comma behind it: one such line may be of a list, two are not.
  if (isList ? strict >= 2 : strict > 0 && strict >= complete.filter(isOriginals).length) return { form: 'lines' };
  if (isList || complete.some(isOriginals)) return { form: 'elements', spread: startsSpread(head) };
  return startsSpread(head) ? { form: 'elements', spread: true } : { form: 'lines' };
};
