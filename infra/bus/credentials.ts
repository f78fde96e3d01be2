/**
 * Credentials files: an NKey seed, as `start` and `tidemark user add` write them, or a .creds file of a server with
 * accounts (a JWT and a seed). The seed never leaves this machine: a connection signs what the server asks it to.
 */
import { readFileSync } from 'node:fs';
import {
  type Authenticator,
  createInbox,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  nkeys,
} from '@nats-io/transport-node';
import { messageOf, SettingsError } from '../errors.js';

export interface Credentials {
  readonly authenticator: Authenticator;
  /** Answers come here; the server lets no other user hear them. */
  readonly inboxPrefix: string;
}

export interface KeyPair {
  readonly publicKey: string;
  readonly seed: string;
}

export const newKeyPair = (): KeyPair => {
  const pair = nkeys.createUser();
  return { publicKey: pair.getPublicKey(), seed: new TextDecoder().decode(pair.getSeed()) };
};

const seedIn = (text: string): string | undefined => /^(SU[A-Z2-7]{56})\s*$/m.exec(text)?.[1];

/** A seed says which user it is. @throws SettingsError */
export const publicKeyOf = (text: string, file: string): string => {
  const seed = seedIn(text);
  if (seed === undefined)
    throw new SettingsError(`${file} holds no NKey seed (a line that begins with SU): remove it, and start writes another`);
  return nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
};

export const inboxOf = (publicKey: string): string => `_INBOX_${publicKey}`;

/** @throws SettingsError when the file cannot be read or is neither of the two */
export const readCredentials = (file: string): Credentials => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new SettingsError(`the credentials ${file} cannot be read (${messageOf(error)}): name another file with --nats-creds`, {
      cause: error,
    });
  }
  if (text.includes('BEGIN NATS USER JWT')) {
    return { authenticator: credsAuthenticator(new TextEncoder().encode(text)), inboxPrefix: '_INBOX' };
  }
  const seed = seedIn(text);
  if (seed === undefined) {
    throw new SettingsError(
      `${file} is no credentials file: it holds neither an NKey seed (a line that begins with SU) nor a NATS user's JWT`,
    );
  }
  return { authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)), inboxPrefix: inboxOf(publicKeyOf(text, file)) };
};

/** A new inbox that this connection's user may hear. */
export const newInbox = (connection: NatsConnection): string => {
  const { options } = connection as NatsConnection & { readonly options?: { readonly inboxPrefix?: string } };
  return createInbox(options?.inboxPrefix ?? '_INBOX');
};
