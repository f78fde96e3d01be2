/**
 * The address of an HDFS: hdfs://HOST:PORT[,HOST:PORT]/path?user=NAME&token-file=FILE&redirect=HOST,*.DOMAIN
 *
 * HOST:PORT is a NameNode's http address (WebHDFS); with two, the one that is active is found. A NameNode sends us on to
 * DataNodes; only to those hosts that are allowed do we go.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { messageOf, SettingsError } from '../../errors.js';

export interface Namenode {
  readonly host: string;
  readonly port: number;
}

export interface HdfsAddress {
  readonly namenodes: readonly Namenode[];
  /** "" or "/path", below which everything lies. */
  readonly root: string;
  readonly user: string | undefined;
  /** Of a file that holds a delegation token. */
  readonly tokenFile: string | undefined;
  /** Hosts, or domains as "*.example.com", that a redirect may name. */
  readonly redirects: readonly string[];
}

const shape = /^hdfs:\/\/([^/?#\s]+)(\/[^?#\s]*)?(?:\?([^#\s]*))?$/;
const example = 'hdfs://namenode:9870/tidemark?user=tidemark';
const parameters = ['user', 'token-file', 'redirect'];

/** Without a host list of one's own: the NameNodes' hosts, and the domain that they are in. */
const redirectsBeside = (namenodes: readonly Namenode[]): string[] =>
  namenodes.flatMap(({ host }) => {
    const domain = host.slice(host.indexOf('.') + 1);
    return isIP(host) === 0 && domain.includes('.') && host.includes('.') ? [host, `*.${domain}`] : [host];
  });

/** @throws SettingsError with what is wrong and what would be right */
export const parseHdfsAddress = (text: string): HdfsAddress => {
  const [, hosts, path = '', query = ''] = shape.exec(text) ?? [];
  if (hosts === undefined) throw new SettingsError(`storage ${text} is no address of an HDFS: write it as ${example}`);
  const namenodes = hosts.split(',').map((one) => {
    const [, host, port] = /^([A-Za-z0-9._-]+):(\d{1,5})$/.exec(one) ?? [];
    if (host === undefined || !(Number(port) >= 1 && Number(port) <= 65_535)) {
      throw new SettingsError(
        `storage ${text}: ${JSON.stringify(one)} is not HOST:PORT of a NameNode's http address; write it as ${example}`,
      );
    }
    return { host: host.toLowerCase(), port: Number(port) };
  });
  const given = new URLSearchParams(query);
  for (const name of given.keys()) {
    if (!parameters.includes(name)) throw new SettingsError(`storage ${text}: ${name} is none of ${parameters.join(', ')}`);
  }
  const redirect = given.get('redirect');
  return {
    namenodes,
    root: decodeURI(path).replace(/\/+$/, ''),
    user: given.get('user') ?? undefined,
    tokenFile: given.get('token-file') ?? undefined,
    redirects: redirect === null ? redirectsBeside(namenodes) : redirect.toLowerCase().split(','),
  };
};

/** The address of a folder below this one. @param text as `--storage` takes it */
export const addressBelow = (text: string, folder: string): string => {
  const [, hosts, path = '', query] = shape.exec(text) ?? [];
  if (hosts === undefined) throw new SettingsError(`storage ${text} is no address of an HDFS: write it as ${example}`);
  return `hdfs://${hosts}${path.replace(/\/+$/, '')}/${folder}${query === undefined ? '' : `?${query}`}`;
};

export const isAllowed = (host: string, { redirects }: Pick<HdfsAddress, 'redirects'>): boolean =>
  redirects.some((one) => (one.startsWith('*.') ? host.toLowerCase().endsWith(one.slice(1)) : host.toLowerCase() === one));

/** @throws SettingsError */
export const readToken = (file: string): string => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new SettingsError(`token-file ${file} cannot be read (${messageOf(error)}): write a delegation token into it`, { cause: error });
  }
};
