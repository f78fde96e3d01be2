/** `zookeeper://HOST[:PORT][,HOST[:PORT]…][/FOLDER]`: the servers of one ensemble, and the folder in it that is this system's. */
import { UsageError } from '../errors.js';

export interface ZookeeperAddress {
  /** "host:2181,host:2181", as the client takes it. */
  readonly servers: string;
  /** The chroot, "/tidemark" by default: two systems on one ensemble need two. */
  readonly folder: string;
}

export const zookeeperScheme = 'zookeeper://';
const defaultPort = 2181;
const example = 'nats or an address such as zookeeper://host:2181 or zookeeper://a:2181,b:2181,c:2181/tidemark';

/** @throws UsageError */
export const parseZookeeperAddress = (text: string): ZookeeperAddress => {
  const wrong = (): UsageError => new UsageError(`${JSON.stringify(text)} is not ${example}`);
  const [, hosts, folder = ''] = /^zookeeper:\/\/([^/\s]+)(\/\S*)?$/.exec(text.trim()) ?? [];
  if (hosts === undefined) throw wrong();
  const servers = hosts.split(',').map((host) => {
    const [, name, port = String(defaultPort)] = /^([A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(host) ?? [];
    if (name === undefined || !(Number(port) >= 1 && Number(port) <= 65_535)) throw wrong();
    return `${name}:${Number(port)}`;
  });
  const below = folder.replace(/\/+$/, '');
  if (below !== '' && !/^(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9._-]+)+$/.test(below)) throw wrong();
  return { servers: servers.join(','), folder: below === '' ? '/tidemark' : below };
};
