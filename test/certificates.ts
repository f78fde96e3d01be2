/** Certificates of an authority of one's own, for tests of TLS. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import type { Test } from 'tap';
import { messageOf, OutOfReachError } from '../infra/errors.js';
import { temporaryFolder } from './servers.js';

const openssl = (folder: string, ...words: string[]): void => {
  const { status, stderr, error } = spawnSync('openssl', words, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new OutOfReachError(`openssl ${words[0]}: ${error === undefined ? stderr : messageOf(error)}`);
};

export interface Certificates {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** A server's, for localhost, 127.0.0.1 and these addresses; undefined where there is no openssl, and the test says so aloud. */
export const makeCertificates = (t: Test, addresses: readonly string[] = []): Certificates | undefined => {
  if (spawnSync('openssl', ['version']).status !== 0) {
    t.comment('SKIPPED: no openssl here to make certificates with');
    return undefined;
  }
  const folder = temporaryFolder(t);
  const subject = (name: string): string[] => ['-subj', `/CN=${name}`];
  const make = (name: string, ...words: string[]): void => {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    openssl(folder, 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...files, ...words);
  };
  make('ca', ...subject('test authority'));
  const names = ['DNS:localhost', ...['127.0.0.1', ...addresses].map((address) => `IP:${address}`)].join(',');
  make('server', '-CA', 'ca.pem', '-CAkey', 'ca.key', ...subject('localhost'), '-addext', `subjectAltName=${names}`);
  return { ca: path.join(folder, 'ca.pem'), certificate: path.join(folder, 'server.pem'), key: path.join(folder, 'server.key') };
};
