/**
 * Local copies of stored files, for DuckDB, which reads no HDFS. Bounded by bytes, least recently used out first; what was
 * handed out a moment ago stays a while, for somebody may still be about to open it.
 */
import { rm } from 'node:fs/promises';

/** So long a copy stays after it was handed out, even past the bound. */
const graceMs = 600_000;

interface Copy {
  readonly file: string;
  readonly bytes: number;
  handedOutAt: number;
}

export class LocalCopies {
  readonly #bytesMax: number;
  readonly #now: () => number;
  /** Least recently used first. */
  readonly #copies = new Map<string, Copy>();
  /** Those that are being made: who asks for the same waits for it. */
  readonly #making = new Map<string, Promise<Copy>>();
  #bytes = 0;

  constructor(bytesMax: number, now: () => number = () => performance.now()) {
    this.#bytesMax = bytesMax;
    this.#now = now;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The copy under this key, made if there is none. @param make writes the file, whole and checked */
  async get(key: string, make: () => Promise<{ file: string; bytes: number }>): Promise<string> {
    let copy = this.#copies.get(key);
    if (copy === undefined) {
      let making = this.#making.get(key);
      if (making === undefined) {
        making = make()
          .then((made): Copy => ({ ...made, handedOutAt: this.#now() }))
          .finally(() => this.#making.delete(key));
        this.#making.set(key, making);
      }
      copy = await making;
      if (!this.#copies.has(key)) this.#bytes += copy.bytes;
    }
    copy.handedOutAt = this.#now();
    this.#copies.delete(key);
    this.#copies.set(key, copy);
    await this.#trim();
    return copy.file;
  }

  async #trim(): Promise<void> {
    const gone: string[] = [];
    for (const [key, copy] of this.#copies) {
      if (this.#bytes <= this.#bytesMax || this.#now() - copy.handedOutAt < graceMs) break;
      this.#copies.delete(key);
      this.#bytes -= copy.bytes;
      gone.push(copy.file);
    }
    await Promise.all(gone.map((file) => rm(file, { force: true })));
  }
}
