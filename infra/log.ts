/**
 * Logs: JSON lines on stderr, an object and then a short fixed phrase; pretty on a terminal. The fields bear the messages'
 * names (partition, from, to, offset, batch, …); besides them each line has time, level, pid, msg, and err with its code.
 *
 * info   something became durable, or changed owner
 * warn   will be tried again
 * error  will stop
 */
import { createRequire } from 'node:module';
import { destination, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';
import type prettyType from 'pino-pretty';
import type { Settings } from './config.js';

export type Log = Logger;

const errorFields = (error: Error) => {
  const { type, message, stack, code } = stdSerializers.err(error) as { type: string; message: string; stack: string; code?: string };
  // A stack is for our own mistakes; an error with a code of ours says in its text what to do.
  const expected = typeof code === 'string' && code.startsWith('E_');
  return expected ? { type, code, message } : { type, code, message, stack };
};

/** What cannot be written is held up to here, and then dropped. */
const linesHeldBytesMax = 256 * 1024;

/** Loaded only where somebody looks at a terminal: it takes 10 MB. */
const loadPretty = (): typeof prettyType => createRequire(import.meta.url)('pino-pretty') as typeof prettyType;

const toFile = (file: string | undefined): ReturnType<typeof destination> => {
  const stream = destination({ dest: file ?? 2, sync: true, mkdir: true, maxLength: linesHeldBytesMax });
  stream.on('error', () => undefined); // a full disk takes log lines, not the process
  return stream;
};

/** With `file`, there instead of stderr. @param fields stand in every line, such as the actor's name. Lines are written at once: none is lost at an exit. */
export const createLog = (
  { logLevel, file }: Pick<Settings, 'logLevel'> & { file?: string | undefined },
  fields: Readonly<Record<string, unknown>> = {},
): Log => {
  const stream =
    file === undefined && process.stderr.isTTY === true
      ? loadPretty()({ destination: 2, sync: true, colorize: true, ignore: 'pid', translateTime: 'SYS:HH:MM:ss.l' })
      : toFile(file);
  return pino(
    {
      level: logLevel,
      base: { pid: process.pid, ...fields },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorFields },
    },
    stream,
  );
};
