/** Checks a body once, where it enters the process. */

import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

/** A body that is not what its message says: what was wrong, and where in it. */
export class MalformedMessage extends Error {
  readonly code = 'E_MALFORMED';
}

/** @returns a reader that parses and checks a JSON body. @throws MalformedMessage */
export const messageReader = <T extends TSchema>(name: string, schema: T): ((body: Uint8Array | string) => Static<T>) => {
  let compiled: ReturnType<typeof Compile> | undefined; // compiling costs milliseconds: only what a process reads
  return (body) => {
    compiled ??= Compile(schema);
    const text = typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8');
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new MalformedMessage(`${name}: the body is not JSON: ${text.slice(0, 80)}`, { cause });
    }
    if (compiled.Check(value)) return value as Static<T>;
    const [first] = compiled.Errors(value);
    throw new MalformedMessage(`${name}: ${first?.instancePath || 'the body'} ${first?.message ?? 'does not fit its schema'}`);
  };
};
