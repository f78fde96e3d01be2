/** What a path in storage may be, whatever the home: relative, and nothing in it reaches a file system as such. */
import { UsageError } from '../errors.js';

const token = /^[A-Za-z0-9_%-][A-Za-z0-9_%.-]{0,254}$/;

/**
 * The path, if it is one: tokens of name codes and dots, joined by `/`; none empty, none beginning with a dot.
 * @throws UsageError
 */
export const checkPath = (path: string): string => {
  if (!path.split('/').every((part) => token.test(part))) {
    throw new UsageError(`not a path in storage: ${JSON.stringify(path)}`);
  }
  return path;
};
