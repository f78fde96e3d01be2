/**
 * Files in HDFS by absolute paths: written whole under a name of their own and then renamed, read in ranges, listed.
 *
 * H4  A write counts when HDFS says its length, not when it was answered; a lost answer is no success.
 * H5  A file that is being read goes on from the byte it has reached when its DataNode dies; another replica is read.
 * H6  A range is given whole or not at all: fewer bytes than were asked for are an error.
 * H7  A file that a writer left open and that cannot be read for that is closed by HDFS a minute later: who reads asks for it.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { RetryableError } from '../../errors.js';
import { chunkBytes } from '../disk.js';
import { receiveBytes, sendBytes } from './transfer.js';
import { type Method, type Parameters, RemoteError, UnansweredError, type WebHdfs } from './webhdfs.js';

/** How often a transfer is tried: until a DataNode is known as dead the NameNode goes on naming it. */
const triesMax = 8;
const renamesMax = 3;
const madeFoldersMax = 10_000;

/** Bytes in memory, or a local file. */
export type Content = Uint8Array | { readonly file: string; readonly length: number };

export interface FileStatus {
  /** "" when the path itself is a file. */
  readonly pathSuffix: string;
  readonly type: 'FILE' | 'DIRECTORY';
  readonly length: number;
  /** ms since 1970. */
  readonly modificationTime: number;
  /** Another one after a replacement, though the path is the same. */
  readonly fileId: number;
}

export const isException = (error: unknown, ...names: string[]): boolean => error instanceof RemoteError && names.includes(error.exception);

export const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

export class HdfsFiles {
  readonly #hdfs: WebHdfs;
  /** Where files are written before they get their names. */
  readonly #workFolder: string;
  readonly #madeFolders = new Set<string>();
  #made = 0;

  constructor(hdfs: WebHdfs, workFolder: string) {
    this.#hdfs = hdfs;
    this.#workFolder = workFolder;
  }

  /** @throws RemoteError of FileNotFoundException when there is none */
  async status(target: string): Promise<FileStatus> {
    const { FileStatus: status } = (await this.#hdfs.call('GET', 'GETFILESTATUS', target)) as { FileStatus?: Partial<FileStatus> };
    if (typeof status?.length !== 'number') throw new RemoteError('UnexpectedAnswer', `GETFILESTATUS ${target} has no length`);
    return status as FileStatus;
  }

  async exists(target: string): Promise<boolean> {
    try {
      await this.status(target);
      return true;
    } catch (error) {
      if (isException(error, 'FileNotFoundException')) return false;
      throw error;
    }
  }

  /** What is in a folder; nothing if there is no such folder. */
  async entries(folder: string): Promise<readonly FileStatus[]> {
    try {
      const answer = (await this.#hdfs.call('GET', 'LISTSTATUS', folder)) as { FileStatuses?: { FileStatus?: FileStatus[] } };
      const entries = answer.FileStatuses?.FileStatus;
      if (!Array.isArray(entries)) throw new RemoteError('UnexpectedAnswer', `LISTSTATUS ${folder} has no list`);
      return entries.filter(({ pathSuffix }) => pathSuffix !== '');
    } catch (error) {
      if (isException(error, 'FileNotFoundException')) return [];
      throw error;
    }
  }

  /** A file, or a folder with nothing in it. @returns whether there was one */
  async remove(target: string): Promise<boolean> {
    return await this.#hdfs.callBoolean('DELETE', 'DELETE', target, { recursive: false });
  }

  /** A folder with everything in it; it need not be there. */
  async removeTree(target: string): Promise<void> {
    await this.#hdfs.callBoolean('DELETE', 'DELETE', target, { recursive: true });
    this.#madeFolders.clear();
  }

  async makeFolder(folder: string): Promise<void> {
    if (folder === '' || this.#madeFolders.has(folder)) return;
    if (!(await this.#hdfs.callBoolean('PUT', 'MKDIRS', folder))) throw new RemoteError('UnexpectedAnswer', `MKDIRS ${folder}: false`);
    if (this.#madeFolders.size >= madeFoldersMax) this.#madeFolders.clear();
    this.#madeFolders.add(folder);
  }

  /** Appends to a file of this length. @throws whatever gives rise to doubt */
  async append(target: string, bytes: Uint8Array, lengthBefore: number): Promise<void> {
    await this.#expectLength(target, lengthBefore);
    await sendBytes('POST', await this.#hdfs.locate('POST', 'APPEND', target), bytes);
    await this.#expectLength(target, lengthBefore + bytes.byteLength); // H4
  }

  /** Writes a file under a name of its own. @returns the name, when HDFS says that all of it is there */
  async write(content: Content): Promise<string> {
    const length = content instanceof Uint8Array ? content.byteLength : content.length;
    const away = new Set<string>();
    for (let tries = 1; ; tries++) {
      const target = this.#newName(); // the one before may still be written to
      const url = await this.#locate('PUT', 'CREATE', target, { overwrite: true }, away);
      try {
        if (content instanceof Uint8Array) await sendBytes('PUT', url, content);
        else await sendBytes('PUT', url, { stream: createReadStream(content.file, { highWaterMark: chunkBytes }), length });
        await this.#expectLength(target, length); // H4
        return target;
      } catch (error) {
        if (!(error instanceof UnansweredError) || tries === triesMax) throw error;
        away.add(url.host);
      }
    }
  }

  /**
   * Gives a written file its name. @returns false when the name is taken; then the written file is gone.
   * Its old name is its own: so whether a rename without an answer was done is seen by whether that is gone (H4).
   */
  async name(written: string, target: string, option: 'NONE' | 'OVERWRITE' = 'NONE'): Promise<boolean> {
    let inDoubt = false;
    for (let tries = 1; ; tries++) {
      try {
        await this.makeFolder(folderOf(target));
        await this.#hdfs.call('PUT', 'RENAME', written, { destination: target, renameoptions: option });
        return true;
      } catch (error) {
        inDoubt ||= error instanceof UnansweredError;
        if (inDoubt && !(await this.exists(written))) return true;
        if (isException(error, 'FileAlreadyExistsException')) {
          await this.remove(written);
          return false;
        }
        this.#madeFolders.delete(folderOf(target)); // somebody may have removed it as empty in between
        const again = error instanceof UnansweredError || isException(error, 'FileNotFoundException', 'ParentNotDirectoryException');
        if (!again || tries === renamesMax) throw error;
      }
    }
  }

  /** The bytes [from, to) of a file that has them. */
  async *bytes(target: string, from: number, to: number): AsyncGenerator<Buffer> {
    const away = new Set<string>();
    let at = from;
    for (let tries = 1; at < to; ) {
      const reached = at;
      const url = await this.#locate('GET', 'OPEN', target, { offset: at, length: to - at }, away);
      try {
        for await (const chunk of receiveBytes(url, to - at)) {
          at += chunk.length;
          yield chunk;
        }
      } catch (error) {
        tries = at > reached ? 1 : tries + 1;
        if (isException(error, 'CannotObtainBlockLengthException')) await this.#askToClose(target); // H7
        if (!(error instanceof UnansweredError) || tries > triesMax) throw error; // H6
        away.add(url.host); // H5
      }
    }
  }

  /** A DataNode that is none of those that were found away. Where all are on one host, HDFS excludes only one: so ask again. */
  async #locate(method: Method, operation: string, target: string, parameters: Parameters, away: Set<string>): Promise<URL> {
    for (let tries = 1; ; tries++) {
      const hosts = [...new Set([...away].map((host) => host.split(':')[0]))].join(',');
      const url = await this.#hdfs.locate(
        method,
        operation,
        target,
        away.size === 0 ? parameters : { ...parameters, excludedatanodes: hosts },
      );
      if (!away.has(url.host)) return url;
      if (tries < triesMax) continue;
      away.clear(); // it may be back, and is the only one
      return url;
    }
  }

  /**
   * Where the DataNodes of an append all went, none of them knows how long the block is until HDFS has closed the file; left alone
   * it does so after 20 minutes, and for somebody else who appends, be it nothing, once the writer was silent for 60 s. A writer that
   * lives keeps its file; that the file is not closed yet is what whoever reads it is told.
   */
  async #askToClose(target: string): Promise<void> {
    try {
      await sendBytes('POST', await this.#hdfs.locate('POST', 'APPEND', target), Buffer.alloc(0));
    } catch (error) {
      if (!(error instanceof RemoteError || error instanceof UnansweredError)) throw error;
    }
  }

  async #expectLength(target: string, expected: number): Promise<void> {
    const { length } = await this.status(target);
    if (length !== expected) throw new RetryableError(`${length} bytes long, must be ${expected}`);
  }

  #newName(): string {
    this.#made += 1;
    return `${this.#workFolder}/${process.pid}-${randomBytes(8).toString('hex')}-${this.#made}`;
  }
}
