/**
 * A fingerprint of a set of records, whatever their order and their offsets: sums of hashes. What was read from the old raw
 * files and what is committed in the new ones must have the same.
 */
import { createHash } from 'node:crypto';
import type { Storage } from '../../infra/storage/storage.js';
import type { RawStored } from '../../protocol/messages/raw-stored.js';
import { contentOf } from './raw-line.js';

const modulus = 2 ** 48;

export class Fingerprint {
  records = 0;
  #high = 0;
  #low = 0;

  /** @param content a line behind its offset */
  add(content: string): void {
    const hash = createHash('sha256').update(content).digest();
    this.#high = (this.#high + hash.readUIntBE(0, 6)) % modulus;
    this.#low = (this.#low + hash.readUIntBE(6, 6)) % modulus;
    this.records += 1;
  }

  toString(): string {
    return `${this.records} records, ${this.#high.toString(16).padStart(12, '0')}${this.#low.toString(16).padStart(12, '0')}`;
  }
}

const lf = 0x0a;

/** Of all that these commits name. */
export const fingerprintOf = async (
  storage: Pick<Storage, 'stream'>,
  commits: AsyncIterable<RawStored>,
  progress: (records: number) => void,
): Promise<Fingerprint> => {
  const found = new Fingerprint();
  for await (const { files } of commits) {
    for (const { path, fromByte, toByte } of files) {
      let carry: Buffer = Buffer.alloc(0);
      for await (const chunk of storage.stream(path, fromByte, toByte)) {
        const bytes = carry.length === 0 ? chunk : Buffer.concat([carry, chunk]);
        const end = bytes.lastIndexOf(lf) + 1;
        for (const line of bytes.toString('utf8', 0, end).split('\n')) if (line !== '') found.add(contentOf(line));
        carry = Buffer.from(bytes.subarray(end));
      }
      if (carry.length > 0) found.add(carry.toString('utf8'));
    }
    progress(found.records);
  }
  return found;
};
