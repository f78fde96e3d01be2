/** Errors as the API tells them: a code that does not change, what is wrong, and with which parameter. */
import type { FastifyError, FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { messageOf, OutOfReachError, PromiseError, RetryableError, TidemarkError, UsageError } from '../../infra/errors.js';
import { ParameterError } from './parameters.js';

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly field?: string };
}

export const errorBody = (code: string, message: string, field?: string): ErrorBody => ({
  error: { code, message, ...(field === undefined ? {} : { field }) },
});

const statusOf = (error: unknown): number => {
  if (error instanceof UsageError) return 400;
  if ((error as Partial<FastifyError>).statusCode === 429) return 429;
  if (error instanceof OutOfReachError || error instanceof RetryableError) return 503;
  if (error instanceof TidemarkError) return 500;
  const { statusCode } = error as Partial<FastifyError>;
  return statusCode !== undefined && statusCode >= 400 && statusCode < 500 ? statusCode : 500;
};

const httpCodes: Readonly<Record<number, string>> = { 404: 'E_NOT_FOUND', 413: 'E_TOO_LARGE', 415: 'E_MEDIA_TYPE', 429: 'E_TOO_MANY' };

const bodyOf = (error: unknown, status: number): ErrorBody => {
  if (error instanceof ParameterError) return errorBody('E_PARAMETER', error.message, error.field);
  if (error instanceof TidemarkError) return errorBody(error.code, error.message);
  // A mistake of ours is for the log: its text may say what is nobody's business.
  return status < 500
    ? errorBody(httpCodes[status] ?? 'E_USAGE', messageOf(error))
    : errorBody('E_FAILED', 'this failed here; the log says why');
};

export const addErrors = (server: FastifyInstance, log: Logger): void => {
  server.setErrorHandler((error, request, reply) => {
    const status = statusOf(error);
    if (status >= 500 && status !== 503) log.error({ err: error, path: request.routeOptions.url }, 'a request failed');
    if (error instanceof PromiseError) log.error({ err: error }, 'a promise is broken');
    if (status === 503) reply.header('Retry-After', '1');
    return reply.code(status).header('Cache-Control', 'no-store').send(bodyOf(error, status));
  });
  server.setNotFoundHandler((_request, reply) =>
    reply
      .code(404)
      .send(errorBody('E_NOT_FOUND', 'there is nothing here: the pages begin at /, the API at /api/v1, its description at /docs')),
  );
};
