/**
 * What a nats-server is, seen from outside: by its greeting, and by its monitoring address. For a server that we did not
 * start: is it new enough, has it JetStream, and is what it acknowledges on disk?
 */
import { connect } from 'node:net';
import { messageOf, OutOfReachError } from '../errors.js';
import { patiently } from '../within.js';

/** Below it, METRICS' transform or the group commit of segments would be missing. */
export const versionMin = '2.15.0';

/** The first line that a nats-server sends. */
export interface Greeting {
  readonly version: string;
  readonly serverId: string;
  readonly serverName: string;
  readonly jetstream: boolean;
  readonly cluster: string | undefined;
  readonly payloadBytesMax: number;
}

export interface Monitoring {
  readonly version: string;
  readonly serverId: string;
  readonly port: number;
  readonly syncAlways: boolean;
  readonly syncIntervalMs: number | undefined;
  readonly storeFolder: string | undefined;
  /** Its clock, ms since 1970. */
  readonly now: number;
}

export interface ServerReport extends Greeting {
  readonly url: string;
  /** Why it is not proven that what the server acknowledges is on disk; undefined: it is. */
  readonly unproven: string | undefined;
}

/** Whether version a ("2.15.1") is at least b; what follows a dash does not count. */
export const atLeast = (a: string, b: string): boolean => {
  const parts = (version: string): number[] => version.replace(/^v/, '').split('-')[0]?.split('.').map(Number) ?? [];
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
};

/** Host and port of a server's address; what is before an @ is nobody's business here. */
export const hostOf = (url: string): { host: string; port: number } => {
  const parsed = new URL(url.includes('://') ? url : `nats://${url}`);
  return { host: parsed.hostname.replace(/^\[|\]$/g, ''), port: Number(parsed.port || 4222) };
};

/** @throws OutOfReachError when nobody, or no nats-server, answers there within `timeoutMs` */
export const greetingOf = (url: string, timeoutMs = 3000): Promise<Greeting> =>
  new Promise((resolve, reject) => {
    const { host, port } = hostOf(url);
    const socket = connect({ host, port });
    let text = '';
    const fail = (why: string) => {
      socket.destroy();
      reject(new OutOfReachError(`no NATS server answers at ${host}:${port} (${why}): is it running, and is the address right?`));
    };
    socket.setTimeout(timeoutMs, () => fail(`silent for ${timeoutMs} ms`));
    socket.on('error', (error) => fail(messageOf(error)));
    socket.on('close', () => fail('closed'));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (!text.includes('\r\n') && text.length < 65_536) return;
      const match = /^INFO (\{.*\})\s*\r\n/.exec(text);
      if (match === null) return fail('it says something else than a NATS server does');
      const it = JSON.parse(match[1] as string) as Record<string, unknown>;
      socket.destroy();
      resolve({
        version: String(it.version),
        serverId: String(it.server_id),
        serverName: String(it.server_name),
        jetstream: it.jetstream === true,
        cluster: typeof it.cluster === 'string' ? it.cluster : undefined,
        payloadBytesMax: Number(it.max_payload),
      });
    });
  });

/** @throws OutOfReachError when nobody, or no nats-server's monitoring, answers there */
export const monitoringOf = async (monitoringUrl: string, timeoutMs = 2000): Promise<Monitoring> => {
  try {
    const response = await fetch(new URL('/varz', monitoringUrl), { signal: AbortSignal.timeout(timeoutMs) });
    const it = (await response.json()) as {
      version?: string;
      server_id?: string;
      port?: number;
      now?: string;
      jetstream?: { config?: { sync_always?: boolean; sync_interval?: number; store_dir?: string } };
    };
    const { version, server_id: serverId, port } = it;
    if (version === undefined || serverId === undefined || port === undefined) throw new OutOfReachError("no nats-server's");
    const stream = it.jetstream?.config;
    return {
      version,
      serverId,
      port,
      syncAlways: stream?.sync_always === true,
      syncIntervalMs: stream?.sync_interval === undefined ? undefined : stream.sync_interval / 1e6,
      storeFolder: stream?.store_dir,
      now: new Date(it.now ?? Number.NaN).getTime(),
    };
  } catch (error) {
    throw new OutOfReachError(`no nats-server's monitoring answers at ${monitoringUrl} (${messageOf(error)})`, { cause: error });
  }
};

/** What a server says is wrong with it. undefined: nothing, or it does not say within `timeoutMs`. */
export const troubleOf = async (monitoringUrl: string, timeoutMs: number): Promise<string | undefined> => {
  try {
    const response = await fetch(new URL('/healthz', monitoringUrl), { signal: AbortSignal.timeout(timeoutMs) });
    const { status, error } = (await response.json()) as { status?: string; error?: string };
    return status === 'ok' ? undefined : error;
  } catch {
    return undefined; // whoever connects says more
  }
};

const whyUnproven = async (greeting: Greeting, monitoringUrl: string): Promise<string | undefined> => {
  const seen = await monitoringOf(monitoringUrl).catch((error: unknown) => messageOf(error));
  if (typeof seen === 'string') return `${seen}: open it (http_port in the server's configuration) and name it with --nats-http-port`;
  if (seen.serverId !== greeting.serverId)
    return `the monitoring at ${monitoringUrl} is another server's: name its port with --nats-http-port`;
  if (!seen.syncAlways) {
    return (
      `the server writes to disk every ${Math.round((seen.syncIntervalMs ?? 0) / 1000)} s only, so a power cut may lose what it acknowledged: ` +
      'set sync_interval: always in its jetstream block'
    );
  }
  if (greeting.cluster !== undefined) return `it is one of the cluster ${greeting.cluster}, whose other servers were not seen`;
  return undefined;
};

const firstGreeting = async (urls: string): Promise<{ url: string; greeting: Greeting }> => {
  const all = urls.split(',');
  const tried = await Promise.allSettled(all.map((url) => greetingOf(url)));
  const first = tried.findIndex((one) => one.status === 'fulfilled');
  const answer = tried[Math.max(first, 0)];
  if (answer === undefined || answer.status === 'rejected') throw answer?.reason;
  return { url: all[first] as string, greeting: answer.value };
};

/**
 * Looks at a server that runs already. `monitoringPort` is looked for on the same host; who does not answer yet is waited for
 * `waitMsMax`, and `waits` told so.
 * @throws OutOfReachError when it is not there, older than 2.15, or without JetStream
 */
export const inspectServer = async (
  urls: string,
  monitoringPort: number,
  { waitMsMax = 0, waits = () => undefined }: { waitMsMax?: number; waits?: (why: OutOfReachError) => void } = {},
): Promise<ServerReport> => {
  const { url, greeting } = await patiently(() => firstGreeting(urls), waitMsMax, waits);
  const { host, port } = hostOf(url);
  if (!atLeast(greeting.version, versionMin)) {
    throw new OutOfReachError(`the NATS server at ${host}:${port} is ${greeting.version}: Tidemark needs ${versionMin} or newer`);
  }
  if (!greeting.jetstream) {
    throw new OutOfReachError(`the NATS server at ${host}:${port} has no JetStream: start it with a jetstream block, as in nats.conf`);
  }
  const monitoringHost = host.includes(':') ? `[${host}]` : host;
  return { ...greeting, url, unproven: await whyUnproven(greeting, `http://${monitoringHost}:${monitoringPort}`) };
};
