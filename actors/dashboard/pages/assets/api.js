/** Asking the dashboard's API. */

/**
 * @typedef {{ batch: string | null, cut: number[], position: number[], newest: string | null, missing: number, refused: number, late: number }} Terms
 * @typedef {{ mean: number | null, max: number | null, maxTime: string | null }} Measured
 * @typedef {{ service: string, msg_num: number, cpu: Measured, ram: Measured, disk: Measured, missing: number, refused: number, late: number, first: string | null, last: string | null }} ServiceSummary
 * @typedef {{ services: ServiceSummary[], terms: Terms, etag: string }} Summary
 * @typedef {{ mean: number[], min: number[], max: number[], maxTime: string[] }} MetricSeries
 * @typedef {{ service: string, time: number[], msg_num: number[], cpu: MetricSeries, ram: MetricSeries, disk: MetricSeries }} ServiceSeries
 * @typedef {{ bucketMinutes: number, services: ServiceSeries[], terms: Terms, etag: string }} Series
 * @typedef {{ service: string, first: string, last: string }} KnownService
 * @typedef {{ services: KnownService[], first: string | null, last: string | null }} KnownServices
 * @typedef {{ service: string, time_stamp: string, cpu: number, ram: number, disk: number, max_cpu: number, max_cpu_time: string, max_ram: number, max_ram_time: string, max_disk: number, max_disk_time: string, msg_num: number }} MinuteRow
 * @typedef {{ partition: number, offset: number, received: string, line: string, timestamp: string, cpu: number, ram: number, disk: number, agent?: string, n?: number, peaks: string[] }} RawMessage
 * @typedef {{ row: MinuteRow, messages: RawMessage[], total: number, truncated: boolean }} Explained
 * @typedef {{ batch: string, cut: number[], records: number, rows: number, differences: number, requestedAt?: string | number, repaired?: boolean }} Proof
 * @typedef {{ actor: string, instance: string, pid: number, state: string, partitions: number[], lag?: { records: number, seconds: number }, silentSeconds?: number, error?: string }} ActorShown
 * @typedef {{ problems?: string[], actors: ActorShown[], position: number[] | null, cut: number[] | null, batch: string | null, refused: Record<string, number> | null, missing: Record<string, number> | null }} Status
 */

/** @type {readonly ('cpu' | 'ram' | 'disk')[]} */
export const metrics = ['cpu', 'ram', 'disk'];

/** Why there is no answer, in words for people. */
export class AskError extends Error {
  /** @param {string} message @param {{ code?: string, status?: number, field?: string }} [about] */
  constructor(message, { code = 'E_UNREACHABLE', status = 0, field = undefined } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.field = field;
  }
}

/** How far this machine's clock is behind the server's, ms; what is below two seconds is the answer's way. */
let clockBehindMs = 0;

/** The server's time: `now` is what its readings mean by it. */
export const now = () => Date.now() + clockBehindMs;

/** @param {Response} response */
const noteClock = (response) => {
  const behindMs = Date.parse(response.headers.get('date') ?? '') - Date.now();
  if (Number.isFinite(behindMs)) clockBehindMs = Math.abs(behindMs) > 2_000 ? behindMs : 0;
};

/**
 * @param {string} path `summary`, `series` …
 * @param {Record<string, string | number | string[] | undefined>} [question] lists are repeated
 */
export const addressOf = (path, question = {}) => {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(question)) {
    if (Array.isArray(value)) for (const one of value) search.append(name, one);
    else if (value !== undefined) search.set(name, String(value));
  }
  const text = search.toString();
  return `/api/v1/${path}${text === '' ? '' : `?${text}`}`;
};

/** @param {Response} response @returns {Promise<never>} */
const refuse = async (response) => {
  if (response.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const { error } = await response.json().catch(() => ({ error: undefined }));
  throw new AskError(error?.message ?? `the server answered ${response.status} ${response.statusText}`, {
    code: error?.code ?? `E_HTTP_${response.status}`,
    status: response.status,
    field: error?.field,
  });
};

/**
 * @param {string} address @param {RequestInit} [init]
 * @throws {AskError}
 */
export const open = async (address, init = {}) => {
  let response;
  try {
    // An answer that has not changed (304) would come from the browser's store with the terms that it had: its batch, cut and position.
    response = await fetch(address, { credentials: 'same-origin', cache: 'no-store', ...init });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new AskError('the server cannot be reached; it is asked again when you press “try again”');
  }
  noteClock(response);
  return response.ok ? response : refuse(response);
};

/**
 * @template T
 * @param {string} path
 * @param {Record<string, string | number | string[] | undefined>} [question]
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 * @throws {AskError}
 */
export const ask = async (path, question = {}, signal = undefined) => {
  const response = await open(addressOf(path, question), signal === undefined ? {} : { signal });
  return response.json();
};
