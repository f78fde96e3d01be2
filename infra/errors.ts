/**
 * Errors by what happens next. Whatever is none of these is our mistake: it is logged with its stack and ends the process.
 * Each has a code that does not change and keeps its cause.
 */
export abstract class TidemarkError extends Error {
  abstract readonly code: string;
}

/** Will be tried again: something needed is away, full or slow. */
export class RetryableError extends TidemarkError {
  readonly code: string;
  constructor(message: string, options: { code?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = options.code ?? 'E_RETRY';
  }
}

/** Somebody else owns the output now: drop the state and join again. */
export class FencedError extends TidemarkError {
  readonly code = 'E_FENCED';
}

/** The log is not the one that was known: stop, exit 5. */
export class HistoryError extends TidemarkError {
  readonly code = 'E_HISTORY';
}

/** A promise is broken: a count or a hash does not fit. Exit 5. */
export class PromiseError extends TidemarkError {
  readonly code = 'E_PROMISE';
}

/** A person asked for something that cannot be: exit 2. */
export class UsageError extends TidemarkError {
  readonly code = 'E_USAGE';
}

/** A setting is wrong: exit 3. */
export class SettingsError extends TidemarkError {
  readonly code = 'E_SETTINGS';
}

/** Something that is needed is not there: exit 4. */
export class OutOfReachError extends TidemarkError {
  readonly code = 'E_OUT_OF_REACH';
}

export const exitCodes = { ok: 0, failed: 1, usage: 2, settings: 3, outOfReach: 4, promiseBroken: 5 } as const;

export const exitCodeOf = (error: unknown): number => {
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof SettingsError) return exitCodes.settings;
  if (error instanceof OutOfReachError) return exitCodes.outOfReach;
  if (error instanceof HistoryError || error instanceof PromiseError) return exitCodes.promiseBroken;
  return exitCodes.failed;
};

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The name is taken; what is there stays. */
export class FileExistsError extends TidemarkError {
  readonly code = 'E_FILE_EXISTS';
}

/** A file that should be there is not. */
export class FileMissingError extends TidemarkError {
  readonly code = 'E_FILE_MISSING';
}
