/**
 * Who may ask: on loopback whoever comes with a loopback name in `Host` (no page of the internet can pretend to be this
 * one); beyond it, only who knows the token.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Settings } from '../../infra/config.js';
import { messageOf, SettingsError } from '../../infra/errors.js';

export const cookieName = 'tidemark';

/** What is needed of a request. */
export interface Asker {
  readonly host: string | undefined;
  readonly authorization: string | undefined;
  readonly cookie: string | undefined;
}

export interface Access {
  readonly needsToken: boolean;
  /** Whether `Host` names this machine as it may be named here. */
  isHost(host: string | undefined): boolean;
  isAllowed(asker: Asker): boolean;
  isToken(text: string): boolean;
  /** What a browser keeps instead of the token. */
  readonly session: string;
}

/** @throws SettingsError when the file cannot be read, or holds no token */
export const readToken = ({ token, tokenFile }: Pick<Settings, 'token' | 'tokenFile'>): string | undefined => {
  if (tokenFile === undefined) return token;
  let text: string;
  try {
    text = readFileSync(tokenFile, 'utf8').trim();
  } catch (cause) {
    throw new SettingsError(`the token file ${tokenFile} cannot be read (${messageOf(cause)})`, { cause });
  }
  if (!/^\S{16,200}$/.test(text))
    throw new SettingsError(`the token file ${tokenFile} holds no token: write 16 to 200 characters without spaces`);
  return text;
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** In constant time, whatever the lengths. */
const isEqual = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

const hostName = (host: string): string => {
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(host);
  return (bracketed?.[1] ?? host.replace(/:\d{1,5}$/, '')).toLowerCase();
};

const isLoopbackName = (name: string): boolean =>
  name === 'localhost' || name.endsWith('.localhost') || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));

const cookieOf = (header: string | undefined): string | undefined => {
  for (const part of header?.split(';') ?? []) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === cookieName) return part.slice(at + 1).trim();
  }
  return undefined;
};

/** @param token undefined: none is needed, and only loopback names are answered */
export const accessOf = (token: string | undefined): Access => {
  const session = token === undefined ? '' : createHmac('sha256', token).update('tidemark session').digest('base64url');
  return {
    needsToken: token !== undefined,
    session,
    // With a token a strange name gets nothing without it, and a browser gives the cookie to no other name.
    isHost: (host) => host !== undefined && (token !== undefined || isLoopbackName(hostName(host))),
    isToken: (text) => token !== undefined && isEqual(text, token),
    isAllowed: ({ authorization, cookie }) => {
      if (token === undefined) return true;
      const bearer = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
      if (bearer !== undefined) return isEqual(bearer, token);
      const given = cookieOf(cookie);
      return given !== undefined && isEqual(given, session);
    },
  };
};
