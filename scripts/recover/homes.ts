/** Where the folders are that a recover changes: in the data folder, or, of a system on HDFS, all but the server's store there. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Settings } from '../../infra/config.js';
import { syncFile, writeSynced } from '../../infra/storage/disk.js';
import { parseHdfsAddress } from '../../infra/storage/hdfs/address.js';
import { HdfsFiles, isException } from '../../infra/storage/hdfs/hdfs-files.js';
import { WebHdfs } from '../../infra/storage/hdfs/webhdfs.js';

/** Names are relative, with `/`. */
export interface Home {
  /** For people. */
  placeOf(name: string): string;
  exists(name: string): Promise<boolean>;
  /** Makes a folder, and those above it. */
  make(name: string): Promise<void>;
  /** Renames a folder to a name that nobody has. */
  move(from: string, to: string): Promise<void>;
  /** With everything in it; it need not be there. */
  removeTree(name: string): Promise<void>;
  /** A small file, in one step: it is there whole or not at all. */
  write(name: string, text: string): Promise<void>;
  /** @returns undefined if there is none. */
  read(name: string): Promise<string | undefined>;
  /** What was renamed below this folder lasts. */
  sync(name: string): Promise<void>;
}

export const localHome = (data: string): Home => {
  const at = (name: string): string => path.join(data, name);
  return {
    placeOf: at,
    exists: async (name) => existsSync(at(name)),
    make: async (name) => {
      await mkdir(at(name), { recursive: true });
    },
    move: (from, to) => rename(at(from), at(to)),
    removeTree: (name) => rm(at(name), { recursive: true, force: true }),
    write: async (name, text) => {
      const fresh = at(`${name}.new`);
      await rm(fresh, { force: true });
      await writeSynced(fresh, Buffer.from(text));
      await rename(fresh, at(name));
      await syncFile(data);
    },
    read: async (name) => (existsSync(at(name)) ? await readFile(at(name), 'utf8') : undefined),
    sync: (name) => syncFile(at(name)),
  };
};

/** @param storage as `--storage` takes it */
export const hdfsHome = (storage: string): Home => {
  const address = parseHdfsAddress(storage);
  const at = (name: string): string => `${address.root}/${name}`;
  const files = new HdfsFiles(new WebHdfs(address), at('work'));
  const exists = (name: string): Promise<boolean> => files.exists(at(name));
  return {
    placeOf: (name) => `${address.root}/${name} in HDFS`,
    exists,
    make: (name) => files.makeFolder(at(name)),
    move: async (from, to) => {
      await files.name(at(from), at(to));
    },
    removeTree: (name) => files.removeTree(at(name)),
    write: async (name, text) => {
      await files.makeFolder(at('work'));
      await files.name(await files.write(Buffer.from(text)), at(name), 'OVERWRITE');
    },
    read: async (name) => {
      try {
        const { length } = await files.status(at(name));
        const chunks: Buffer[] = [];
        for await (const chunk of files.bytes(at(name), 0, length)) chunks.push(chunk);
        return Buffer.concat(chunks).toString('utf8');
      } catch (error) {
        if (isException(error, 'FileNotFoundException')) return undefined;
        throw error;
      }
    },
    sync: async () => undefined, // a NameNode answers when a rename lasts
  };
};

export interface Homes {
  /** Of raw files and all that is made of them. */
  readonly storage: Home;
  /** Of the server's store. */
  readonly server: Home;
}

export const homesOf = ({ storage, data }: Pick<Settings, 'storage' | 'data'>): Homes => {
  const server = localHome(data);
  return { storage: storage === 'local' ? server : hdfsHome(storage), server };
};
