/**
 * The users of a data folder's own server: their keys in DATA/users/NAME.nk, of mode 0600, and what the server's
 * configuration says of them. Only public keys stand in the configuration.
 *
 * `start` makes the users that a system on one machine needs: the operator, each actor, this machine's agents. Others
 * are added by name (`tidemark user add`) and stand in DATA/users.json.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { actorNames } from '../../protocol/catalogue.js';
import type { Settings } from '../config.js';
import { messageOf, SettingsError } from '../errors.js';
import { inboxOf, newKeyPair, publicKeyOf } from './credentials.js';
import { type Rights, type Role, rightsOf } from './rights.js';

/** Who may come to a server, and from where. */
export interface Access {
  readonly partitions: number;
  /** The address to listen on; another than loopback takes `tls`. */
  readonly host: string;
  /** Files in PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
}

export interface User {
  readonly name: string;
  readonly role: Role;
}

const usersFolder = (data: string): string => path.join(data, 'users');
const addedFile = (data: string): string => path.join(data, 'users.json');

/** Where a user's key is, or would be. */
export const keyFile = (data: string, name: string): string => path.join(usersFolder(data), `${name}.nk`);

/** The users of every system, by the names of their key files. */
export const ownUsers = (): readonly User[] => [
  { name: 'operator', role: { kind: 'operator' } },
  { name: 'agents', role: { kind: 'agent', host: hostname() } },
  ...actorNames.filter((actor) => actor !== 'agent').map((actor): User => ({ name: actor, role: { kind: 'actor', actor } })),
];

/** Users that somebody added. @throws SettingsError when their list cannot be read */
export const addedUsers = (data: string): readonly User[] => {
  const file = addedFile(data);
  if (!existsSync(file)) return [];
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as User[];
  } catch (error) {
    throw new SettingsError(`${file} cannot be read (${messageOf(error)}): mend it, or remove it and add the users again`, {
      cause: error,
    });
  }
};

const namePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

const ensureKey = (data: string, { name }: User): string => {
  const file = keyFile(data, name);
  if (!existsSync(file)) {
    mkdirSync(usersFolder(data), { recursive: true, mode: 0o700 });
    writeFileSync(file, `${newKeyPair().seed}\n`, { mode: 0o600, flag: 'wx' });
  }
  chmodSync(file, 0o600);
  return publicKeyOf(readFileSync(file, 'utf8'), file);
};

/** Adds a user and makes its key. @returns the key's file. @throws SettingsError when the name is taken or no name */
export const addUser = (data: string, user: User): string => {
  if (!namePattern.test(user.name)) {
    throw new SettingsError(
      `${JSON.stringify(user.name)} is no user's name: write 1 to 64 letters, digits, - and _, a letter or digit first`,
    );
  }
  const added = addedUsers(data);
  if ([...ownUsers(), ...added].some(({ name }) => name === user.name)) {
    throw new SettingsError(
      `there is a user ${user.name} already: remove it first (\`tidemark user remove ${user.name}\`), or choose another name`,
    );
  }
  ensureKey(data, user);
  writeFileSync(addedFile(data), `${JSON.stringify([...added, user], null, 1)}\n`, { mode: 0o600 });
  return keyFile(data, user.name);
};

/** @throws SettingsError when nobody of that name was added */
export const removeUser = (data: string, name: string): void => {
  const added = addedUsers(data);
  if (!added.some((user) => user.name === name)) throw new SettingsError(`no user ${name} was added: \`tidemark user list\` shows who was`);
  writeFileSync(
    addedFile(data),
    `${JSON.stringify(
      added.filter((user) => user.name !== name),
      null,
      1,
    )}\n`,
    { mode: 0o600 },
  );
  rmSync(keyFile(data, name), { force: true });
};

const quoted = (subjects: readonly string[], indent: string): string =>
  subjects.length === 0 ? '[]' : `[\n${subjects.map((subject) => `${indent}  ${JSON.stringify(subject)}`).join('\n')}\n${indent}]`;

const permissionsText = ({ publish, subscribe, answers }: Rights): string =>
  [
    'permissions: {',
    `        publish: { allow: ${quoted(publish, '        ')} }`,
    `        subscribe: { allow: ${quoted(subscribe, '        ')} }`,
    ...(answers ? ['        allow_responses: { max: 1000000, expires: "10m" }'] : []),
    '      }',
  ].join('\n');

export interface UsersOptions {
  readonly data: string;
  readonly partitions: number;
  /** Whether who comes without credentials may publish readings, ask and watch: on loopback alone. */
  readonly isOpenToLocal: boolean;
}

/** The users' part of the server's configuration; makes keys that are not there yet. @throws SettingsError */
export const authorizationText = ({ data, partitions, isOpenToLocal }: UsersOptions): string => {
  const keyed = [...ownUsers(), ...addedUsers(data)].map((user) => {
    const publicKey = ensureKey(data, user);
    const rights = rightsOf(user.role, partitions, inboxOf(publicKey));
    return `    {\n      # ${user.name}\n      nkey: "${publicKey}"\n      ${permissionsText(rights)}\n    }`;
  });
  const local = `    {\n      user: "local"\n      password: "local"\n      ${permissionsText(rightsOf({ kind: 'local' }, partitions, '_INBOX'))}\n    }`;
  return [
    'authorization {',
    '  users: [',
    ...keyed,
    ...(isOpenToLocal ? [local] : []),
    '  ]',
    '}',
    ...(isOpenToLocal ? ['', '# Who comes without credentials, from this machine alone.', 'no_auth_user: "local"'] : []),
    '',
  ].join('\n');
};

/** Who may come to the server that `start` runs. @throws SettingsError when a certificate comes without its key */
export const accessOf = (settings: Pick<Settings, 'partitions' | 'natsHost' | 'natsCert' | 'natsKey'>): Access => {
  const { partitions, natsHost: host, natsCert: certificate, natsKey: key } = settings;
  if ((certificate === undefined) !== (key === undefined)) {
    throw new SettingsError('--nats-cert and --nats-key go together: name the certificate and its private key');
  }
  return { partitions, host, tls: certificate === undefined || key === undefined ? undefined : { certificate, key } };
};

const isReadable = (file: string): boolean => {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
};

/**
 * The credentials to connect with as this user: those that were named, else the data folder's own, where this account may
 * read them; undefined: without.
 */
export const credentialsFor = (
  settings: { readonly data: string; readonly natsCreds?: string | undefined },
  name: string,
): string | undefined => {
  if (settings.natsCreds !== undefined) return settings.natsCreds;
  const file = keyFile(settings.data, name);
  return isReadable(file) ? file : undefined;
};
